"""The files under examples/: the web page in Chromium, the server over HTTP, Kotlin against stubs of LiteRT."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from export import calls, card
from export.sampler import Sampler
from tests.export.helpers import SIZE, TFLITE

ROOT = Path(__file__).parents[2]
EXAMPLES, WEB, KOTLIN = ROOT / "examples", ROOT / "export/web", ROOT / "tests/export/kotlin"
DIGITS = EXAMPLES / "android/Digits.kt"


@contextmanager
def running(*command, **options):
    """A server that prints its address, which is yielded."""
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    try:
        lines = iter(server.stdout.readline, "")
        yield next(found[0] for line in lines if (found := re.search(r"http://[\d.]+:\d+", line)))
    finally:
        server.kill()
        server.wait(60)
        server.stdout.close()


@pytest.fixture(scope="module")
def site(chromium, exported_with_classes, tmp_path_factory) -> Path:
    """What README.md of the examples asks a reader to have in one folder."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(EXAMPLES / "web/index.html", folder)
    shutil.copy(exported_with_classes / TFLITE["int8"], folder)
    (folder / "node_modules").symlink_to(WEB / "node_modules")
    return folder


def visit(chromium: str, folder: Path) -> dict:
    """The page's status, and its canvas as [width, height, bytes]."""
    with running(sys.executable, "-u", "-m", "http.server", "0", "--bind=127.0.0.1", cwd=folder) as url:
        script = f"""
          import {{ chromium }} from 'playwright-core';
          const browser = await chromium.launch({{ executablePath: {json.dumps(chromium)}, args: ['--no-sandbox'] }});
          const page = await browser.newPage();
          await page.goto({json.dumps(url)});
          await page.waitForFunction(() => !document.getElementById('status').textContent.startsWith('Loading'));
          console.log(JSON.stringify(await page.evaluate(() => {{
            const {{ width, height }} = document.querySelector('canvas');
            const data = document.querySelector('canvas').getContext('2d').getImageData(0, 0, width, height).data;
            return {{ status: document.getElementById('status').textContent, canvas: [width, height, [...data]] }};
          }})));
          await browser.close();
        """
        command = ["node", "--input-type=module", "-e", script]
        done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_the_web_example_draws_the_picture_that_python_draws(chromium, site):
    seen = visit(chromium, site)
    assert seen["status"] == "Picture 0 of seed 7"
    width, height, values = seen["canvas"]
    pixels = np.array(values).reshape(height, width, 4)
    expected = Sampler(site / TFLITE["int8"]).draw(7, 0, label=2)
    assert (height, width) == (SIZE, SIZE) and (pixels[..., 3] == 255).all() and expected.std() > 20
    assert np.abs(pixels[..., :3] - expected.astype(int)).max() <= 32  # as tests/export/test_web.py explains


def test_the_web_example_says_what_is_wrong(chromium, site, tmp_path):
    folder = shutil.copytree(site, tmp_path / "site", symlinks=True)
    (folder / TFLITE["int8"]).write_text("<!doctype html>")
    assert visit(chromium, folder)["status"].startswith("generator-int8.tflite cannot be drawn: ")


@pytest.fixture(scope="module")
def server(exported_with_classes):
    command = [sys.executable, "-m", *calls.SERVE.replace("8080", "0").split()]
    with running(*command, cwd=ROOT, env={**os.environ, "EXPORTED": str(exported_with_classes)}) as url:
        yield url


