import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import backbones, gpu, networks, race, recipe, rounding, scaling, smaller
from benchmarks.flops import hlo_flops, step_flops
from keras_dcgan import convolutions
from keras_dcgan.config import from_preset
from keras_dcgan.gan import DCGAN
from keras_dcgan.networks import build_discriminator, build_generator
from keras_dcgan.training import loop, machine
from tests.conftest import ROOT, run_python


def test_the_operations_of_a_step_are_those_of_xlas_program():
    gan = loop.build(from_preset("tutorial", {"width": 16}))
    step = tf.function(lambda images, latents: gan.adversarial_step(images, latents), jit_compile=True)
    text = step.experimental_get_compiler_ir(tf.zeros((4, 64, 64, 3)), tf.zeros((4, 100)))(stage="hlo")
    # XLA's count has the zeros around the images; they weigh less the wider the networks are.
    assert step_flops(gan.generator, gan.discriminator, 4) == pytest.approx(hlo_flops(text), rel=0.05)


def test_a_step_at_the_tutorials_size_has_577_gigaflop():
    gan = loop.build(from_preset("tutorial", {}))
    assert step_flops(gan.generator, gan.discriminator, 64) == pytest.approx(577e9, rel=0.01)


def test_the_step_is_measured_beside_its_peer(command, tmp_path):
    done = command(
        "benchmarks.train_step", "--width=4", "--image_size=16", "--batch_size=4", "--rounds=2",
        "--steps=2", "--precisions=float32", "--layers=auto,keras", "--peers=keras_io",
        f"--json={tmp_path}/step.json", f"--figure={tmp_path}/step.png",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "step.json").read_text())
    names = [row["name"] for row in report["rows"]]
    assert names == ["ours float32", "ours float32, layers: keras", "keras_io float32"]
    for row in report["rows"]:
        assert len(row["rounds"]) == 2 and row["seconds_per_step"] > 0 and row["peak_memory"] > 1e8
        assert row["name"] in done.stdout
    assert report["rows"][0]["speed"] == 1.0
    assert (tmp_path / "step.png").stat().st_size > 1000


def test_the_recipes_step_is_measured_with_one_batch_and_with_real_images(command, mnist):
    done = command(
        "benchmarks.train_step", "--recipe=stable", "--data=repeat,mnist", "--peers=", "--precisions=float32",
        "--width=2", "--image_size=16", "--batch_size=4", "--rounds=1", "--steps=2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "| ours float32 |" in done.stdout and "| ours float32, mnist |" in done.stdout


@pytest.mark.parametrize(
    "program", [["benchmarks.train_step", "--peers=pytorch"], ["benchmarks.race", "--contenders=pytorch"]]
)
def test_a_missing_pytorch_is_one_line(program, tmp_path):
    options = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(ROOT)}}
    done = run_python("-m", *program, "--pytorch_python=/bin/false", **options)
    assert done.returncode == 1
    assert "no PyTorch" in done.stderr and "Traceback" not in done.stderr


def test_a_race_is_scored_once_and_shown_again(monkeypatch, capsys, mnist, tmp_path):
    flags = {"contenders": ["keras", "ours"], "width": 2, "minutes": 0.02, "every": 0.6, "samples": 32}
    monkeypatch.setattr(race, "FLAGS", SimpleNamespace(out=tmp_path, **flags))
    race.main([])
    written, shown = (tmp_path / "race.json").read_text(), capsys.readouterr().out
    for contender in json.loads(written)["contenders"].values():
        first, second = contender["rows"]
        assert 0 < first["seconds"] < second["seconds"] and 0 < first["steps"] < second["steps"]
        assert first["frechet_distance"] > 0 and 0 <= first["coverage"] <= 1
        assert np.load(tmp_path / second["file"]).shape == (32, 64, 64, 1)
        assert contender["title"] in shown
    (tmp_path / "race.png").unlink()
    race.main([])
    assert capsys.readouterr().out in shown
    assert (tmp_path / "race.png").stat().st_size > 1000 and (tmp_path / "race.json").read_text() == written


def test_a_race_says_how_soon_ours_is_as_good():
    def rows(*distances):
        return [
            {"seconds": 30.0 * i, "steps": i, "frechet_distance": d, "coverage": 0.5}
            for i, d in enumerate(distances, 1)
        ]

    contenders = {"keras": rows(400, 300, 350), "ours": rows(301, 20, 10)}
    report = {"samples": 32, "real": {"frechet_distance": 1, "coverage": 1}}
    report["contenders"] = {name: {"title": name, "rows": found} for name, found in contenders.items()}
    lines = race.table(report).splitlines()
    assert "| 90 | 350 (0.50) | 10 (0.50) |" in lines
    assert "| keras | 3 | 300 (0.50) | 60 s | 60 s (1/1.5) |" in lines


def test_without_a_gpu_there_is_one_line_and_no_file(command, tmp_path):
    done = command("benchmarks.gpu", f"--out={tmp_path}/gpu.json")
    assert done.returncode == 1 and done.stderr.startswith("error: TensorFlow sees no GPU")
    assert done.stderr.count("\n") == 1 and list(tmp_path.iterdir()) == []


