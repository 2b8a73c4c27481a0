import io
import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from keras_dcgan import headers, pictures
from keras_dcgan.pipeline import transform
from tests import zoo

GOOD = zoo.good_files()


def reference(data: bytes, background: int = 255) -> np.ndarray:
    """What Pillow makes of a file: upright, on the background, the middle square, uint8 [S, S, 3]."""
    image = Image.open(io.BytesIO(data))
    if image.mode.startswith("I"):
        image = Image.fromarray(np.uint8(np.asarray(image, np.float64) / 257 + 0.5))
    image = ImageOps.exif_transpose(image).convert("RGBA")
    below = Image.new("RGBA", image.size, (background,) * 3)
    image = Image.alpha_composite(below, image).convert("RGB")
    side, (width, height) = min(image.size), image.size
    left, top = (width - side) // 2, (height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)))


@pytest.mark.parametrize("name", GOOD)
def test_every_format_and_colour_mode_agrees_with_pillow(name):
    if name == "png/rgb 16.png":  # which Pillow reads as 8-bit
        expected = np.rint(zoo.sixteen_bit(3)[:, 16:80, ::-1] / 257).astype(np.uint8)
    else:
        expected = reference(GOOD[name])
    ours = pictures.decode(GOOD[name], len(expected), 3, verify=True)
    assert ours.shape == expected.shape and ours.dtype == np.uint8
    lossy = name.endswith(("jpg", "JPEG")) or name in ("webp/lossy.webp", "webp/moving.webp", "webp/rotated.webp")
    difference = np.abs(ours.astype(int) - expected)
    assert difference.max() <= (12 if lossy else 1) and difference.mean() < 1.5
    np.testing.assert_allclose(  # luma
        pictures.decode(GOOD[name], len(expected), 1)[..., 0], ours @ [0.299, 0.587, 0.114], atol=1
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_exif_orientation(kind, orientation):
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    data = zoo.encode(zoo.picture("F"), kind, exif=zoo.exif(orientation), **options)
    assert np.abs(pictures.decode(data, 64, 3).astype(int) - reference(data)).max() <= 2


@pytest.mark.parametrize("block", [b"", b"MM", b"Exif\0\0II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\x09" + b"\0" * 12])
def test_a_damaged_exif_block_means_upright(block):
    assert headers.exif_orientation(block) == 1


def test_an_exif_rotation_of_nonsense_means_upright():
    assert headers.exif_orientation(zoo.exif(6)) == 6
    assert headers.exif_orientation(zoo.exif(77)) == 1


@pytest.mark.parametrize("background, value", [("white", 255), ("black", 0), ("grey", 128)])
def test_transparent_pictures_lie_on_the_background(background, value):
    for name in ("png/rgba.png", "webp/rgba.webp", "png/grey alpha.png", "gif/transparent.gif"):
        ours = pictures.decode(GOOD[name], 64, 3, background=background)
        assert np.abs(ours.astype(int) - reference(GOOD[name], value)).max() <= 1


def test_fit():
    image = np.full((32, 64, 3), 100, np.uint8)
    image[:, 16:48] = 200
    data = cv2.imencode(".png", image)[1].tobytes()
    assert (pictures.decode(data, 16, 3, fit="crop") == 200).all()
    padded = pictures.decode(data, 16, 1, fit="pad", background="black")[..., 0]
    assert (padded[:4] == 0).all() and (padded[12:] == 0).all()
    assert (padded[4:12, 4:12] == 200).all() and (padded[4:12, :4] == 100).all()
    stretched = pictures.decode(data, 16, 1, fit="stretch")[..., 0]
    assert (stretched[:, :4] == 100).all() and (stretched[:, 4:12] == 200).all()
    thin = cv2.imencode(".png", np.zeros((1, 5000), np.uint8))[1].tobytes()
    assert pictures.decode(thin, 16, 3, fit="pad").min() == 0


@pytest.mark.parametrize("height, width, size", [(20, 31, 64), (16, 16, 32), (64, 64, 64), (28, 28, 64)])
def test_enlarging_is_the_pipelines(height, width, size):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    ours = pictures.resize(image, size, size)
    expected = (transform(image[None], size, 3).numpy()[0] + 1) * 127.5
    np.testing.assert_allclose(ours, expected, atol=0.51)


def test_shrinking_averages_areas_also_where_the_other_axis_grows():
    image = np.random.default_rng(0).integers(0, 256, (128, 64, 3), np.uint8)
    means = image.reshape(16, 8, 16, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(pictures.resize(image, 16, 16), means, atol=0.51)
    stripes = np.zeros((64, 10), np.uint8)
    stripes[::2] = 255  # finer than 16 rows can show: only their mean is right
    assert np.abs(pictures.resize(stripes, 16, 40).astype(int) - 127.5).max() <= 1


def test_a_large_jpeg_decoded_small_does_not_alias():
    stripes = np.zeros((1024, 1024), np.uint8)
    stripes[:, ::2] = 255
    data = cv2.imencode(".jpg", stripes, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    assert np.abs(pictures.decode(data, 16, 1).astype(int) - 127.5).max() < 8
    whole = cv2.resize(reference(GOOD["jpeg/large.jpg"]), (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(pictures.decode(GOOD["jpeg/large.jpg"], 64, 3).astype(int) - whole).mean() < 1.5


@pytest.mark.parametrize("name", [name for name in zoo.bad_files() if "same" not in name and "tiny" not in name])
def test_a_broken_file_is_refused_with_a_reason(name, capfd):
    data, reason = zoo.bad_files()[name]
    start = time.monotonic()
    with pytest.raises(ValueError, match=reason):
        pictures.inspect(data)
    assert time.monotonic() - start < 1
    assert capfd.readouterr().err == ""


def test_a_wrong_colour_profile_is_no_reason_to_talk(capfd):
    assert pictures.inspect(GOOD["png/wrong profile.png"]) == (96, 64, True)
    assert capfd.readouterr().err == ""


def test_inspect_tells_stored_size_and_colour():
    assert pictures.inspect(GOOD["jpeg/rotated.jpg"]) == (64, 96, True)
    assert pictures.inspect(GOOD["jpeg/grey.jpg"]) == (96, 64, False)
    assert pictures.inspect(GOOD["png/grey alpha.png"]) == (96, 64, False)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(GOOD)),
    st.floats(0, 1),
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=4),
)
def test_whatever_the_bytes_a_picture_or_a_reason(name, length, flips):
    data = bytearray(GOOD[name][: max(1, int(length * 1.5 * len(GOOD[name])))])
    for place, change in flips:
        data[int(place * min(len(data) - 1, 200))] ^= change  # headers are where the trouble is
    try:
        assert pictures.decode(bytes(data), 16, 3).shape == (16, 16, 3)
    except ValueError as error:
        assert str(error)
