"""Images that stay on disk until they are needed: a folder of files, or arrays in files. Indexed like an array."""

import copy
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from keras_dcgan.datasets.decode import decode, read_file
from keras_dcgan.datasets.square import Target, fit_to_square

SMALL_BYTES = 2**13  # files up to about this decode so fast that Python's lock makes more threads the slower way
ATTEMPTS = 3  # to read a file, since network file systems hiccup
ADVICE = "; restore the file and resume the run, or set cache_dir, so that a run reads a decoded copy"


class PictureLost(OSError):
    """A file that was there when the data set was opened cannot be read any more; the message names it."""


class Images:
    """N images of one size, read when indexed: with a slice or an integer array, giving uint8 [n, H, W, C].

    Subclasses say how image number i is read. `failure` holds the exception of a reading that failed, for callers who
    see it only as TensorFlow reports it.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, count: int, height: int, width: int, channels: int):
        self.shape = (count, height, width, channels)
        self.failure: Exception | None = None
        self._order: np.ndarray | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: slice | np.ndarray) -> np.ndarray:
        if isinstance(key, slice):
            key = np.arange(*key.indices(len(self)))
        return self.read(np.asarray(key, np.int64))

    def reordered(self, order: np.ndarray) -> "Images":
        """The same images, or some of them, in another order: number i is what number order[i] is now.

        Nothing is read.
        """
        other = copy.copy(self)
        other.shape = (len(order), *self.shape[1:])
        other._order = order if self._order is None else self._order[order]
        return other

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Images int64 [n] as uint8 [n, H, W, C]. Raises PictureLost for one that cannot be read."""
        if self._order is not None:
            indices = self._order[indices]
        out = np.empty((len(indices), *self.shape[1:]), np.uint8)
        try:
            self._read(indices, out)
        except Exception as error:
            self.failure = error
            raise
        return out

    def _read(self, indices: np.ndarray, out: np.ndarray) -> None:
        raise NotImplementedError


class FolderImages(Images):
    """Picture files, read and decoded every time they are indexed, large ones by a pool of threads.

    Memory holds only the names.

    Args:
      folder: what the names are relative to.
      names, sizes: the files and their lengths in bytes, int64 [N].
      target: what every picture becomes.
    """

    def __init__(self, folder: Path, names: Sequence[str], sizes: np.ndarray, target: Target):
        super().__init__(len(names), target.image_size, target.image_size, target.channels)
        self.folder, self.names, self.sizes, self.target = folder, names, sizes, target
        self.threads = (os.cpu_count() or 1) if len(sizes) and np.mean(sizes) > SMALL_BYTES else 1
        self._pool = ThreadPoolExecutor(self.threads, "decode")

    def _read(self, indices: np.ndarray, out: np.ndarray) -> None:
        numbers = indices.tolist()

        def read_every(start: int, step: int) -> None:
            for position in range(start, len(numbers), step):
                out[position] = self._decode(numbers[position])

        if self.threads == 1:
            read_every(0, 1)
        else:
            starts = range(min(self.threads, len(indices)))
            list(self._pool.map(lambda start: read_every(start, self.threads), starts))

    def _decode(self, index: int) -> np.ndarray:
        path = os.path.join(self.folder, self.names[index])  # much faster than Path
        for attempt in range(ATTEMPTS):
            try:
                data = read_file(path)
                break
            except OSError as error:
                if attempt == ATTEMPTS - 1:
                    raise PictureLost(f"{path}: {error.strerror}{ADVICE}") from error
                time.sleep(0.1 * 4**attempt)
        if len(data) != self.sizes[index]:
            raise PictureLost(f"{path}: has changed since the run began{ADVICE}")
        try:
            return decode(data, self.target)
        except ValueError as error:
            raise PictureLost(f"{path}: {error}{ADVICE}") from error


class ArrayFiles(Images):
    """Images at fixed offsets in files: in a `.npy` file, or in those of a prepared folder.

    They are read, not mapped: mapped pages count as the process's memory until the system wants them back.

    Args:
      files: (path, offset of the first image in bytes, number of images) of each.
      shape: (H, W, C) of an image.

    Examples:
      >>> _ = Path("raw").write_bytes(bytes(range(12)))
      >>> images = ArrayFiles([(Path("raw"), 4, 2)], (2, 2, 1))
      >>> images.shape, images[1:].ravel()
      ((2, 2, 2, 1), array([ 8,  9, 10, 11], dtype=uint8))
    """

    def __init__(self, files: Sequence[tuple[Path, int, int]], shape: tuple[int, int, int]):
        super().__init__(sum(count for _, _, count in files), *shape)
        self.files = files
        self._starts = np.cumsum([0, *(count for _, _, count in files)])
        self._handles: dict[int, int] = {}
        self._lock = threading.Lock()

    def _handle(self, number: int) -> int:
        with self._lock:
            if number not in self._handles:
                self._handles[number] = os.open(self.files[number][0], os.O_RDONLY)
            return self._handles[number]

    def _read(self, indices: np.ndarray, out: np.ndarray) -> None:
        length = int(np.prod(self.shape[1:]))
        numbers = np.searchsorted(self._starts, indices, side="right") - 1
        for position, (index, number) in enumerate(zip(indices.tolist(), numbers.tolist(), strict=True)):
            path, offset, _ = self.files[number]
            try:
                place = offset + (index - int(self._starts[number])) * length
                got = os.preadv(self._handle(number), [out[position]], place)
            except OSError as error:
                raise PictureLost(f"{path}: {error.strerror}") from error
            if got != length:
                raise PictureLost(f"{path}: has become shorter since the run began")


class FittedImages(Images):
    """Images of an array, made square and of the network's size as they are read, like picture files.

    Args:
      images: uint8 [N, H, W, C].
      target: what every image becomes.

    Examples:
      >>> images = FittedImages(np.zeros((3, 28, 40, 1), np.uint8), Target(image_size=16, channels=3))
      >>> images.shape, images[np.array([2, 0])].shape
      ((3, 16, 16, 3), (2, 16, 16, 3))
    """

    def __init__(self, images: np.ndarray | Images, target: Target):
        super().__init__(len(images), target.image_size, target.image_size, target.channels)
        self.images, self.target = images, target

    def _read(self, indices: np.ndarray, out: np.ndarray) -> None:
        for position, image in enumerate(self.images[indices]):
            out[position] = fit_to_square(image[..., 0] if image.shape[-1] == 1 else image, self.target)
