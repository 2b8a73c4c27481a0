import re

import cv2
import numpy as np
import pytest

from keras_dcgan import cli, runs, sample
from keras_dcgan.networks import build_generator


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "generator.keras"
    runs.save_network(path, build_generator(2, 16, 3, 5))
    return path


def test_many_pictures_are_drawn_in_parts_and_a_grid_has_its_limit(tmp_path, monkeypatch):
    generator = build_generator(2, 16, 1, 5)
    latents = runs.draw_latents(7, 5, seed=0)
    sample.write_pictures(f"{tmp_path}/whole/", generator, latents)
    monkeypatch.setattr(sample, "IN_MEMORY", 3)
    sample.write_pictures(f"{tmp_path}/parts/", generator, latents)
    for i in range(7):
        whole, part = (cv2.imread(str(tmp_path / name / f"{i:06d}.png")).astype(int) for name in ("whole", "parts"))
        assert np.abs(whole - part).max() <= 1  # the sum's order depends on the batch
    monkeypatch.setattr(sample, "LARGEST_GRID", 6)
    with pytest.raises(ValueError, match="--count=7: a grid holds 6 at most"):
        sample.write_pictures(str(tmp_path / "grid.png"), generator, latents)


def test_the_same_seed_gives_the_same_picture(command, generator, tmp_path):
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        done = command(
            "keras_dcgan.sample",
            f"--generator={generator}",
            "--count=6",
            f"--seed={seed}",
            f"--out={tmp_path}/{name}.png",
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == f"Wrote {tmp_path}/{name}.png\n"  # and nothing of TensorFlow's
    a, b, c = (cv2.imread(str(tmp_path / f"{name}.png")) for name in "abc")
    assert a.shape == (2 * 16, 3 * 16, 3)
    np.testing.assert_array_equal(a, b)
    assert np.any(a != c)


def test_a_folder_of_single_pictures_from_a_run_folder_and_a_morph(command, generator, tmp_path):
    out, morph = tmp_path / "new" / "pictures", tmp_path / "morph.gif"
    done = command(
        "keras_dcgan.sample", f"--run_dir={generator.parent}", "--count=3", f"--out={out}/", f"--interpolate={morph}"
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["000000.png", "000001.png", "000002.png"]
    assert cv2.imread(str(out / "000000.png")).shape == (16, 16, 3)
    assert morph.read_bytes().startswith(b"GIF89a")


@pytest.mark.parametrize(
    "flags, message",
    [
        ([], "give either --run_dir"),
        (["--generator=missing.keras"], "give --out"),
        (["--generator=missing.keras", "--out=a.png"], "missing.keras: no such file"),
        (["--generator=missing.keras", "--interpolate=a.avi"], "must end in .gif or .mp4"),
        (["--generator=missing.keras", "--count=0", "--out=a.png"], "count"),
    ],
)
def test_a_mistake_is_told_in_a_line(command, flags, message):
    done = command("keras_dcgan.sample", *flags)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


def test_a_picture_of_an_unknown_kind_is_refused(command, generator, tmp_path):
    done = command("keras_dcgan.sample", f"--generator={generator}", f"--out={tmp_path}/picture.doc")
    assert done.returncode == 2
    assert "use .png" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"out": "a.png", "which": "best"}, "--which=best: goes with --run_dir"),
        ({"out": ""}, "give --out"),
        ({"out": "{file}/a.png"}, "--out={file}/a.png: {file}: is no folder"),
        ({"out": "{file}/"}, "--out={file}/: {file}: is no folder"),
        ({"interpolate": "{file}/new/a.gif"}, "--interpolate={file}/new/a.gif: {file}/new: is no folder"),
    ],
)
def test_a_place_or_a_choice_that_cannot_be_is_the_users_mistake(given, generator, tmp_path, flags, message):
    (tmp_path / "file").write_text("in the way")
    fill = lambda text: text.replace("{file}", str(tmp_path / "file"))  # noqa: E731
    given(generator=str(generator), count=1, seed=0, **{name: fill(value) for name, value in flags.items()})
    with pytest.raises(cli.UserError, match=re.escape(fill(message))):
        sample.main()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_generator_gone_wrong_draws_no_picture(given, tmp_path):
    broken = build_generator(2, 16, 1, 5)
    broken.trainable_variables[0].assign(broken.trainable_variables[0] * np.nan)
    runs.save_network(tmp_path / "broken.keras", broken)
    given(generator=str(tmp_path / "broken.keras"), out=str(tmp_path / "a.png"), count=4, seed=0)
    with pytest.raises(FloatingPointError, match="not finite"):
        sample.main()
    assert not (tmp_path / "a.png").exists()


def test_interpolation_keeps_lengths_and_passes_through_the_latents():
    latents = np.eye(3, 5, dtype=np.float32) * 2
    path = np.stack(list(sample.interpolate(latents, steps=4)))
    assert path.shape == (12, 5) and path.dtype == np.float32
    np.testing.assert_allclose(path[::4], latents, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), 2, rtol=1e-5)


def test_interpolation_between_equal_latents_stays():
    path = np.stack(list(sample.interpolate(np.ones((2, 5), np.float32), steps=3)))
    np.testing.assert_allclose(path, np.ones((6, 5)), atol=1e-6)


def test_the_package_lists_its_commands(command):
    done = command("keras_dcgan")
    assert done.returncode == 0
    for name in ("keras_dcgan.fit", "keras_dcgan.sample", "keras_dcgan.prepare", "keras_dcgan.train_features"):
        assert name in done.stdout
