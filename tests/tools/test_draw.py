import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_dcgan.tools import draw


@given(
    count=st.integers(1, 12), height=st.integers(1, 5), width=st.integers(1, 5),
    columns=st.one_of(st.none(), st.integers(1, 14)), channels=st.sampled_from([1, 3]),
)  # fmt: skip
def test_every_image_stands_at_its_row_and_column(count, height, width, columns, channels):
    batch = np.random.default_rng(0).integers(1, 256, (count, height, width, channels), np.uint8)
    grid = draw.make_grid(batch, columns)
    per_row = columns or int(np.ceil(np.sqrt(count)))
    assert grid.shape == (-(-count // per_row) * height, per_row * width, channels)
    for i in range(count):
        top, left = i // per_row * height, i % per_row * width
        np.testing.assert_array_equal(grid[top : top + height, left : left + width], batch[i])
    assert np.count_nonzero(grid) == batch.size  # the rest is black


def test_an_empty_grid_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        draw.make_grid(np.zeros((0, 4, 4, 1), np.uint8))


def test_beside_puts_fakes_left_and_reals_right():
    picture = draw.beside(np.full((4, 3, 5, 1), 10, np.uint8), np.full((4, 3, 5, 1), 20, np.uint8))
    assert picture.shape == (6, 10 + draw.GAP + 10, 1)
    assert (picture[:, :10] == 10).all() and (picture[:, -10:] == 20).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_written_png_reads_back_the_same(tmp_path, channels):
    picture = np.random.default_rng(0).integers(0, 256, (7, 9, channels), np.uint8)
    draw.write_image(tmp_path / "a.png", picture)
    read = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read if channels == 1 else read[..., ::-1], picture.squeeze())


@pytest.mark.parametrize("name", ["picture", "picture.doc"])
def test_an_unknown_suffix_is_refused_and_nothing_is_left(tmp_path, name):
    with pytest.raises(ValueError, match=r"use \.png"):
        draw.write_image(tmp_path / name, np.zeros((4, 4, 1), np.uint8))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_animation_has_all_its_frames(tmp_path, suffix, channels):
    frames = [np.full((32, 32, channels), level, np.uint8) for level in (0, 60, 120, 180, 240)]
    path = tmp_path / f"morph{suffix}"
    draw.write_animation(path, frames)
    video = cv2.VideoCapture(str(path))
    levels = []
    while (read := video.read())[0]:
        levels.append(read[1].mean())
    np.testing.assert_allclose(levels, [0, 60, 120, 180, 240], atol=6)  # both formats lose a little


def test_an_animation_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.gif or \.mp4"):
        draw.write_animation(tmp_path / "morph.avi", [np.zeros((4, 4, 1), np.uint8)])


def test_the_loss_figure_is_a_picture(tmp_path):
    values = {name: [1.0, 0.5, 0.7] for name in ("d_loss", "g_loss", "d_real", "d_fake")}
    draw.write_loss_figure(tmp_path / "losses.png", [10, 20, 30], values)
    assert cv2.imread(str(tmp_path / "losses.png")).std() > 5


def test_the_confusion_figure_is_a_picture_for_any_names(tmp_path):
    names = ["cat", "$x", "y$", "a_b", "ankle boot"]
    shares = np.eye(5)
    shares[0] = 0.0  # a class that was never asked for
    draw.write_confusion_figure(tmp_path / "a.png", shares, names, "5 classes")
    picture = cv2.imread(str(tmp_path / "a.png"))
    assert picture.std() > 5
    shares[0] = [0.5, 0.25, 0.25, 0.0, 0.0001]
    draw.write_confusion_figure(tmp_path / "b.png", shares, names, "5 classes")
    other = cv2.imread(str(tmp_path / "b.png"))
    assert other.shape == picture.shape and np.any(other != picture)
