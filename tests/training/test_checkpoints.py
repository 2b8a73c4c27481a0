import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_dcgan.config import TrainConfig
from keras_dcgan.gan import DCGAN
from keras_dcgan.networks import build_discriminator, build_generator
from keras_dcgan.tools.files import BadFile
from keras_dcgan.training import checkpoints as module

CONFIG = TrainConfig(width=2)
IMAGES = tf.random.stateless_uniform((4, 16, 16, 1), [1, 2], -1, 1)


def make(width: int = 2) -> DCGAN:
    gan = DCGAN(build_generator(width, 16, 1, 5), build_discriminator(width, 16, 1), seed=3)
    gan.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3), r1_weight=1.0, r1_every=2, ema_half_life=50.0)
    return gan


def Checkpoints(folder, gan: DCGAN, config: TrainConfig = CONFIG, **options) -> module.Checkpoints:
    return module.Checkpoints(folder, gan, config, **options)


def run(gan: DCGAN, steps: int) -> None:
    gan.fit(tf.data.Dataset.from_tensors(IMAGES).repeat(), steps_per_epoch=steps, shuffle=False, verbose=0)


def state(gan: DCGAN) -> list[np.ndarray]:
    optimizers = gan.generator_optimizer.variables + gan.discriminator_optimizer.variables
    return [variable.numpy() for variable in gan.variables + optimizers]


def test_a_restored_run_continues_bit_for_bit(tmp_path):
    whole, first, second = make(), make(), make()
    whole.set_weights(first.get_weights())
    whole.averaged.set_weights(first.averaged.get_weights())
    run(whole, 9)
    run(first, 4)
    Checkpoints(tmp_path / "c", first).save()
    assert Checkpoints(tmp_path / "c", second).restore() == 4
    run(second, 5)
    for a, b in zip(state(whole), state(second), strict=True):
        np.testing.assert_array_equal(a, b)


def test_if_no_checkpoint_is_sound_that_is_an_error(tmp_path):
    gan = make()
    checkpoints = Checkpoints(tmp_path, gan)
    assert checkpoints.restore() == 0
    for _ in range(2):
        run(gan, 1)
        checkpoints.save()
    for path in tmp_path.glob("*.index"):
        path.write_bytes(b"")
    with pytest.raises(BadFile, match=r"no checkpoint is sound; that of step 1: step-1\.index was cut or altered"):
        checkpoints.restore()


def test_only_the_last_few_are_kept(tmp_path):
    gan = make()
    checkpoints = Checkpoints(tmp_path, gan, keep=2)
    for _ in range(4):
        run(gan, 1)
        checkpoints.save()
    assert checkpoints.steps() == [3, 4]
    assert {path.name.split(".")[0] for path in tmp_path.iterdir()} == {"step-3", "step-4"}


@pytest.mark.parametrize("damage", ["cut", "altered", "missing", "digests cut"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(tmp_path, caplog, damage):
    gan = make()
    checkpoints = Checkpoints(tmp_path, gan)
    for _ in range(2):
        run(gan, 1)
        checkpoints.save()
    data, digests = next(tmp_path.glob("step-2.data*")), tmp_path / "step-2.json"
    content = data.read_bytes()
    if damage == "cut":
        data.write_bytes(content[:-10])
    elif damage == "altered":
        data.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    elif damage == "missing":
        data.unlink()
    else:
        digests.write_text(digests.read_text()[:-20])
    fresh = make()
    assert Checkpoints(tmp_path, fresh).restore() == 1
    assert int(fresh.steps_done.numpy()) == 1
    assert "checkpoint of step 2" in caplog.text and "using the one before it" in caplog.text


def test_without_a_checkpoint_nothing_changes(tmp_path):
    gan = make()
    before = state(gan)
    assert Checkpoints(tmp_path / "none", gan).restore() == 0
    for a, b in zip(before, state(gan), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_failed_write_is_an_oserror_and_keeps_the_older_ones(tmp_path):
    gan = make()
    run(gan, 1)
    checkpoints = Checkpoints(tmp_path, gan)
    checkpoints.save()
    run(gan, 1)
    blocked = tmp_path / "step-2.json"
    blocked.mkdir()  # the rename onto a folder fails, for root too
    with pytest.raises(OSError):
        checkpoints.save()
    blocked.rmdir()
    assert checkpoints.steps() == [1]
    assert Checkpoints(tmp_path, make()).restore() == 1


def test_a_checkpoint_of_other_networks_is_refused_by_name(tmp_path):
    Checkpoints(tmp_path, make()).save()
    with pytest.raises(BadFile, match=r"step-0: this checkpoint holds other networks than those of config\.json"):
        Checkpoints(tmp_path, make(width=3)).restore()


def test_what_a_killed_writer_left_is_cleared_and_nothing_else(tmp_path):
    checkpoints = Checkpoints(tmp_path, make())
    checkpoints.save()
    kept = sorted(path.name for path in tmp_path.iterdir())
    (tmp_path / "step-7_temp").mkdir()
    for name in ("step-7_temp/part", "step-7.index", "step-7.data-00000-of-00001", "step-by-step.txt"):
        (tmp_path / name).touch()
    checkpoints.clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == [*kept, "step-by-step.txt"]


def test_a_setting_edited_by_hand_is_named(tmp_path):
    Checkpoints(tmp_path / "checkpoints", make()).save()
    edited = dataclasses.replace(CONFIG, r1_weight=7.0)
    with pytest.raises(BadFile, match=r"config\.json: says r1_weight=7\.0, but .* trained with r1_weight=0\.0; put"):
        Checkpoints(tmp_path / "checkpoints", make(), edited).restore()
    longer = dataclasses.replace(CONFIG, steps=7, sample_every=3)
    assert Checkpoints(tmp_path / "checkpoints", make(), longer).restore() == 0


def test_deleted_checkpoints_differ_from_none_yet(tmp_path):
    folder = tmp_path / "checkpoints"
    gan = make()
    checkpoints = Checkpoints(folder, gan)
    checkpoints.begin()
    assert not checkpoints.were_deleted()
    run(gan, 1)
    checkpoints.save()
    assert not checkpoints.were_deleted()
    assert sorted(path.suffix for path in folder.iterdir()) == [".data-00000-of-00001", ".index", ".json"]
    for path in folder.iterdir():
        path.unlink()
    assert checkpoints.were_deleted()
    folder.rmdir()
    assert checkpoints.were_deleted()
