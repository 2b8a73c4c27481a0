"""Prepared images and run folders in object storage, on a local server that speaks S3."""

import re
import secrets
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_dcgan.tools import storage
from tests.conftest import LIMIT, ROOT

moto_server = pytest.importorskip("moto.server")
s3fs = pytest.importorskip("s3fs")

TINY = (
    "--width=2", "--image_size=16", "--batch_size=8", "--sample_every=20", "--measure_every=0", "--log_every=5",
    "--augment=off", "--r1_weight=1", "--precision=float32", "--deterministic",
)  # fmt: skip


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    """The URL of an empty bucket on a server of its own."""
    server = moto_server.ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    s3fs.S3FileSystem.clear_instance_cache()  # else the server of an earlier test
    name = f"bucket-{secrets.token_hex(4)}"
    s3fs.S3FileSystem().mkdir(name)
    yield f"s3://{name}"
    server.stop()


def refused(done):
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr.splitlines()[-1]


def test_a_run_that_lives_in_object_storage_is_killed_resumed_drawn_from_and_measured(
    bucket, command, digits, tmp_path
):
    np.savez(tmp_path / "digits.npz", images=digits)
    place, data = f"{bucket}/runs/digits", f"{bucket}/digits-16/"
    done = command("keras_dcgan.prepare", f"--dataset={tmp_path}/digits.npz", f"--out={data}", "--image_size=16")
    assert done.returncode == 0, done.stderr
    assert f"--dataset={data}" in done.stdout + done.stderr
    assert storage.Remote(data).names() == ["dataset.json", "images-00000.npy", "index.json"]

    fit = ("keras_dcgan.fit", f"--dataset={data}", *TINY, "--checkpoint_every=5")
    often = "from keras_dcgan.tools import storage; storage.SECONDS = 0.1; from keras_dcgan import fit; fit.command()"
    process = subprocess.Popen([sys.executable, "-c", often, *fit[1:], f"--run_dir={place}", "--steps=9999"], cwd=ROOT)
    remote, until = storage.Remote(place), time.monotonic() + LIMIT
    while not any(name.startswith("checkpoints/step-") and name.endswith(".json") for name in remote.names()):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.2)
    process.kill()
    process.wait()

    code, line = refused(command(*fit, f"--run_dir={place}"))
    assert code == 2 and f"--run_dir={place}: holds files; add --resume" in line
    steps = 10 + max(int(name[17:-5]) for name in remote.names() if re.fullmatch(r"checkpoints/step-\d+\.json", name))
    for arguments in (("keras_dcgan.fit", f"--run_dir={place}", "--resume"), (*fit, f"--run_dir={tmp_path}/local")):
        done = command(*arguments, f"--steps={steps}")
        assert done.returncode == 0, done.stderr
    remote.fetch(tmp_path / "back", ["history.csv"])
    assert (tmp_path / "back/history.csv").read_bytes() == (tmp_path / "local/history.csv").read_bytes()

    for run_dir, out in ((place, "there.png"), (f"{tmp_path}/local", "here.png")):
        done = command("keras_dcgan.sample", f"--run_dir={run_dir}", f"--out={tmp_path / out}", "--count=4")
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "there.png").read_bytes() == (tmp_path / "here.png").read_bytes()
    done = command("keras_dcgan.evaluate", f"--run_dir={place}", "--samples=16")
    assert done.returncode == 0, done.stderr
    assert {"metrics.json", "nearest.png"} < set(remote.names())


def test_a_bucket_that_is_not_there_or_holds_something_else_ends_in_one_line(bucket, command, tmp_path):
    code, line = refused(command("keras_dcgan.fit", f"--dataset={bucket}/photos/", f"--run_dir={tmp_path}/run"))
    assert code == 2 and line.startswith(f"error: {bucket}/photos/: holds no prepared images")
    code, line = refused(command("keras_dcgan.fit", "--dataset=mnist", "--run_dir=s3://nothing/run", "--steps=1"))
    assert code == 1 and line.startswith("error: s3://nothing/run: ")
