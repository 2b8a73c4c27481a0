"""The sampler, which runs with numpy and ai-edge-litert alone."""

import io
import json
import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from export import rng, sampler, tflite
from export.sampler import Sampler
from keras_dcgan.generators import draw_images
from keras_dcgan.networks import build_generator
from keras_dcgan.tools import draw
from keras_dcgan.tools.terminal import quiet
from tests import fuzz

ROOT = Path(__file__).parents[2]
METADATA = {"name": "keras-dcgan-generator", "format": 1}
FOREIGN_MODULES = {"tensorflow", "keras", "keras_dcgan", "cv2", "absl"}


@pytest.fixture(scope="module")
def generator():
    keras.utils.set_random_seed(0)
    made = build_generator(4, 16, 3, 7)
    for kernel in made.trainable_variables:
        kernel.assign(kernel * 20)
    return made


@pytest.fixture(scope="module")
def file(generator, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "generator.tflite"
    tflite.write_model(path, tflite.convert(generator), METADATA)
    return path


def test_pictures_are_those_of_keras_for_numpys_latents(generator, file):
    drawn = np.stack([Sampler(file).draw(3, i) for i in range(4)])
    expected = draw_images(generator, rng.draw_latents(3, range(4), 7))
    assert drawn.shape == (4, 16, 16, 3) and drawn.dtype == np.uint8 and expected.std() > 20
    assert np.abs(drawn.astype(int) - expected).max() <= 1


def test_the_command_writes_a_grid(command, file, tmp_path):
    out = tmp_path / "new" / "grid.png"
    done = command("export.sampler", str(file), "--count=5", "--seed=3", f"--out={out}")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith(f"Wrote {out}: 5 pictures")
    grid = cv2.cvtColor(cv2.imread(str(out)), cv2.COLOR_BGR2RGB)
    expected = draw.make_grid(np.stack([Sampler(file).draw(3, i) for i in range(5)]))
    np.testing.assert_array_equal(grid, expected)
    assert [path.name for path in out.parent.iterdir()] == ["grid.png"]


def test_the_command_writes_single_pictures(command, file, tmp_path):
    done = command("export.sampler", str(file), "--count=3", "--seed=3", f"--out={tmp_path}/pictures/")
    assert done.returncode == 0
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["000000.png", "000001.png", "000002.png"]
    picture = cv2.cvtColor(cv2.imread(str(tmp_path / "pictures" / "000002.png")), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(picture, Sampler(file).draw(3, 2))


def test_a_tilde_in_out_is_the_home_folder(file, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert sampler.main([str(file), "--count=1", "--out=~/pictures/grid.png"]) == 0
    assert (tmp_path / "pictures" / "grid.png").is_file() and not (tmp_path / "~").exists()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_is_read_back_unchanged(tmp_path, channels):
    image = np.random.default_rng(0).integers(0, 256, (7, 5, channels), dtype=np.uint8)
    sampler.write_png(tmp_path / "a.png", image)
    read = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    read = read[..., np.newaxis] if channels == 1 else cv2.cvtColor(read, cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(read, image)


def cut(content: bytes) -> bytes:
    return content[: len(content) * 2 // 3]


def with_a_flipped_bit(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


@pytest.mark.parametrize(
    "change, message",
    [
        (cut, "cut, or not a file that python -m export wrote"),
        (lambda content: content[:-10], "cut, or not a file"),
        (lambda content: content[:100], "cut, or not a file"),
        (lambda content: b"", "not a .tflite file"),
        (lambda content: b"\x89PNG\r\n" + content, "not a .tflite file"),
        (with_a_flipped_bit, "damaged; its checksum is wrong"),
    ],
)
def test_a_damaged_or_foreign_file_is_one_line_and_exit_code_2(file, tmp_path, capsys, change, message):
    path = tmp_path / "wrong.tflite"
    path.write_bytes(change(file.read_bytes()))
    assert sampler.main([str(path), f"--out={tmp_path}/grid.png"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}: ") and message in error and error.count("\n") == 1
    assert not (tmp_path / "grid.png").exists()


MODEL = b"\x1c\0\0\0TFL3" + bytes(range(100))
SOUND = {**METADATA, "model_bytes": len(MODEL), "model_crc32": zlib.crc32(MODEL)}


def packed(text: str, compression: int = zipfile.ZIP_STORED) -> bytes:
    """A file as `tflite.write_model` makes it, around a model that no runtime would run."""
    archive = io.BytesIO(MODEL)
    with zipfile.ZipFile(archive, "a", compression) as opened:
        opened.writestr("metadata.json", text)
    return archive.getvalue()


def encrypted(content: bytes) -> bytes:
    place = content.rfind(b"PK\x01\x02") + 8
    return content[:place] + b"\x01" + content[place + 1 :]


@pytest.mark.parametrize(
    "content",
    [
        *(packed(json.dumps({**SOUND, **change})) for change in (
            {"format": "1"}, {"format": True}, {"format": None}, {"model_bytes": "108"}, {"model_bytes": 108.0},
            {"model_bytes": 2**62}, {"model_bytes": 0}, {"model_bytes": -1}, {"model_bytes": 10**4},
            {"model_crc32": str(SOUND["model_crc32"])}, {"model_crc32": None},
            {"model_bytes": 2**62, "model_crc32": 0}, {"name": "x" * 2**20},
        )),
        packed("[" * 50_000),
        packed("3"),
        packed(json.dumps(SOUND) + " " * 2**20),
        packed(json.dumps(SOUND), zipfile.ZIP_LZMA),
        encrypted(packed(json.dumps(SOUND))),
    ],
)  # fmt: skip
def test_hostile_metadata_is_refused(tmp_path, content):
    path = tmp_path / "hostile.tflite"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"hostile\.tflite: cut, or not a file that python -m export wrote"):
        sampler.read_metadata(path)


def test_a_long_name_of_another_program_is_cut(tmp_path):
    path = tmp_path / "other.tflite"
    path.write_bytes(packed(json.dumps({**SOUND, "name": "x\n" * 20_000})))
    with pytest.raises(ValueError, match=r"holds 'x\\nx") as caught:
        sampler.read_metadata(path)
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


def test_damaged_files_are_read_or_refused_and_cause_no_other_error(tmp_path):
    sound = tmp_path / "sound"
    sound.write_bytes(packed(json.dumps(SOUND)))
    assert sampler.read_metadata(sound) == SOUND  # or everything below would be refused
    with fuzz.in_memory() as folder:
        read = fuzz.feed(sampler.read_metadata, fuzz.sound_tflite, 3000, 0, Path(folder) / "input")
    assert 100 < read < 2000


@pytest.mark.parametrize(
    "metadata, message",
    [
        ({"name": "cat-detector", "format": 1}, "holds 'cat-detector', not a generator of Keras DCGAN"),
        ({"name": "keras-dcgan-generator", "format": 3}, "of format 3; this program reads up to 2"),
        ({"labels": []}, "not a file that python -m export wrote"),
    ],
)
def test_a_model_of_another_program_or_a_newer_format_is_refused(file, tmp_path, metadata, message):
    with zipfile.ZipFile(file) as archive:
        length = json.loads(archive.read("metadata.json"))["model_bytes"]
    tflite.write_model(tmp_path / "other.tflite", file.read_bytes()[:length], metadata)
    with pytest.raises(ValueError, match=message):
        Sampler(tmp_path / "other.tflite")


def test_a_model_without_our_signatures_is_refused_even_with_our_metadata(tmp_path):
    double = tf.function(lambda x: x * 2, input_signature=[tf.TensorSpec((1,), tf.float32)])
    with quiet():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([double.get_concrete_function()], tf.Module())
        tflite.write_model(tmp_path / "double.tflite", converter.convert(), METADATA)
    with pytest.raises(ValueError, match="the runtime cannot run it"):
        Sampler(tmp_path / "double.tflite")


@pytest.mark.parametrize(
    "flags, message",
    [
        (["missing.tflite"], "No such file"),
        (["tests"], "Is a directory"),
        (["missing.tflite", "--count=0"], "must be from 1"),
        (["missing.tflite", "--threads=100000"], "must be from 1 to 256"),
        (["missing.tflite", "--seed=-1"], "must be from 0"),
        (["missing.tflite", "--seed=4294967296"], "must be from 0"),
        (["missing.tflite", "--out=grid.jpg"], "must end in .png"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(command, flags, message):
    done = command("export.sampler", *flags)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


def test_it_imports_only_numpy_and_litert(file, tmp_path):
    program = (
        "import sys; from export import sampler\n"
        f"code = sampler.main([{str(file)!r}, '--count=1', '--out={tmp_path}/grid.png'])\n"
        "print(sorted({name.split('.')[0] for name in sys.modules})); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    imported = set(eval(done.stdout.splitlines()[-1]))
    assert "ai_edge_litert" in imported and not imported & FOREIGN_MODULES


def test_the_file_runs_alone_without_tensorflow(file, tmp_path):
    """In a fresh environment with requirements-device.txt alone, from a folder that holds the program and the file."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=120)
    python = environment / "bin" / "python"
    installed = subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check",
         "--no-compile", "--retries=1", "--timeout=10", "-r", ROOT / "requirements-device.txt"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    if installed.returncode:
        pytest.skip(f"pip reaches no index: {installed.stderr.strip().splitlines()[-1]}")
    device = tmp_path / "device"
    device.mkdir()
    shutil.copy(ROOT / "export" / "sampler.py", device)
    shutil.copy(file, device)
    absent = subprocess.run([python, "-c", "import tensorflow"], capture_output=True, text=True, timeout=60)
    assert "ModuleNotFoundError" in absent.stderr
    done = subprocess.run(
        [python, "sampler.py", file.name, "--count=2", "--seed=3"],
        cwd=device,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    grid = cv2.cvtColor(cv2.imread(str(device / "grid.png")), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(grid, draw.make_grid(np.stack([Sampler(file).draw(3, i) for i in range(2)])))
