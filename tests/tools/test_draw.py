import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from keras_dcgan.tools import draw
from keras_dcgan.tools.files import BadFile


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


def ellipse(width: int, height: int) -> np.ndarray:
    """A white ellipse on black that leaves a quarter of each side free: uint8 [H, W, 1]."""
    y, x = (np.mgrid[:height, :width] + 0.5) / np.array([height, width])[:, None, None]
    return (255 * (((x - 0.5) ** 2 + (y - 0.5) ** 2) < 0.25**2)).astype(np.uint8)[..., np.newaxis]


def blob_shape(image: np.ndarray) -> float:
    """Width / height of what is bright in an image [H, W, C], by its spread along each axis."""
    y, x = np.nonzero(image[..., 0] > 127)
    return float(x.std() / y.std())


@pytest.mark.parametrize("aspect, shape", [(1.5, (64, 96)), (2 / 3, (96, 64)), (1, (64, 64)), (1.33, (64, 85))])
@pytest.mark.parametrize("channels", [1, 3])
def test_stretched_images_have_the_pictures_shape_and_no_side_becomes_shorter(aspect, shape, channels):
    squares = np.repeat(ellipse(64, 64), channels, axis=-1)[np.newaxis].repeat(3, axis=0)
    stretched = draw.stretch(squares, aspect)
    assert stretched.shape == (3, *shape, channels) and stretched.dtype == np.uint8
    assert blob_shape(stretched[1]) == pytest.approx(aspect, rel=0.03)
    assert stretched.min() == 0 and stretched.max() == 255  # bicubic overshoots, and must not wrap around
    assert draw.make_grid(stretched, 2).shape == (2 * shape[0], 2 * shape[1], channels)


def test_a_stretched_image_has_limits():
    square = np.zeros((1, 16, 16, 1), np.uint8)
    assert draw.stretch(square, 1000.0).shape == (1, 16, 160, 1)
    assert draw.stretch(square, 0.0).shape == (1, 160, 16, 1)


@pytest.mark.parametrize("text, aspect", [("3:2", 1.5), ("2:3", 2 / 3), ("1.5", 1.5), ("1", 1), ("4:3.2", 1.25)])
def test_a_shape_is_two_numbers_or_one(text, aspect):
    assert draw.read_aspect(text) == pytest.approx(aspect)


@pytest.mark.parametrize("text", ["", "wide", "3:", ":2", "3:0", "0", "-1", "11", "0.05", "nan", "inf", "1:2:3", "3x2"])
def test_what_is_no_shape_is_refused(text):
    with pytest.raises(ValueError, match=r"must be width:height, as 3:2, or a number, as 1\.5, from 0\.1 to 10"):
        draw.read_aspect(text)


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


@pytest.mark.parametrize("suffix", draw.ANIMATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_an_animation_has_all_its_frames(tmp_path, suffix, channels):
    frames = [np.full((32, 32, channels), level, np.uint8) for level in (0, 60, 120, 180, 240)]
    path = tmp_path / f"morph{suffix}"
    draw.write_animation(path, frames)
    if suffix == ".webp":  # which OpenCV's video reader does not know
        levels = [np.asarray(frame.convert("RGB")).mean() for frame in ImageSequence.Iterator(Image.open(path))]
    else:
        video = cv2.VideoCapture(str(path))
        levels = []
        while (read := video.read())[0]:
            levels.append(read[1].mean())
    np.testing.assert_allclose(levels, [0, 60, 120, 180, 240], atol=6)  # all formats lose a little


def test_an_animation_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.gif, \.webp, \.mp4"):
        draw.write_animation(tmp_path / "morph.avi", [np.zeros((4, 4, 1), np.uint8)])


def test_the_loss_figure_is_a_picture(tmp_path):
    values = {name: [1.0, 0.5, 0.7] for name in ("d_loss", "g_loss", "d_real", "d_fake")}
    draw.write_loss_figure(tmp_path / "losses.png", [10, 20, 30], values)
    assert cv2.imread(str(tmp_path / "losses.png")).std() > 5


def test_the_widest_numbers_fit_into_the_figures_of_a_run(tmp_path):
    steps = [1e6, 2e6]
    losses = {"d_loss": [123_456.0, 99_999.5], "g_loss": [0.5, 1.5], "d_real": [0.5, 0.75], "d_fake": [0.5, 0.25]}
    draw.write_loss_figure(tmp_path / "a.png", steps, losses)
    shares = {name: [0.125, 12.5] for name in ("precision", "recall", "density", "coverage")}
    values = {"frechet_distance": [0.0212, 0.0209], **shares}
    draw.write_metrics_figure(tmp_path / "b.png", steps, values, 0.0208, "2000 samples, mnist-classifier features")
    for name in ("a.png", "b.png"):
        picture = cv2.imread(str(tmp_path / name))
        assert picture.std() > 5
        assert all((edge == 255).all() for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1])), name


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


def test_an_image_too_large_for_its_format_is_named(tmp_path):
    with pytest.raises(BadFile, match=r"grid\.webp: .*16383"):
        draw.write_image(tmp_path / "grid.webp", np.zeros((1, 16_384, 1), np.uint8))
    for shape in ((1, 65_501, 1), (65_501, 1, 3)):
        with pytest.raises(BadFile, match=r"grid\.jpg: a JPEG has at most 65,500 pixels a side"):
            draw.write_image(tmp_path / "grid.jpg", np.zeros(shape, np.uint8))
    assert list(tmp_path.iterdir()) == []
