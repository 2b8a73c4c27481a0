import os
import re

import cv2
import numpy as np
import pytest
from PIL import Image

from keras_dcgan import cli, sample
from keras_dcgan.generators import draw_latents, save_network
from keras_dcgan.networks import build_generator


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "generator.keras"
    save_network(path, build_generator(2, 16, 3, 5))
    return path


def run(*arguments: str) -> None:
    """The command, in this process."""
    sample.main(cli.parse(sample.define_flags, arguments))


def test_many_pictures_are_drawn_in_parts(tmp_path, monkeypatch):
    generator = build_generator(2, 16, 1, 5)
    latents = draw_latents(7, 5, seed=0)
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    sample.write_pictures(tmp_path / "whole", generator, latents)
    monkeypatch.setattr(sample, "IN_MEMORY", 3)
    sample.write_pictures(tmp_path / "parts", generator, latents)
    for i in range(7):
        whole, part = (cv2.imread(str(tmp_path / name / f"{i:06d}.png")).astype(int) for name in ("whole", "parts"))
        assert np.abs(whole - part).max() <= 1  # the sum's order depends on the batch


def test_a_grid_has_its_limit_and_a_folder_has_none(generator, tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "LARGEST_GRID", 6)
    with pytest.raises(cli.UserError, match="--count=7: a grid holds 6 at most"):
        run(f"--generator={generator}", "--count=7", f"--out={tmp_path}/grid.png")
    run(f"--generator={generator}", "--count=7", f"--out={tmp_path}")
    assert len(list(tmp_path.iterdir())) == 7


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
        assert done.stderr == f"Wrote {tmp_path}/{name}.png\n"  # and no notes of TensorFlow's
    a, b, c = (cv2.imread(str(tmp_path / f"{name}.png")) for name in "abc")
    assert a.shape == (2 * 16, 3 * 16, 3)
    np.testing.assert_array_equal(a, b)
    assert np.any(a != c)


def test_a_run_folder_gives_single_pictures_and_an_animation(command, generator, tmp_path):
    out, morph = tmp_path / "new" / "pictures", tmp_path / "morph.gif"
    done = command(
        "keras_dcgan.sample", f"--run_dir={generator.parent}", "--count=3", f"--out={out}/", f"--interpolate={morph}"
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["000000.png", "000001.png", "000002.png"]
    assert cv2.imread(str(out / "000000.png")).shape == (16, 16, 3)
    assert morph.read_bytes().startswith(b"GIF89a")
    with Image.open(morph) as animation:
        assert animation.n_frames > 100 and animation.info["loop"] == 0


@pytest.mark.parametrize(
    "flags, message",
    [
        ([], "give either --run_dir"),
        (["--generator=missing.keras"], "give --out"),
        (["--generator=missing.keras", "--out=a.png"], "missing.keras: no such file"),
        (["--generator=missing.keras", "--interpolate=a.avi"], "must end in .gif or .mp4"),
        (["--generator=missing.keras", "--count=0", "--out=a.png"], "count"),
        (["--generator=missing.keras", "--out="], "out=: must not be empty"),
        (["--generator=missing.keras", "--interpolate="], "interpolate=: must not be empty"),
        (["--generator=", "--out=a.png"], "generator=: must not be empty"),
        (["--run_dir=", "--out=a.png"], "run_dir=: must not be empty"),
        (["--generator=missing.keras", os.fsdecode(b"--interpolate=\xff.gif")], "UTF-8"),
        ([os.fsdecode(b"--generator=\xff.keras"), "--out=a.png"], "UTF-8"),
    ],
)
def test_a_mistake_is_one_line(command, flags, message):
    done = command("keras_dcgan.sample", *flags)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "name, advice",
    [
        ("picture.doc", "use .png"),
        ("picture", "end in / for a folder"),
        ("grid.gif", "an animation is --interpolate="),
    ],
)
def test_a_grid_of_an_unknown_format_is_refused_before_anything_is_drawn(command, tmp_path, name, advice):
    done = command("keras_dcgan.sample", "--generator=missing.keras", f"--out={tmp_path}/{name}")
    assert done.returncode == 2
    assert f"--out={tmp_path}/{name}: " in done.stderr and advice in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", sample.GRIDS)
def test_a_grid_is_written_in_every_format_that_is_offered(generator, tmp_path, suffix):
    run(f"--generator={generator}", "--count=4", f"--out={tmp_path}/grid{suffix}")
    with Image.open(tmp_path / f"grid{suffix}") as picture:
        assert picture.size == (32, 32) and picture.mode == "RGB"


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--out=a.png", "--which=best"], "--which=best: goes with --run_dir"),
        (["--out={file}/a.png"], "--out={file}/a.png: {file}: is not a folder"),
        (["--out={file}/"], "--out={file}/: {file}: is not a folder"),
        (["--interpolate={file}/new/a.gif"], "--interpolate={file}/new/a.gif: {file}/new: is not a folder"),
    ],
)
def test_an_impossible_place_or_choice_is_the_users_mistake(generator, tmp_path, flags, message):
    (tmp_path / "file").write_text("in the way")
    fill = lambda text: text.replace("{file}", str(tmp_path / "file"))  # noqa: E731
    with pytest.raises(cli.UserError, match=re.escape(fill(message))):
        run(f"--generator={generator}", "--count=1", *map(fill, flags))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_tilde_is_the_home_folder(generator, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    run(f"--generator={generator}", "--count=1", "--out=~/new/a.png", "--interpolate=~/morph.gif")
    assert (tmp_path / "new" / "a.png").exists() and (tmp_path / "morph.gif").exists()


def test_a_generator_that_draws_nan_gives_no_picture(tmp_path):
    broken = build_generator(2, 16, 1, 5)
    broken.trainable_variables[0].assign(broken.trainable_variables[0] * np.nan)
    save_network(tmp_path / "broken.keras", broken)
    with pytest.raises(FloatingPointError, match="not finite"):
        run(f"--generator={tmp_path}/broken.keras", f"--out={tmp_path}/a.png", "--count=4")
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    "flag, name", [("interpolate", "morph.gif"), ("interpolate", "morph.mp4"), ("out", "grid.png")]
)
def test_a_full_disk_keeps_the_old_file_and_is_an_error_that_names_it(command, generator, small_disk, flag, name):
    file, flags = small_disk / name, (f"--generator={generator}", "--count=400")
    done = command("keras_dcgan.sample", *flags, f"--{flag}={file}")
    assert done.returncode == 0, done.stderr
    before = file.read_bytes()
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (small_disk / "filler").write_bytes(bytes(max(0, free - len(before) // 2)))  # room for half of a file
    done = command("keras_dcgan.sample", *flags, f"--{flag}={file}")
    assert done.returncode == 1
    assert str(file) in done.stderr.splitlines()[-1] and "disk" in done.stderr.splitlines()[-1].replace(
        "device", "disk"
    )
    assert "Wrote" not in done.stderr and "Traceback" not in done.stderr
    assert file.read_bytes() == before
    assert sorted(path.name for path in small_disk.iterdir()) == ["filler", name]
