import hashlib
import json
import sys

import cv2
import numpy as np
import pytest

from keras_dcgan import cli, datasets, evaluate, runs
from keras_dcgan.networks import build_generator


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "generator.keras"
    runs.save_network(path, build_generator(2, 16, 1, 5))  # as a run does
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
    assert result["classes"]["total_variation"] > 0.3 > result["classes"]["total_variation_real"] > 0
    assert result["generator"] == str(generator)
    assert result["generator_sha256"] == hashlib.sha256(generator.read_bytes()).hexdigest()
    assert result["features"] == "mnist-classifier" and result["versions"]["keras"]
    assert cv2.imread(str(tmp_path / "new" / "nearest.png")).shape == (4 * 16, 4 * (4 * 16) + 3 * 8, 3)
    for name in ("frechet distance", "standard error", "total variation", "mnist-classifier"):
        assert name in done.stdout


class Copier:
    """Draws the images that it is given, from the first, or what else it is given, as a generator would."""

    input_shape, output_shape = (None, 5), (None, 28, 28, 1)  # a size of no network's, but the path of pixels takes it

    def __init__(self, images):
        self.images = images

    def predict(self, latents, batch_size, verbose):
        return self.images[: len(latents)] / 127.5 - 1.0


def test_the_nearest_reals_of_a_copy_are_its_originals_wherever_they_are(mnist):
    data, samples = mnist[:1000], 100
    unmeasured = np.random.default_rng(0).permutation(1000)[2 * samples :]  # neither compared with nor in the floor
    copier = Copier(data[unmeasured])
    _, picture = evaluate.evaluate(copier, "mnist", data, np.zeros(1000, np.uint8), samples, seed=0)
    bars = np.split(np.arange(picture.shape[1]), np.cumsum([4 * 28, 8] * 3))[1::2]
    assert (picture[:, np.concatenate(bars)] == 128).all()
    picture = np.delete(picture, np.concatenate(bars), axis=1)
    cells = picture.reshape(4, 28, 4, 4, 28).transpose(0, 2, 3, 1, 4).reshape(16, 4, 28, 28)  # (sample, shown, H, W)
    found = cells[:, 0]
    np.testing.assert_array_equal(np.sort(found.sum((1, 2))), np.sort(data[unmeasured[:16]].sum((1, 2, 3))))
    for sample, *neighbours in cells:
        np.testing.assert_array_equal(sample, neighbours[0])
        assert not (neighbours[1] == sample).all()


def test_drawing_the_reals_themselves_is_perfect_and_numbers_repeat(mnist):
    data, labels = mnist[:1200], np.repeat(np.arange(10, dtype=np.uint8), 120)
    reference = np.random.default_rng(3).permutation(1200)[:500]
    measure = lambda seed: evaluate.evaluate(Copier(data[reference]), "mnist", data, labels, 500, seed, False)  # noqa: E731
    result, picture = measure(3)
    assert picture is None
    found = result["generated"]
    assert found["frechet_distance"] < 1e-3 < result["real"]["frechet_distance"]
    assert found["precision"] == found["recall"] == found["coverage"] == 1.0
    assert abs(found["kernel_distance"]) < 4 * found["kernel_distance_standard_error"]
    assert measure(3)[0] == result
    assert measure(4)[0]["real"] != result["real"]


def test_figures_do_not_depend_on_how_many_images_are_held(mnist, monkeypatch):
    measure = lambda: evaluate.evaluate(Drawer(), "mnist", mnist[:1200], np.zeros(1200, np.uint8), 400, 0)  # noqa: E731

    class Drawer(Copier):
        """An image that depends on its latent alone."""

        def __init__(self):
            super().__init__(None)

        def predict(self, latents, batch_size, verbose):
            return np.clip(mnist[:1] / 127.5 - 1.0 + latents[:, :1, np.newaxis, np.newaxis], -1, 1)

    whole, whole_picture = measure()
    monkeypatch.setattr(evaluate, "CHUNK", 250)
    cut, cut_picture = measure()
    assert cut["generated"] == pytest.approx(whole["generated"], rel=1e-5)
    np.testing.assert_array_equal(cut_picture, whole_picture)


def test_a_generator_gone_wrong_is_no_result(mnist):
    broken = Copier(np.full((100, 28, 28, 1), np.nan))
    with pytest.raises(FloatingPointError, match="not finite"):
        evaluate.evaluate(broken, "mnist", mnist[:1000], np.zeros(1000, np.uint8), 100, seed=0)


def test_a_picture_of_few_samples():
    samples = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
    picture = evaluate.nearest_picture(samples, [sample[np.newaxis] + 100 for sample in samples])
    bar = [128] * 8
    np.testing.assert_array_equal(
        picture[..., 0],
        [[0, 100, *bar, 1, 101, *bar, 2, 102, *bar, 3, 103], [4, 104, *bar, 5, 105, *bar, 0, 0, *bar, 0, 0]],
    )


def test_a_terminal_gets_a_progress_bar_and_a_log_file_none(monkeypatch, capsys):
    evaluate._bar(30)(10)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    advance = evaluate._bar(30)
    advance(10)
    advance(20)
    shown = capsys.readouterr().out
    assert "10/30" in shown and "30/30" in shown


@pytest.mark.parametrize("flags, message", [({"which": "raw"}, "--which=raw: goes with"), ({}, "is no folder")])
def test_a_place_or_a_choice_that_cannot_be_is_the_users_mistake(given, generator, tmp_path, flags, message):
    (tmp_path / "file").write_text("in the way")
    given(generator=str(generator), dataset="mnist", out=str(tmp_path / "file"), **flags)
    with pytest.raises(cli.UserError, match=message):
        evaluate.main()
    assert (tmp_path / "file").read_text() == "in the way"


def test_without_labels_only_the_classes_are_left_out(given, generator, tmp_path, monkeypatch, mnist, caplog):
    def unavailable(*_):
        raise datasets.DatasetUnavailable(datasets.WHAT_TO_DO["mnist"])

    monkeypatch.setattr(datasets, "load_images", lambda *_: mnist[:200])
    monkeypatch.setattr(datasets, "load_labels", unavailable)
    given(generator=str(generator), dataset="mnist", out=str(tmp_path), samples=50, seed=0)
    evaluate.main()
    result = json.loads((tmp_path / "metrics.json").read_text())
    assert result["generated"]["frechet_distance"] > 0 and "classes" not in result
    assert "the classes are left out" in caplog.text
    assert "train-labels-idx1-ubyte" in caplog.text and "t10k-labels-idx1-ubyte" in caplog.text


@pytest.mark.parametrize(
    "flags, message",
    [
        ([], "give either --run_dir"),
        (["--run_dir=nowhere"], "holds no run"),
        (["--generator=a.keras"], "give --dataset"),
        (["--generator=a.keras", "--dataset=faces", "--out=x"], "--dataset=faces: no such folder or file"),
        (["--generator=a.keras", "--dataset=mnist", "--out=x"], "a.keras: no such file"),
        (["--run_dir=x", "--samples=3"], "samples"),
    ],
)
def test_a_mistake_is_told_in_a_line(command, flags, message):
    done = command("keras_dcgan.evaluate", *flags)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
