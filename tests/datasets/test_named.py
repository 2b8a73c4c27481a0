import gzip
import http.server
import io
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from keras_dcgan import datasets
from keras_dcgan.datasets import downloads, named
from keras_dcgan.datasets.idx import idx_sha256, write_idx


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A stand-in for MNIST with its own checksums, an empty Keras home, and no network."""
    rng = np.random.default_rng(0)
    arrays = {
        "train-images": rng.integers(0, 256, (6, 28, 28), np.uint8), "train-labels": np.arange(6, dtype=np.uint8),
        "t10k-images": rng.integers(0, 256, (2, 28, 28), np.uint8), "t10k-labels": np.arange(2, dtype=np.uint8),
    }  # fmt: skip
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(named.CHECKSUMS, "mnist", {part: idx_sha256(array) for part, array in arrays.items()})

    def nothing(*_):
        raise ValueError("no network in this test")

    monkeypatch.setattr(downloads, "really_download", downloads.download, raising=False)
    monkeypatch.setattr(downloads, "download", nothing)
    monkeypatch.setattr(downloads, "mnist_from_pip", nothing)
    return arrays


def write_folder(folder, arrays, zipped=False):
    folder.mkdir()
    for part, array in arrays.items():
        path = folder / f"{part}-idx{array.ndim}-ubyte"
        write_idx(path, array)
        if zipped:
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    return folder


@pytest.mark.parametrize("zipped", [False, True])
def test_a_folder_of_idx_files_is_read_and_cached(small, tmp_path, zipped):
    folder = write_folder(tmp_path / "data", small, zipped)
    images = datasets.load_images("mnist", folder)
    assert images.shape == (8, 28, 28, 1)
    np.testing.assert_array_equal(images[..., 0], np.concatenate([small["train-images"], small["t10k-images"]]))
    np.testing.assert_array_equal(datasets.load_images("mnist"), images)  # now only from the cache


def test_a_wrong_cache_file_is_refused_by_name_and_replaced(small, tmp_path, caplog):
    folder = write_folder(tmp_path / "data", small)
    expected = datasets.load_images("mnist", folder)
    cached = named.cache_folder("mnist") / "train-images-idx3-ubyte"
    cached.write_bytes(cached.read_bytes()[:-1])
    np.testing.assert_array_equal(datasets.load_images("mnist", folder), expected)
    assert str(cached) in caplog.text and "cut" in caplog.text
    np.testing.assert_array_equal(datasets.load_images("mnist"), expected)


def test_wrong_bytes_are_refused_by_their_checksum(small, tmp_path, monkeypatch):
    wrong = dict(small, **{"t10k-images": small["t10k-images"] ^ 1})
    folder = write_folder(tmp_path / "data", wrong)
    monkeypatch.setattr(downloads, "mnist_from_pip", lambda: small)
    images = datasets.load_images("mnist", folder)
    np.testing.assert_array_equal(images[6:, ..., 0], small["t10k-images"])


def test_without_a_source_the_message_lists_all_and_what_to_do(small, tmp_path):
    with pytest.raises(datasets.DatasetUnavailable) as raised:
        datasets.load_images("mnist", tmp_path / "nowhere")
    message = str(raised.value)
    for part in ("cache: ", "data_dir=", "the usual download: no network", "pip mirror", "set data_dir to it"):
        assert part in message


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="fashion_mnist"):
        datasets.load_images("emnist")


def test_an_unwritable_cache_does_not_stop_the_run(small, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    assert len(datasets.load_images("mnist", write_folder(tmp_path / "data", small))) == 8


def test_labels_go_with_the_images(small, tmp_path):
    labels = datasets.load_labels("mnist", write_folder(tmp_path / "data", small))
    np.testing.assert_array_equal(labels, [0, 1, 2, 3, 4, 5, 0, 1])


def npz(arrays) -> bytes:
    buffer = io.BytesIO()
    names = {"train-images": "x_train", "train-labels": "y_train", "t10k-images": "x_test", "t10k-labels": "y_test"}
    np.savez(buffer, **{names[part]: array for part, array in arrays.items()})
    return buffer.getvalue()


@pytest.mark.parametrize(
    "behaviour, message",
    [
        ("stalls", "timed out"),
        ("cuts", "cut: [0-9]+ of [0-9]+ bytes"),
        ("lies about its length", "zip|magic|pickle|File"),
        ("serves other bytes", "wrong SHA-256"),
        ("serves a page", "pickled|magic|Cannot load"),
        ("serves pickles", "pickle|Object arrays"),
    ],
)
def test_a_mirror_that_misbehaves_is_refused_and_nothing_is_cached(small, tmp_path, monkeypatch, behaviour, message):
    body = npz(small)
    length = len(body)
    if behaviour == "cuts":
        length += 1000
    elif behaviour == "lies about its length":
        length -= 1000
    elif behaviour == "serves other bytes":
        body = npz({part: array ^ 1 for part, array in small.items()})
        length = len(body)
    elif behaviour == "serves a page":
        body = b"<html>Please log in</html>" * 50
        length = len(body)
    elif behaviour == "serves pickles":
        body = npz({part: np.array([{"a": 1}], dtype=object) for part in small})
        length = len(body)
    release = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if behaviour == "stalls":
                self.wfile.write(body[:500])
                self.wfile.flush()
                release.wait(30)
            else:
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(downloads, "HOST", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setattr(downloads, "CONNECT_SECONDS", 1)
    monkeypatch.setattr(downloads, "download", downloads.really_download)
    try:
        with pytest.raises(datasets.DatasetUnavailable, match=f"the usual download: .*({message})"):
            datasets.load_images("mnist")
        assert not named.cache_folder("mnist").exists()
        # A folder that is right needs no mirror.
        assert len(datasets.load_images("mnist", write_folder(tmp_path / "data", small))) == 8
    finally:
        release.set()
        server.shutdown()


def test_real_mnist(mnist):
    assert mnist.shape == (70000, 28, 28, 1) and mnist.dtype == np.uint8
    labels = datasets.load_labels("mnist")
    assert labels[:5].tolist() == [5, 0, 4, 1, 9] and len(labels) == 70000


def test_two_processes_starting_at_once_do_no_harm(mnist, tmp_path):
    environment = dict(os.environ, KERAS_HOME=str(tmp_path))
    code = "import sys; from keras_dcgan import datasets as d; print(d.load_images('mnist', sys.argv[1]).sum())"
    argv = [sys.executable, "-c", code, str(named.cache_folder("mnist"))]
    processes = [subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    sums = [process.communicate(timeout=120)[0] for process in processes]
    assert sums == [f"{mnist.sum()}\n"] * 3
    cache = tmp_path / "datasets" / "keras_dcgan" / "mnist"
    assert sorted(path.name for path in cache.iterdir()) == ["t10k-images-idx3-ubyte", "train-images-idx3-ubyte"]
