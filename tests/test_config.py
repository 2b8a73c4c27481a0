import dataclasses
import json

import pytest

from keras_dcgan.config import ADDED, FORMAT, PRESETS, TrainConfig, from_preset, read_config, write_config


def test_tutorial_is_the_seed_document():
    config = from_preset("tutorial")
    assert config == TrainConfig()
    assert (config.width, config.image_size, config.channels, config.latent_dim) == (128, 64, 3, 100)
    assert (config.batch_size, config.epochs, config.steps, config.shuffle) == (64, 1, 0, "once")
    assert (config.generator_learning_rate, config.discriminator_learning_rate) == (2e-4, 2e-4)
    assert (config.beta_1, config.beta_2, config.r1_weight, config.decay_fraction) == (0.5, 0.999, 0, 0)


def test_every_knob_has_a_group_and_help():
    for field in dataclasses.fields(TrainConfig):
        assert field.metadata["group"] and field.metadata["help"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", 0), ("width", 2.5), ("width", True), ("image_size", 65), ("channels", 2), ("batch_size", 1),
        ("beta_1", 1.0), ("beta_2", -0.1),
        ("generator_learning_rate", 0.0), ("discriminator_learning_rate", float("nan")),
        ("r1_weight", float("inf")), ("dataset", "imagenet"), ("precision", "float64"), ("sample_count", 0),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"--{name}="):
        from_preset("tutorial", {name: value})


def test_steps_must_be_whole_executions():
    with pytest.raises(ValueError, match="multiple of --steps_per_execution"):
        from_preset("quick", {"steps": 10, "steps_per_execution": 3})


def test_epochs_take_back_the_presets_steps():
    assert PRESETS["quick"]["steps"] > 0
    config = from_preset("quick", {"epochs": 3})
    assert (config.epochs, config.steps) == (3, 0)
    with pytest.raises(ValueError, match="--epochs and --steps"):
        from_preset("quick", {"epochs": 3, "steps": 5})


def test_colour_data_is_trained_in_colour_unless_said():
    assert from_preset("quick", {"dataset": "cifar10"}).channels == 3
    assert from_preset("quick", {"dataset": "cifar10", "channels": 1}).channels == 1


def test_config_file_round_trip(tmp_path):
    config = from_preset("quick", {"seed": 7})
    write_config(tmp_path / "config.json", config, {"device": "CPU"})
    assert read_config(tmp_path / "config.json") == config
    assert json.loads((tmp_path / "config.json").read_text())["device"] == "CPU"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "config": {"widht": 3}}', '{"config": {}}', "\xff"])
def test_a_bad_config_file_is_refused_by_name(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"config\.json: not a run's configuration"):
        read_config(path)


def about(**changes):
    return {"format": FORMAT, "config": TrainConfig().to_dict(), **changes}


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(TrainConfig)])
def test_a_setting_that_is_missing_does_not_become_the_tutorials(tmp_path, name):
    damaged = about()
    del damaged["config"][name]
    (tmp_path / "config.json").write_text(json.dumps(damaged))
    with pytest.raises(ValueError, match=f"lacks {name}"):
        read_config(tmp_path / "config.json")


@pytest.mark.parametrize("number", [0, FORMAT + 1, "1", None, True, 1.0])
def test_an_unknown_format_is_refused(tmp_path, number):
    (tmp_path / "config.json").write_text(json.dumps(about(format=number)))
    with pytest.raises(ValueError, match=r"its format is .*, and this program reads 1 to"):
        read_config(tmp_path / "config.json")


def test_every_older_format_can_be_read(tmp_path):
    """One that was written before a setting was there must be readable for ever: `config.ADDED`."""
    later = {name: number for number, added in ADDED.items() for name in added}
    for number in range(1, FORMAT + 1):
        values = {name: value for name, value in TrainConfig(width=5).to_dict().items() if later.get(name, 1) <= number}
        (tmp_path / "config.json").write_text(json.dumps({"format": number, "config": values}))
        assert read_config(tmp_path / "config.json") == TrainConfig(width=5)
    first = set(TrainConfig().to_dict()) - set(later)
    assert len(first) == 31, "a new setting goes into config.ADDED, or runs from before it cannot be resumed"
