import dataclasses
from pathlib import Path

import pytest

from keras_dcgan.config import PRESETS, SettingError, TrainConfig, from_preset, is_auto, setting_names, written


def test_the_preset_tutorial_is_the_mxnet_tutorials_recipe():
    config = from_preset("tutorial")
    assert config == TrainConfig()
    assert (config.width, config.image_size, config.channels, config.latent_dim) == (128, 64, 3, 100)
    assert (config.batch_size, config.epochs, config.steps, config.shuffle) == (64, 1, 0, "once")
    assert (config.generator_learning_rate, config.discriminator_learning_rate) == (2e-4, 2e-4)
    assert (config.beta_1, config.beta_2, config.r1_weight, config.ema_half_life) == (0.5, 0.999, 0, 0)


def test_every_setting_has_a_group_and_help():
    for field in dataclasses.fields(TrainConfig):
        assert field.metadata["help"] and (field.metadata["group"] or field.name == "preset")


def test_the_metadata_of_a_setting_names_what_it_belongs_to():
    resumable = setting_names("resumable")
    assert {"steps", "sample_every", "cache_dir"} <= set(resumable)
    assert not {"width", "seed", "dataset", "r1_weight", "jit_compile", "precision", "measure_every"} & set(resumable)
    assert {"dataset", "image_size", "resize_mode", "min_side"} <= set(setting_names("decoding"))
    assert {"width", "r1_weight", "seed"} <= set(setting_names("recipe"))
    assert setting_names("path") == ["data_dir", "cache_dir"]
    assert len(setting_names()) == len(dataclasses.fields(TrainConfig))


def test_a_number_means_auto_where_the_program_can_choose_and_nowhere_else():
    assert setting_names("auto") == ["image_size", "width", "r1_weight"]
    assert written("r1_weight", from_preset("quick").r1_weight) == "auto" and written("r1_weight", 0.0) == 0.0
    with pytest.raises(SettingError, match=r"^r1_weight=-2.0: must be auto or from 0 to 1000000.0$"):
        TrainConfig(r1_weight=-2.0)
    config = TrainConfig(image_size=0, width=0)
    assert is_auto("image_size", config.image_size) and written("width", config.width) == "auto"
    assert is_auto("labels", "auto") and is_auto("precision", "auto")
    assert not is_auto("steps", 0) and not is_auto("cache_dir", "auto") and not is_auto("width", 32)
    assert written("steps", 0) == 0 and written("image_size", 64) == 64
    with pytest.raises(SettingError, match=r"^width=-1: must be auto or from 1 to 1024$"):
        TrainConfig(width=-1)
    with pytest.raises(SettingError, match=r"^image_size=60: must be auto or one of 16, 32, 64, 128, 256$"):
        TrainConfig(image_size=60)


def test_the_presets_choose_sizes_by_the_data_but_not_the_tutorial():
    sizes = {name: (from_preset(name).image_size, from_preset(name).width) for name in PRESETS}
    assert sizes == {"tutorial": (64, 128), "quick": (0, 0), "full": (0, 128)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", -1), ("width", 2.5), ("width", 0.0), ("width", False), ("width", True),
        ("image_size", 65), ("channels", 2), ("batch_size", 1),
        ("beta_1", 1.0), ("beta_2", -0.1),
        ("generator_learning_rate", 0.0), ("discriminator_learning_rate", float("nan")),
        ("r1_weight", float("inf")), ("dataset", "imagenet"), ("precision", "float64"), ("sample_count", 0),
        ("resize_mode", "squeeze"),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(SettingError, match=f"^{name}="):
        from_preset("tutorial", {name: value})


def test_a_path_that_is_no_text_is_refused_by_name():
    with pytest.raises(SettingError, match=r"^dataset=PosixPath\('photos/a'\): must be of type str"):
        from_preset("quick", {"dataset": Path("photos/a")})


def test_steps_must_be_whole_executions():
    with pytest.raises(SettingError, match="steps=10: must be a multiple of steps_per_execution=3"):
        from_preset("quick", {"steps": 10, "steps_per_execution": 3})


def test_patience_needs_measurements():
    with pytest.raises(SettingError, match="patience=4: counts measurements, and measure_every=0 makes none"):
        from_preset("quick", {"patience": 4, "measure_every": 0})


def test_epochs_replace_the_presets_steps():
    assert PRESETS["quick"]["steps"] > 0
    config = from_preset("quick", {"epochs": 3})
    assert (config.epochs, config.steps) == (3, 0)
    with pytest.raises(SettingError, match="give epochs or steps, not both"):
        from_preset("quick", {"epochs": 3, "steps": 5})


def test_the_last_batch_of_an_epoch_counts():
    assert TrainConfig().steps_per_epoch(70_000) == 1094


def test_colour_data_is_trained_in_colour_unless_channels_is_given():
    assert from_preset("quick", {"dataset": "cifar10"}).channels == 3
    assert from_preset("quick", {"dataset": "cifar10", "channels": 1}).channels == 1
