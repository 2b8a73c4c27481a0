"""The film of a training, made of the grids that are there."""

import re
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from keras_dcgan import cli, film, sample
from keras_dcgan.config import SettingError
from keras_dcgan.generators import save_network
from keras_dcgan.networks import build_generator
from keras_dcgan.tools import draw
from keras_dcgan.tools.files import BadFile


@pytest.fixture
def run(tmp_path):
    """A run folder of three grids: fakes of grey level 50, 100 and 150 beside white reals."""
    (tmp_path / "run" / "samples").mkdir(parents=True)
    for level in (50, 100, 150):
        fakes = np.full((4, 16, 24, 3), level, np.uint8)
        picture = draw.beside(fakes, np.full_like(fakes, 255))
        draw.write_image(tmp_path / "run" / "samples" / f"step_{10 * level:06d}.png", picture)
        draw.write_image(tmp_path / "run" / "samples" / "latest.png", picture)
    return tmp_path / "run"


def make(*arguments) -> None:
    """The command, in this process."""
    sample.main(cli.parse(sample.define_flags, arguments))


def test_the_film_shows_the_fakes_of_each_grid_in_the_order_of_steps_and_the_last_longest(run, tmp_path):
    make(f"--run_dir={run}", f"--film={tmp_path}/new/training.mp4")
    video = cv2.VideoCapture(f"{tmp_path}/new/training.mp4")
    frames = []
    while (read := video.read())[0]:
        frames.append(read[1])
    assert frames[0].shape == (32, 48, 3)
    assert [round(float(frame.mean()), -1) for frame in frames] == [50] * 10 + [100] * 10 + [150] * 40
    assert max(float(np.ptp(frame)) for frame in frames) < 10  # nothing of the white reals or of the gap


def test_a_film_of_many_grids_does_not_last_longer(run):
    grids = [run / "samples" / "step_000500.png"] * 150
    assert len(list(film._frames(grids))) == 149 + 40
    assert len(list(film._frames(grids[:133]))) == 132 + 40
    assert max(len(list(film._frames(grids[:count]))) for count in range(1, 150)) <= 12 * 20


def test_of_very_many_grids_some_are_left_out_but_not_the_last(run, tmp_path):
    for step in range(2000, 2400):
        (run / "samples" / f"step_{step:06d}.png").symlink_to(run / "samples" / "step_000500.png")
    draw.write_image(run / "samples" / "step_002400.png", np.full((32, 104, 3), 250, np.uint8))
    assert film.write_film(run, tmp_path / "training.mp4") == 200
    video, brightness = cv2.VideoCapture(f"{tmp_path}/training.mp4"), []
    while (read := video.read())[0]:
        brightness.append(float(read[1].mean()))
    assert len(brightness) == 199 + 40  # 12 seconds
    assert brightness[0] < 60 and min(brightness[-40:]) > 240


def test_steps_beyond_a_million_come_last(run, tmp_path):
    draw.write_image(run / "samples" / "step_1000000.png", np.full((32, 104, 3), 250, np.uint8))
    make(f"--run_dir={run}", f"--film={tmp_path}/training.webp")
    last = Image.open(tmp_path / "training.webp")
    last.seek(last.n_frames - 1)
    assert np.asarray(last).mean() > 240


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_a_film_of_grey_grids(run, tmp_path, suffix):
    for path in (run / "samples").iterdir():
        draw.write_image(path, np.asarray(Image.open(path))[..., :1])
    make(f"--run_dir={run}", f"--film={tmp_path}/training{suffix}")
    assert Image.open(tmp_path / f"training{suffix}").size == (48, 32)


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--run_dir={run}", "--film=a.png"], "--film=a.png: must end in .gif, .webp, .mp4"),
        (["--generator=g.keras", "--film=a.gif"], "--film=a.gif: goes with --run_dir"),
        (["--run_dir={run}/empty", "--film=a.gif"], "run_dir={run}/empty: holds no sample grids"),
        (["--run_dir={run}", "--film=a.gif", "--count=9"], "shows what the run wrote; leave out --count"),
    ],
)
def test_a_film_that_cannot_be_made_is_the_users_mistake(run, flags, message):
    fill = lambda text: text.replace("{run}", str(run))  # noqa: E731
    with pytest.raises((cli.UserError, SettingError), match=re.escape(fill(message))):
        make(*map(fill, flags))


def test_no_film_is_written_if_the_rest_of_the_command_fails(run, tmp_path):
    with pytest.raises(BadFile, match=r"generator\.keras: no such file"):
        make(f"--run_dir={run}", f"--film={tmp_path}/training.gif", f"--out={tmp_path}/grid.png")
    assert not (tmp_path / "training.gif").exists()


def test_nothing_is_drawn_if_there_is_no_film(run, tmp_path):
    save_network(run / "generator.keras", build_generator(1, 16, 1, 5))
    shutil.rmtree(run / "samples")
    with pytest.raises(SettingError, match="holds no sample grids"):
        make(f"--run_dir={run}", f"--film={tmp_path}/training.gif", f"--out={tmp_path}/grid.png")
    assert not (tmp_path / "grid.png").exists()


def test_a_damaged_grid_is_named(run, tmp_path):
    grid = run / "samples" / "step_001000.png"
    grid.write_bytes(grid.read_bytes()[:-60])
    with pytest.raises(OSError) as raised:
        make(f"--run_dir={run}", f"--film={tmp_path}/training.gif")
    assert raised.value.filename == str(grid) and "truncated" in str(raised.value)
    assert not (tmp_path / "training.gif").exists()
