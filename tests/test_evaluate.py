import json

import cv2
import numpy as np
import pytest

from keras_dcgan import evaluate
from keras_dcgan.networks import build_generator


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "generator.keras"
    build_generator(2, 16, 1, 5).save(path)
    return path


def test_the_command_writes_every_figure_with_its_floor(command, mnist, generator, tmp_path):
    flags = [f"--generator={generator}", "--dataset=mnist", "--samples=200", f"--out={tmp_path}/new"]
    done = command("keras_dcgan.evaluate", *flags)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "new" / "metrics.json").read_text())
    for side in ("generated", "real"):
        assert set(result[side]) == {
            "frechet_distance", "kernel_distance", "kernel_distance_standard_error",
            "precision", "recall", "density", "coverage",
        }  # fmt: skip
    # An untrained generator is far away, and the floor near 0 and 1.
    assert result["generated"]["frechet_distance"] > 10 * result["real"]["frechet_distance"]
    assert result["generated"]["coverage"] < 0.2 < 0.8 < result["real"]["coverage"]
    assert sum(result["classes"]["generated"]) == pytest.approx(1, abs=1e-3)
    assert result["features"] == "mnist-classifier" and result["versions"]["keras"]
    assert cv2.imread(str(tmp_path / "new" / "nearest.png")).shape == (4 * 16, 16 * 16, 3)
    assert "frechet distance" in done.stdout
    again = command("keras_dcgan.evaluate", *flags)
    assert again.returncode == 0
    assert json.loads((tmp_path / "new" / "metrics.json").read_text()) == result


def test_the_nearest_reals_of_a_copy_are_its_originals(mnist):
    class Copier:
        """Draws training images."""

        input_shape, output_shape = (None, 5), (None, 28, 28, 1)

        def predict(self, latents, batch_size, verbose):
            return mnist[np.random.default_rng(0).permutation(1000)[: len(latents)]] / 127.5 - 1.0

    labels = np.zeros(1000, np.uint8)
    # image_size 28 is none of the networks', but the path of pixels takes it
    result, picture = evaluate.evaluate(Copier(), "mnist", mnist[:1000], labels, 300, seed=0)
    cells = picture.reshape(4, 28, 4, 4, 28).transpose(0, 2, 3, 1, 4).reshape(16, 4, 28, 28)  # (sample, shown, H, W)
    for sample, *neighbours in cells:
        np.testing.assert_array_equal(sample, neighbours[0])
    assert result["generated"]["precision"] == 1.0


@pytest.mark.parametrize(
    "flags, message",
    [
        ([], "give either --run_dir"),
        (["--run_dir=nowhere"], "holds no run"),
        (["--generator=a.keras"], "give --dataset"),
        (["--generator=a.keras", "--dataset=faces", "--out=x"], "--dataset=faces: must be one of"),
        (["--generator=a.keras", "--dataset=mnist", "--out=x"], "a.keras: no such file"),
        (["--run_dir=x", "--samples=3"], "samples"),
    ],
)
def test_a_mistake_is_told_in_a_line(command, flags, message):
    done = command("keras_dcgan.evaluate", *flags)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
