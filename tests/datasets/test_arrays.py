import numpy as np
import pytest

from keras_dcgan.datasets.arrays import open_array
from keras_dcgan.datasets.idx import write_idx
from keras_dcgan.datasets.stored import PictureLost
from keras_dcgan.tools.files import BadFile


def test_npy_npz_and_idx_files(tmp_path, colours, digits):
    np.save(tmp_path / "colours.npy", colours)
    np.save(tmp_path / "grey.npy", digits[..., 0])
    np.savez(tmp_path / "one.npz", x_train=colours, y_train=np.arange(10, dtype=np.uint8))
    write_idx(tmp_path / "digits-idx3-ubyte", digits[..., 0])
    for name, expected in (
        ("colours.npy", colours), ("grey.npy", digits), ("one.npz", colours), ("digits-idx3-ubyte", digits),
    ):  # fmt: skip
        images = open_array(tmp_path / name)
        assert images.shape == expected.shape
        np.testing.assert_array_equal(images[:], expected)
        np.testing.assert_array_equal(images[np.array([3, 3, 0])], expected[[3, 3, 0]])


@pytest.mark.parametrize(
    "name, save, message",
    [
        ("f.npy", lambda path: np.save(path, np.zeros((4, 8, 8, 3))), r"holds float64 \[4, 8, 8, 3\]; save it as"),
        ("c.npy", lambda path: np.save(path, np.zeros((4, 3, 8, 8), np.uint8)), r"in the order \[N, height"),
        ("o.npy", lambda path: np.save(path, np.array([{}]), allow_pickle=True), "holds object"),
        ("n.npy", lambda path: np.save(path, np.zeros((0, 8, 8), np.uint8)), r"holds uint8 \[0, 8, 8\]"),
        ("1.npy", lambda path: np.save(path, np.zeros((16, 16, 3), np.uint8)),
         r"holds one picture \[16, 16, 3\] .*use \[N, height, width, channels\]"),
        ("g.npy", lambda path: np.save(path, np.zeros((9, 16, 1), np.uint8)), r"holds one picture \[9, 16, 1\]"),
        ("1.npz", lambda path: np.savez(path, np.zeros((16, 16, 3), np.uint8)), r"holds one picture \[16, 16, 3\]"),
        ("1.idx", lambda path: write_idx(path, np.zeros((16, 16, 3), np.uint8)), r"holds one picture \[16, 16, 3\]"),
        ("r.npy", lambda path: np.save(path, np.zeros((4, 8, 8, 3), np.uint8, order="F")), "Fortran"),
        ("t.npy", lambda path: path.write_text("no array"), "not a .npy file"),
        ("2.npz", lambda path: np.savez(path, a=np.zeros((4, 8, 8), np.uint8), b=np.zeros((4, 8, 8), np.uint8)),
         r"2 arrays of images among a uint8 \[4, 8, 8\], b uint8"),
        ("0.npz", lambda path: np.savez(path, a=np.zeros(4)), r"no arrays of images among a float64 \[4\]"),
        ("p.npz", lambda path: np.savez(path, a=np.array([{}])), "no arrays of images among a .Object arrays"),
        ("t.npz", lambda path: path.write_text("no zip"), "t.npz: "),
        ("t.txt", lambda path: path.write_text("no images"), "a data set is a folder of pictures, or a .npy"),
    ],
)  # fmt: skip
def test_another_content_is_refused_with_what_to_do(tmp_path, name, save, message):
    save(tmp_path / name)
    with pytest.raises(BadFile, match=message) as raised:
        open_array(tmp_path / name)
    assert str(raised.value).startswith(str(tmp_path / name))


def test_a_cut_npy_file_is_refused_and_one_that_shrinks_later_is_reported(tmp_path, colours):
    path = tmp_path / "a.npy"
    np.save(path, colours)
    images = open_array(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadFile, match="cut: shorter than"):
        open_array(path)
    with pytest.raises(PictureLost, match="shorter"):
        images[9:]
    assert isinstance(images.failure, PictureLost)