def test_what_is_to_be_measured_on_a_gpu_runs_without_one(command, tmp_path, digits):
    np.save(tmp_path / "digits.npy", digits)
    done = command(
        "benchmarks.gpu", "--smoke", "--parts=check,quality", f"--out={tmp_path}/gpu.json", "--trainings=pictures",
        f"--pictures={tmp_path}/digits.npy",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "gpu.json").read_text())
    errors = report["check"]["convolutions"]["errors"]
    assert len(errors) == (16 if machine.computes_in_bfloat16() else 8)
    assert max(errors["our transposed, float32, XLA"]) < 1e-5
    found = report["quality"]["pictures"]
    assert found["compilations_of_the_step"] == 1 and found["steps"] == 3
    assert found["figures"]["generated"]["kernel_distance"] > found["figures"]["real"]["kernel_distance"]
    assert (tmp_path / "gpu" / "pictures.png").stat().st_size > 1000


def test_the_figures_from_a_gpu_are_written_one_by_one_and_stay(monkeypatch, tmp_path):
    def interrupted(_):
        yield "64", {"speed": 1}
        raise KeyboardInterrupt

    out = tmp_path / "gpu.json"
    flags = {"out": str(out), "trainings": [], "smoke": False, "parts": ["step", "layers"]}
    monkeypatch.setattr(gpu, "FLAGS", SimpleNamespace(**flags))
    monkeypatch.setattr(gpu, "describe_machine", lambda: {"device": "H100"})
    monkeypatch.setattr(gpu, "PARTS", {"step": lambda _: [("64", {"failed": "why"})], "layers": interrupted})
    with pytest.raises(KeyboardInterrupt):
        gpu.main([])
    expected = {"machine": {"device": "H100"}, "step": {"64": {"failed": "why"}}, "layers": {"64": {"speed": 1}}}
    assert json.loads(out.read_text()) == expected
    monkeypatch.setattr(gpu, "PARTS", {"step": lambda _: [("512", {"speed": 2})], "layers": lambda _: []})
    assert gpu.main([]) == 0
    expected["step"]["512"] = {"speed": 2}
    assert json.loads(out.read_text()) == expected
    monkeypatch.setattr(gpu, "describe_machine", lambda: {"device": "H200"})
    with pytest.raises(SystemExit, match=r"another machine, .*H100"):
        gpu.main([])


def test_the_memory_of_a_step_is_the_sum_of_its_parts(command):
    done = command("benchmarks.memory", "--width=2", "--image_size=16", "--batch_size=8", "--preset=tutorial")
    assert done.returncode == 0, done.stderr
    rows = {name: float(size) for name, size in re.findall(r"^\| ([a-zA-Z' ]+) \| ([\d.]+) \|$", done.stdout, re.M)}
    total = rows.pop("all")
    assert len(rows) == 5 and total == pytest.approx(sum(rows.values()), abs=0.001)
    assert rows["weights"] > 0 and rows["Adam's two moments"] == pytest.approx(2 * rows["weights"], rel=0.05)
    assert rows["the batch and counters"] == pytest.approx(8 * 16 * 16 * 3 * 4 / 2**20, rel=0.05)


def test_the_recipe_refuses_an_unknown_row_and_reports_a_failed_run(command, monkeypatch, tmp_path):
    done = command("benchmarks.recipe", "--rows=default,no_r2", f"--out={tmp_path}/new")
    assert done.returncode != 0 and "unknown row" in done.stderr and not (tmp_path / "new").exists()
    flags = {"out": tmp_path, "one": "", "rows": ["default"], "widths": ["8"], "seeds": ["0", "1"], "jobs": 1}
    monkeypatch.setattr(recipe, "FLAGS", SimpleNamespace(**flags, dataset="mnist", steps=1))
    for good, code in ((lambda _, run: True, 0), (lambda _, run: run["seed"] == 1, 1)):
        monkeypatch.setattr(recipe, "start", good)
        assert recipe.main([]) == code


def test_grown_networks_begin_with_what_both_have():
    def gan(width, image_size):
        sizes = width, image_size, 1
        made = DCGAN(build_generator(*sizes, 7), build_discriminator(*sizes))
        made.compile(keras.optimizers.Adam(), keras.optimizers.Adam(), ema_half_life=1000)
        return made

    small, large = gan(4, 16), gan(2, 32)
    for variable in small.generator.variables + small.averaged.variables + small.discriminator.variables:
        variable.assign(tf.ones(variable.shape))
    smaller.grow(small, large)

    def grown(network):
        return [layer.name for layer in network.layers if layer.weights and np.all(layer.get_weights()[0] == 1)]

    assert grown(large.generator) == grown(large.averaged) == ["g1", "gbn1", "g2", "gbn2"]
    assert grown(large.discriminator) == ["d3", "dbn3", "d4"]


def test_half_a_discriminator_has_the_interface_of_ours_and_half_the_filters():
    half = smaller.build_half_discriminator(4, 16, 1, 10)
    assert half.input_shape == (None, 16, 16, 1) and half.output_shape == (None, 10)
    assert [network.get_layer("d1").filters for network in (build_discriminator(4, 16, 1), half)] == [4, 2]