def test_the_server_names_a_folder_that_it_cannot_serve(tmp_path):
    command = [sys.executable, "-m", *calls.SERVE.split()]
    environment = {**os.environ, "EXPORTED": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr == (
        f"error: EXPORTED: no {tmp_path}/onnx/latents.onnx; python -m export --formats=onnx writes it\n"
    )


@pytest.mark.parametrize("path", ["examples/README.md", "examples/server/server.py", "docs/mobile.md"])
def test_the_documents_give_the_command_that_the_tests_run(path):
    assert f"EXPORTED=exported/ {calls.SERVE}\n" in (ROOT / path).read_text()


def test_the_server_answers_with_the_picture_of_the_tflite_file(server, exported_with_classes):
    with urllib.request.urlopen(f"{server}/picture.png?seed=7&number=3&label=2", timeout=60) as answer:
        assert answer.headers["Content-Type"] == "image/png"
        picture = np.array(Image.open(io.BytesIO(answer.read())))
    expected = Sampler(exported_with_classes / TFLITE["float32"]).draw(7, 3, label=2)[..., 0]
    assert picture.dtype == np.uint8 and np.abs(picture.astype(int) - expected).max() <= 1 and expected.std() > 20


@pytest.mark.parametrize(
    "query, message",
    [("label=3", "label=3: must be below 3"), ("seed=-1", '"seed"'), ("seed=2147483648", '"seed"')],
)
def test_the_server_refuses_what_the_files_cannot_draw(server, query, message):
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(f"{server}/picture.png?{query}", timeout=60)
    assert raised.value.code == 422 and message in raised.value.read().decode()


@pytest.fixture(scope="module")
def compiled(exported_with_classes, tmp_path_factory) -> Path:
    """A .jar of the example, the model card's lines in Kotlin, and the stubs in KOTLIN."""
    if not all(map(shutil.which, ("java", "npm"))):
        pytest.skip("no Java or no npm: apt-get install default-jre-headless npm")
    folder = tmp_path_factory.mktemp("kotlin")
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(KOTLIN / name, folder)
    done = subprocess.run(["npm", "ci"], cwd=folder, capture_output=True, text=True, timeout=180)
    if done.returncode:
        pytest.skip(f"npm ci: {done.stderr.strip()[-300:]}")
    [lines] = re.findall(r"```kotlin\n(.*?)```", (exported_with_classes / card.README).read_text(), re.DOTALL)
    imports = "".join(f"import {name}\n" for name in re.findall(r"^import (\S+)", DIGITS.read_text(), re.MULTILINE))
    (folder / "Card.kt").write_text(f"{imports}\nfun card(context: Context): ByteArray {{\n{lines}return picture\n}}\n")
    compiler = ["bash", "node_modules/kotlin-compiler/bin/kotlinc", "-Werror", "-include-runtime", "-d", "digits.jar"]
    sources = [DIGITS, *KOTLIN.glob("*.kt"), "Card.kt"]
    done = subprocess.run([*compiler, *sources], cwd=folder, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return folder / "digits.jar"


def test_the_lockfile_of_the_compiler_names_no_registry():
    packages = json.loads((KOTLIN / "package-lock.json").read_text())["packages"]
    assert all("integrity" in package and "resolved" not in package for name, package in packages.items() if name)


@pytest.mark.parametrize("channels, pixels", [(1, "ff000000 ff7f7f7f ff808080 ffffffff"),
                                              (3, "ff007f80 ffff007f ff80ff00 ff7f80ff")])  # fmt: skip
def test_the_kotlin_example_compiles_and_packs_the_pixels(compiled, channels, pixels):
    done = subprocess.run(
        ["java", "-cp", compiled, "MainKt", str(channels)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines() == ["generator-int8.tflite sample [7, 1] [3]", pixels, "closed 4"], done.stderr


def test_the_trained_generator_draws_the_digits_that_are_asked_for():
    from keras_dcgan.metrics.features import load_extractor

    sampler = Sampler(ROOT / "examples" / "digits.tflite")
    digits = np.array([sampler.draw(seed, 0, label) for seed in range(5) for label in range(10)])
    seen = load_extractor("mnist").features_and_classes(digits)[1]
    assert np.mean(seen == np.tile(np.arange(10), 5)) > 0.9


def test_the_trained_generator_draws_in_older_runtimes_too():
    """TensorFlow Lite 2.14 draws black, without an error, if the layer that opens the latents has several scales."""
    tensors = Interpreter(str(EXAMPLES / "digits.tflite")).get_tensor_details()
    [opening] = [tensor for tensor in tensors if tuple(tensor["shape"]) == (4096, 110)]
    assert opening["dtype"] == np.int8 and len(opening["quantization_parameters"]["scales"]) == 1
