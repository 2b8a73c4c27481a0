"""`python -m export` as a user meets it: what it writes and prints, its mistakes in one line, Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from export.__main__ import _default, define_flags, main
from export.verify import DEFAULT_FORMATS, FILES
from keras_dcgan import cli
from keras_dcgan.tools.files import BadFile

ROOT = Path(__file__).parents[2]


def test_the_command_writes_every_file_and_lists_it_as_ok(finished, exported):
    names = {path.name for path in exported.iterdir()}
    written = [FILES[kind] for kind in DEFAULT_FORMATS]
    assert names == {*written, "export.json", "README.md", "contact_sheet.png", "parity.npz"}
    assert set(os.listdir(exported.parent)) == {"exported", ".exported.lock"}  # no scratch folder
    lines = finished.stdout.splitlines()
    for name in written:
        assert [line for line in lines if line.startswith(name) and line.endswith("ok")], name
    assert "15 of 15" in finished.stdout
    assert lines[-1].startswith(f"Wrote {exported}: ")


def test_no_library_prints_its_notes(finished):
    """Such as TensorFlow's on oneDNN, CUDA, the computation placer, and Keras's "Assets written"."""
    assert finished.stderr == ""


@pytest.mark.parametrize(
    "flags, message",
    [
        ([], "give --out=FOLDER"),
        (["--out="], "out=: must not be empty"),
        (["--out=x"], "give either --run_dir"),
        (["--out=x", "--run_dir=a", "--generator=b"], "give either --run_dir"),
        (["--out=x", "--run_dir=a", "--formats=int4"], "--formats=int4: must be among saved_model, float32"),
        (["--out=x", "--run_dir=a", "--formats="], "--formats=: must be among saved_model, float32"),
        (["--out=x", "--generator=a", "--which=best"], "goes with --run_dir"),
        (["--out=x", "--generator=a", "--samples=20"], "--samples=20: must be 0 or at least 200"),
        (["--out=x", "--run_dir=missing"], "missing/generator.keras: no such file"),
        (["--out=x", "--run_dir=missing", "--which=raw"], "missing/generator-raw.keras: no such file"),
        (["--out=tests", "--generator=missing.keras"], "tests: this exists and is not an exported folder"),
        (["--out=x", "--generator=missing.keras"], "missing.keras: no such file"),
        (["--out=x", "--verify_only"], "x: holds no export"),
        (["--out=x", "--verify_only", "--run_dir=a"], "--run_dir: does not go with --verify_only"),
        (["--out=x", "--verify_only", "--which=best"], "--which: does not go with --verify_only"),
        (["--out=x", "--verify_only", "--formats=int8"], "--formats: does not go with --verify_only"),
    ],
)
def test_a_mistake_names_the_flag_or_the_file(monkeypatch, flags, message):
    monkeypatch.chdir(ROOT)
    with pytest.raises((cli.UserError, BadFile)) as raised:
        main(cli.parse(define_flags, flags))
    assert message in str(raised.value)


@pytest.mark.parametrize("flags, message", [([], "give --out=FOLDER"), (["--out=x", "--run_dir=missing"], "missing/")])
def test_a_mistake_is_one_line_and_exit_code_2(command, flags, message):
    done = command("export", *flags)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and message in done.stderr and done.stderr.count("\n") == 1


def test_missing_packages_are_named(monkeypatch, tmp_path):
    (tmp_path / "generator.keras").touch()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(cli.UserError, match="run: pip install ai-edge-litert ai-edge-quantizer"):
        main(cli.parse(define_flags, [f"--run_dir={tmp_path}", f"--out={tmp_path}/out"]))
    with pytest.raises(cli.UserError, match="ai-edge-quantizer onnx onnxruntime tf2onnx"):
        main(cli.parse(define_flags, [f"--run_dir={tmp_path}", f"--out={tmp_path}/out", "--formats=int8,onnx"]))


def test_the_best_generator_is_the_default_if_the_run_has_one(tmp_path):
    assert _default(str(tmp_path)) == "last" and _default(None) == "last"
    (tmp_path / "generator-best.keras").touch()
    assert _default(str(tmp_path)) == "best"


def test_verify_only_passes_and_then_names_what_is_wrong(copied, command):
    before = (copied / "export.json").read_bytes()
    done = command("export", "--verify_only", f"--out={copied}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" ok") == 5
    assert (copied / "export.json").read_bytes() == before

    (copied / "saved_model" / "saved_model.pb").unlink()
    content = bytearray((copied / "generator.tflite").read_bytes())
    middle = content.find(b"TFL3") + len(content) // 2
    content[middle : middle + 400] = bytes(400)  # weights
    (copied / "generator.tflite").write_bytes(content)
    done = command("export", "--verify_only", f"--out={copied}")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    message = done.stderr.splitlines()[-1]
    assert "generator.tflite is not the file that was exported" in message
    assert "saved_model/saved_model.pb is missing" in message
    assert "does not run" in message


def test_ctrl_c_leaves_the_earlier_export(run_dir, tmp_path):
    out = tmp_path / "exported"
    out.mkdir()
    before = dict.fromkeys(("export.json", "generator.tflite"), "an earlier export")
    for name, text in before.items():
        (out / name).write_text(text)
    flags = [f"--generator={run_dir}/generator.keras", f"--out={out}", "--formats=float32,int8", "--samples=0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "export", *flags], cwd=ROOT, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # `nohup make test &` ignores it
    )  # fmt: skip
    try:
        until = time.monotonic() + 120
        while not list(tmp_path.glob(".exported.export-*/generator.tflite")):
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and error.splitlines()[-1] == "error: interrupted" and "Traceback" not in error
    assert {path.name: path.read_text() for path in out.iterdir()} == before
    assert set(os.listdir(tmp_path)) == {"exported", ".exported.lock"}