def test_the_other_discriminators_have_the_interface_of_ours_and_no_batch_normalisation():
    for _, build in backbones.BUILDERS.values():
        network = build(4, 16, 1, 10)
        assert network.input_shape == (None, 16, 16, 1) and network.output_shape == (None, 10)
        assert network.layers and not [weight for weight in network.weights if "moving" in weight.path]
    kernel = backbones.build_plain_discriminator(32, 16, 1).get_layer("d2").kernel.numpy()
    assert kernel.shape == (4, 4, 32, 64) and kernel.std() == pytest.approx((2 / (16 * 32)) ** 0.5, rel=0.02)


def test_products_of_bfloat16_are_computed_in_float32():
    seen = []

    def product(x, y, **options):
        seen.append((x.dtype, y.dtype, options["bias"].dtype))
        return tf.matmul(x, y) + options["bias"]

    one = tf.ones((1, 1))
    half = tf.cast(one, tf.bfloat16)
    for given, result in ((one, tf.float32), (half, tf.bfloat16)):
        assert rounding.in_float32(product)(given, given, bias=given).dtype == result
    assert seen == [(tf.float32,) * 3] * 2


@pytest.mark.parametrize("by_winograd", [False, True])
def test_bfloat16_is_rounded_as_amx_rounds_it(monkeypatch, by_winograd):
    for module, name in (*rounding.PRODUCTS, (convolutions, "lacks_avx512"), (convolutions, "_is_wide")):
        monkeypatch.setattr(module, name, getattr(module, name))  # back again after this test
    x, kernel = (tf.random.stateless_normal(shape, (1, 2)) for shape in ((2, 8, 8, 16), (4, 4, 16, 8)))
    exact = tf.nn.conv2d(*(tf.cast(tf.cast(each, tf.bfloat16), tf.float32) for each in (x, kernel)), 2, "SAME")
    rounding.round_as_amx(by_winograd)
    found = convolutions.convolve(tf.cast(x, tf.bfloat16), tf.cast(kernel, tf.bfloat16))
    if by_winograd:
        assert 0.004 < tf.norm(tf.cast(found, tf.float32) - exact) / tf.norm(exact) < 0.01
    else:
        np.testing.assert_array_equal(found, tf.cast(exact, tf.bfloat16))


def test_the_overhead_of_a_run_names_each_of_its_parts(command, mnist):
    done = command("benchmarks.overhead", "--width=2", "--steps=1", "--rounds=1")
    assert done.returncode == 0, done.stderr
    rows = dict(re.findall(r"^\| ([a-z ]+) \|.* ([\d.]+)% \|$", done.stdout, re.MULTILINE))
    assert list(rows) == ["row of the history", "sample grid", "measurement", "checkpoint", "all of it"]
    parts = [float(rows[name]) for name in rows if name != "all of it"]
    assert max(parts) <= float(rows["all of it"]) <= sum(parts) + 0.05  # the rounding
    assert re.search(r"A checkpoint has \d+ MB", done.stdout)


def test_a_step_on_several_devices_has_few_messages(command):
    done = command("benchmarks.scaling", "--messages", "--width=2", "--batch_size=8")
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \| (\d+) \|$", done.stdout, re.MULTILINE)
    counts = {mode: tuple(map(int, row)) for mode, *row in rows}
    # A device of the same machine gets the losses without a message. Width 128 has the same layers, so the same number.
    assert counts == {"mirrored": (22, 34, 2), "multiworker": (23, 35, 3)}
    assert scaling.messages_of_a_step(build_generator(2), build_discriminator(2)) == 23


ECHO = """
import socket
echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
echo.bind(("", 5000))
while True:
    echo.sendto(*echo.recvfrom(9))
"""
ASK = """
import socket, time
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(0.2)
for _ in range(20):  # the other one may still be starting
    start = time.monotonic()
    asking.sendto(b"hello", ("10.77.0.2", 5000))
    try:
        asking.recv(9)
        print(time.monotonic() - start)
        break
    except TimeoutError:
        pass
"""


@pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists("/dev/net/tun"), reason="needs root, and TUN devices")
def test_a_network_is_late_loses_packets_and_can_be_cut():
    with networks.Network(2, networks.Link(rate=1e9, delay=0.02)) as network:
        echo = network.start(1, [sys.executable, "-c", ECHO])

        def ask() -> str:
            asking = network.start(0, [sys.executable, "-c", ASK], stdout=subprocess.PIPE, text=True)
            return asking.communicate(timeout=60)[0]

        try:
            assert 0.04 <= float(ask()) < 0.2
            network.link = networks.Link(loss=1.0)
            assert ask() == ""
            network.link, network.cut = networks.Link(), {1}
            assert ask() == ""
            network.cut = set()
            assert float(ask()) < 0.2
        finally:
            echo.kill()
            echo.wait()
    assert "dcgan" not in subprocess.run(["ip", "netns"], capture_output=True, text=True).stdout
