import numpy as np
import pytest

from keras_dcgan.datasets.decode import decode
from keras_dcgan.datasets.square import Target, fit_to_square
from keras_dcgan.datasets.stored import FittedImages, FolderImages, PictureLost
from tests.datasets import zoo


def open_folder(folder, names, target):
    return FolderImages(folder, names, np.array([(folder / name).stat().st_size for name in names]), target)


@pytest.mark.parametrize("threads", [1, 3])
def test_files_are_indexed_like_an_array(mixed, threads):
    names = sorted(zoo.good_files())
    target = Target(32, 3, "pad")
    images = open_folder(mixed, names, target)
    images.threads = threads
    assert images.shape == (len(names), 32, 32, 3) and len(images) == len(names)
    expected = np.stack([decode((mixed / name).read_bytes(), target) for name in names])
    np.testing.assert_array_equal(images[:], expected)
    np.testing.assert_array_equal(images[np.array([7, 0, 7])], expected[[7, 0, 7]])
    order = np.random.default_rng(0).permutation(len(names))
    np.testing.assert_array_equal(images.reordered(order)[2:9], expected[order][2:9])
    np.testing.assert_array_equal(images.reordered(order).reordered(order)[3:5], expected[order][order][3:5])


@pytest.mark.parametrize("harm, message", [("vanishes", "No such file"), ("grows", "has changed"), ("breaks", "not a")])
def test_a_file_that_changes_is_reported_by_name_with_advice(tmp_path, harm, message):
    folder = zoo.numbered(tmp_path / "n", 4)
    images = open_folder(folder, [f"{i:03d}.png" for i in range(4)], Target(16, 3))
    victim = folder / "002.png"
    data = victim.read_bytes()
    victim.unlink()
    if harm != "vanishes":
        victim.write_bytes(data + b"x" if harm == "grows" else b"\0" * len(data))
    assert images[:2].shape == (2, 16, 16, 3)
    with pytest.raises(PictureLost, match=f"002.png: .*{message}.*; restore the file and resume the run") as raised:
        images[:]
    assert images.failure is raised.value


def test_images_of_an_array_become_square():
    wide = np.random.default_rng(0).integers(0, 256, (3, 8, 16, 3), np.uint8)
    target = Target(16, 1, "pad", "black")
    images = FittedImages(wide, target)
    assert images.shape == (3, 16, 16, 1)
    np.testing.assert_array_equal(images[np.array([2])][0], fit_to_square(wide[2], target))
    grey = FittedImages(wide[..., :1], Target(16, 3, "crop"))
    assert grey[:].shape == (3, 16, 16, 3) and (np.ptp(grey[:], axis=-1) == 0).all()
