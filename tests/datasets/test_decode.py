import subprocess
import sys
import time

import cv2
import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_dcgan.datasets import decode
from keras_dcgan.datasets.square import Target, fit_to_square
from tests.datasets import zoo

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # pytest takes back the filters of `decode`

FILES = zoo.files()
GOOD = zoo.good_files()


def expected(image: PIL.Image.Image, background: int = 255) -> np.ndarray:
    """The middle square of a picture on the background, uint8 [S, S, 3]."""
    pixels = np.asarray(image.convert("RGBA"), np.float64)
    alpha = pixels[..., 3:] / 255
    side, (height, width) = min(image.size), pixels.shape[:2]
    top, left = (height - side) // 2, (width - side) // 2
    flat = pixels[..., :3] * alpha + background * (1 - alpha)
    return np.rint(flat)[top : top + side, left : left + side].astype(int)


@pytest.mark.parametrize("name", FILES)
def test_every_format_and_colour_mode_shows_what_it_was_made_from(name):
    data, image = FILES[name]
    wanted = expected(image)
    decode.inspect(data)
    ours = decode.decode(data, Target(len(wanted), 3))
    assert ours.shape == wanted.shape and ours.dtype == np.uint8
    difference = np.abs(ours.astype(int) - wanted)
    luma = np.abs(decode.decode(data, Target(len(wanted), 1))[..., 0] - ours @ [0.299, 0.587, 0.114])
    if name.startswith(zoo.LOSSY):
        assert difference.mean() < 4 and luma.mean() < 1  # of JPEGs it is the stored one, before colours are clipped
    else:
        assert difference.max() <= 1 and luma.max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_exif_orientation(kind, orientation):
    turned = {
        1: None, 2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90",
        7: "TRANSVERSE", 8: "ROTATE_270",
    }[orientation]  # fmt: skip
    options = {
        "JPEG": {"quality": 100, "subsampling": 0},
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    }
    image = zoo.picture("F")
    stored = image.transpose(PIL.Image.Transpose[turned]) if turned else image
    data = zoo.encode(stored, kind, exif=zoo.exif(orientation), **options.get(kind, {}))
    difference = np.abs(decode.decode(data, Target(64, 3)).astype(int) - expected(image))
    assert difference.mean() < 2 and difference.max() < 30


@pytest.mark.parametrize(
    "block", [b"MM", b"Exif\0\0II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\x09" + b"\0" * 12, zoo.exif(77)]
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_damaged_or_impossible_exif_orientation_means_upright(kind, block):
    data = zoo.encode(zoo.picture("F"), kind, exif=block)
    assert np.abs(decode.decode(data, Target(64, 3)).astype(int) - expected(zoo.picture("F"))).mean() < 5


@pytest.mark.parametrize("background, value", [("white", 255), ("black", 0), ("grey", 128)])
@pytest.mark.parametrize("name", [name for name in FILES if zoo.is_transparent(FILES[name][1])])
def test_transparent_pictures_lie_on_the_background(name, background, value):
    data, image = FILES[name]
    ours = decode.decode(data, Target(64, 3, background=background))
    difference = np.abs(ours.astype(int) - expected(image, value))
    assert difference.mean() < 4 if name.startswith(zoo.LOSSY) else difference.max() <= 1


def test_crop_pad_and_stretch():
    image = np.full((32, 64, 3), 100, np.uint8)
    image[:, 16:48] = 200
    data = cv2.imencode(".png", image)[1].tobytes()
    assert (decode.decode(data, Target(16, 3, "crop")) == 200).all()
    padded = decode.decode(data, Target(16, 1, "pad", "black"))[..., 0]
    assert (padded[:4] == 0).all() and (padded[12:] == 0).all()
    assert (padded[4:12, 4:12] == 200).all() and (padded[4:12, :4] == 100).all()
    stretched = decode.decode(data, Target(16, 1, "stretch"))[..., 0]
    assert (stretched[:, :4] == 100).all() and (stretched[:, 4:12] == 200).all()
    thin = cv2.imencode(".png", np.zeros((1, 5000), np.uint8))[1].tobytes()
    assert decode.decode(thin, Target(16, 3, "pad")).min() == 0


def test_a_large_jpeg_decoded_small_does_not_alias():
    stripes = np.zeros((1024, 1024), np.uint8)
    stripes[:, ::2] = 255
    data = cv2.imencode(".jpg", stripes, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    assert np.abs(decode.decode(data, Target(16, 1)).astype(int) - 127.5).max() < 8
    data, image = FILES["jpeg/large.jpg"]
    whole = cv2.resize(np.uint8(expected(image)), (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(decode.decode(data, Target(64, 3)).astype(int) - whole).mean() < 1.5


@pytest.mark.parametrize("name", [name for name in zoo.bad_files() if "same" not in name and "tiny" not in name])
def test_a_broken_file_is_refused_with_a_reason(name, capfd):
    data, reason = zoo.bad_files()[name]
    start = time.monotonic()
    with pytest.raises(ValueError, match=reason):
        decode.inspect(data)
    assert time.monotonic() - start < 1
    if not name.endswith(".tif"):  # libtiff writes a line of its own, which Pillow cannot hold back
        assert capfd.readouterr().err == ""


def test_heic_without_its_package_is_refused_with_the_packages_name(monkeypatch):
    monkeypatch.setattr(decode, "heif_version", lambda: None)
    with pytest.raises(ValueError, match=r"^HEIC needs the package pillow-heif: pip install pillow-heif$"):
        decode.decode(b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf", Target(16, 3))


def test_libraries_warn_of_nothing_in_the_terminal(tmp_path):
    zoo.make(tmp_path)
    (tmp_path / "bad" / "damaged.tif").unlink()  # libtiff writes a line of its own
    (tmp_path / "exif.jpg").write_bytes(zoo.encode(zoo.picture("F"), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"))
    code = (
        "import pathlib, sys; from keras_dcgan.datasets import decode\n"
        "for path in pathlib.Path(sys.argv[1]).rglob('*.*'):\n"
        "    try: decode.inspect(path.read_bytes())\n"
        "    except (ValueError, OSError): pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("mode", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_decoded_in_its_own_colours_is_the_same_as_in_rgb(mode, channels):
    image = zoo.picture("", 300, 200).convert("RGB")
    target = Target(64, channels, mode, "black")
    rgb = fit_to_square(np.asarray(image), target)
    for keep_rgb in (False, True):  # True: the file stores RGB
        data = zoo.encode(image, "JPEG", quality=100, subsampling=0, keep_rgb=keep_rgb)
        assert np.abs(decode.decode(data, target).astype(int) - rgb).max() <= 4


def test_pillows_own_limit_is_left_alone():
    assert PIL.Image.MAX_IMAGE_PIXELS == 89_478_485


def test_inspect_reports_the_size_that_people_see_and_colour():
    assert decode.inspect(GOOD["jpeg/rotated.jpg"]) == (96, 64, True)
    assert decode.inspect(GOOD["jpeg/grey.jpg"]) == (96, 64, False)
    assert decode.inspect(GOOD["png/grey alpha.png"]) == (96, 64, False)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(GOOD)),
    st.floats(0, 1),
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=4),
)
def test_any_bytes_give_a_picture_or_a_reason(name, length, flips):
    data = bytearray(GOOD[name][: max(1, int(length * 1.5 * len(GOOD[name])))])
    for place, change in flips:
        data[int(place * min(len(data) - 1, 200))] ^= change  # headers are where the trouble is
    try:
        assert decode.decode(bytes(data), Target(16, 3)).shape == (16, 16, 3)
    except ValueError as error:
        assert str(error)
