"""The sampler with a generator of classes: --label, --write, random labels, one handwriting, and what it refuses."""

import cv2
import numpy as np
import pytest

from export import rng, sampler
from export.sampler import Sampler, random_label
from keras_dcgan.pipeline import to_uint8
from tests.export.helpers import CLASSES, LATENT_DIM, SIZE, TFLITE, keras_images, with_metadata


def test_a_picture_without_a_label_is_of_its_random_class(exported_with_classes):
    draw = Sampler(exported_with_classes / TFLITE["int8"]).draw
    for index in range(6):
        np.testing.assert_array_equal(draw(3, index), draw(3, index, random_label(3, index, CLASSES.counts)))


def test_random_labels_have_the_datas_mix_and_differ_between_seeds():
    counts = [5, 0, 1, 2]
    labels = np.array([[random_label(seed, index, counts) for index in range(2000)] for seed in (0, 1, 2**31 - 1)])
    shares = np.apply_along_axis(np.bincount, 1, labels) / 2000
    assert np.abs(shares - np.array(counts) / 8).max() < 0.03
    assert all((labels[a] != labels[b]).mean() > 0.4 for a, b in ((0, 1), (1, 2), (0, 2)))
    repeats = (labels[:, 1:] == labels[:, :-1]).mean()
    assert abs(repeats - sum(count**2 for count in counts) / 64) < 0.03  # one label says nothing of the next


def test_random_labels_stay_as_they_are():
    """The page and older copies of the sampler must agree; these words are the algorithm's."""
    assert [random_label(7, index, [1] * 10) for index in range(12)] == [4, 5, 1, 2, 2, 8, 8, 0, 4, 0, 2, 1]
    assert random_label(0, 0, [2**40, 2**60, 1]) in (0, 1) and random_label(5, 5, [1]) == 0


def test_one_hand_is_one_latent_vector(exported_with_classes, run_with_classes):
    written = Sampler(exported_with_classes / TFLITE["float32"]).write([2, 0, 1], seed=7, row=4)
    latents = np.repeat(rng.draw_latents(7, [4], LATENT_DIM), 3, axis=0)
    expected = np.concatenate(to_uint8(keras_images(run_with_classes, latents, [2, 0, 1])), axis=1)
    assert written.shape == (SIZE, 3 * SIZE, 1) and np.abs(written.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("text", ["cab", "c,a,b", "2,0,1", "c,0,b"])
def test_the_command_writes_a_text_in_two_hands(exported_with_classes, tmp_path, text):
    file, out = exported_with_classes / TFLITE["int8"], tmp_path / "grid.png"
    assert sampler.main([str(file), f"--write={text}", "--count=2", "--seed=7", f"--out={out}"]) == 0
    made = Sampler(file)
    expected = np.concatenate([made.write([2, 0, 1], 7, row) for row in range(2)])
    np.testing.assert_array_equal(cv2.imread(str(out), cv2.IMREAD_GRAYSCALE), expected[..., 0])


def test_a_text_is_one_row_unless_count_says_more(exported_with_classes, tmp_path, capsys):
    file = exported_with_classes / TFLITE["int8"]
    assert sampler.main([str(file), "--write=abba", f"--out={tmp_path}/rows/"]) == 0
    assert "4 pictures" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "rows").iterdir()] == ["000000.png"]
    assert cv2.imread(str(tmp_path / "rows" / "000000.png")).shape == (SIZE, 4 * SIZE, 3)


@pytest.mark.parametrize("label", ["b", "1"])
def test_the_command_draws_one_class(exported_with_classes, tmp_path, label):
    file, out = exported_with_classes / TFLITE["int8"], tmp_path / "grid.png"
    assert sampler.main([str(file), f"--label={label}", "--count=4", "--seed=3", f"--out={out}"]) == 0
    expected = sampler.make_grid([Sampler(file).draw(3, index, 1) for index in range(4)])
    np.testing.assert_array_equal(cv2.imread(str(out), cv2.IMREAD_GRAYSCALE), expected[..., 0])


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--label=d", "--label=d: 'd' is not a class; they are a, b, c"),
        ("--label=3", "--label=3: '3' is not a class"),
        ("--label=", "--label=: '' is not a class"),
        ("--write=abd", "--write=abd: 'd' is not a class"),
        ("--write=a,,b", "--write=a,,b: '' is not a class"),
        ("--write=", "--write=: '' is not a class"),
        ("--label=" + "9" * 5000, "is not a class"),
    ],
)
def test_what_is_not_a_class_is_one_line_and_exit_code_2(exported_with_classes, tmp_path, capsys, flag, message):
    assert sampler.main([str(exported_with_classes / TFLITE["int8"]), flag, f"--out={tmp_path}/grid.png"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert not (tmp_path / "grid.png").exists()


def test_longer_names_are_written_between_commas(exported_with_classes, tmp_path):
    classes = {"names": ["sneaker", "bag", "T-shirt"], "counts": [1, 1, 1]}
    made = Sampler(with_metadata(exported_with_classes, tmp_path, classes=classes))
    assert made.labels("bag,T-shirt,0") == [1, 2, 0] and made.labels("sneaker") == [0]
    assert made.label("sneaker") == 0 and made.label("2") == 2


@pytest.mark.parametrize("flag", ["--label=1", "--write=1"])
def test_a_file_without_classes_refuses_labels(exported, capsys, flag):
    assert sampler.main([str(exported / TFLITE["int8"]), flag]) == 2
    assert capsys.readouterr().err == f"error: {flag}: the file has no classes\n"


def test_label_and_write_exclude_each_other(capsys):
    with pytest.raises(SystemExit) as stopped:
        sampler.main(["x.tflite", "--label=1", "--write=1"])
    assert stopped.value.code == 2 and "not allowed with" in capsys.readouterr().err


@pytest.mark.parametrize("label", [-1, 3, 2**31])
def test_the_sampler_refuses_a_label_outside_the_classes(exported_with_classes, label):
    with pytest.raises(ValueError, match=f"label {label}: there are 3 classes"):
        Sampler(exported_with_classes / TFLITE["int8"]).draw(0, 0, label)


@pytest.mark.parametrize(
    "classes",
    [
        None, [], {}, {"names": ["a"]}, {"names": [], "counts": []}, {"names": ["a"], "counts": [1, 2]},
        {"names": ["a", "a"], "counts": [1, 2]}, {"names": [1], "counts": [1]}, {"names": ["a"], "counts": [True]},
        {"names": ["a"], "counts": [0]}, {"names": ["a", "b"], "counts": [-1, 2]}, {"names": "ab", "counts": [1, 2]},
        {"names": ["a"], "counts": [1.0]}, {"names": ["a"], "counts": {"a": 1}},
    ],
)  # fmt: skip
def test_hostile_classes_are_refused(exported_with_classes, tmp_path, classes):
    file = with_metadata(exported_with_classes, tmp_path, classes=classes)
    with pytest.raises(ValueError, match=r"changed\.tflite: cut, or not a file that python -m export wrote"):
        sampler.read_metadata(file)
