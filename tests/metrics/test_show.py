import numpy as np

from keras_dcgan.metrics import show


def test_a_picture_of_few_samples():
    samples = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
    picture = show.nearest_picture(samples, [sample[np.newaxis] + 100 for sample in samples])
    bar = [128] * 8
    np.testing.assert_array_equal(
        picture[..., 0],
        [[0, 100, *bar, 1, 101, *bar, 2, 102, *bar, 3, 103], [4, 104, *bar, 5, 105, *bar, 0, 0, *bar, 0, 0]],
    )


def test_the_table_shows_every_figure_beside_its_floor():
    values = dict.fromkeys(("frechet_distance", "kernel_distance", "kernel_distance_standard_error", "coverage"), 0.25)
    classes = {"generated": [0.5, 0.5], "real": [0.1, 0.9], "total_variation": 0.4, "total_variation_real": 0.125}
    about = {"dataset": "mnist", "samples": 100, "features": "mnist-classifier"}
    text = show.as_text(about | {"generated": values, "real": dict.fromkeys(values, 1.5), "classes": classes})
    assert text.splitlines() == [
        "mnist, 100 samples, mnist-classifier features",
        "                       generated        real",
        "frechet distance          0.2500      1.5000",
        "kernel distance           0.2500      1.5000",
        "  standard error          0.2500      1.5000",
        "coverage                  0.2500      1.5000",
        "class                  generated        real",
        "0                          50.0%       10.0%",
        "1                          50.0%       90.0%",
        "total variation           0.4000      0.1250",
    ]


def test_the_table_says_what_copying_there_is():
    copying = {"copied": 0.21, "expected": 0.05, "nearer": 0.6, "verdict": "some samples are close"}
    about = {"dataset": "faces", "samples": 100, "features": "own.keras", "generated": {}, "real": {}}
    assert show.as_text(about | {"copying": copying}).splitlines()[2:] == [
        "copying: 21.0% of the samples lie as close to a training picture as copies do (new real pictures: 5%): some "
        "samples are close"
    ]


def test_the_table_shows_what_became_of_each_class():
    values = {"agreement": 0.75}
    classes = {
        "generated": [0.5, 0.5], "real": [0.1, 0.9], "total_variation": 0.4, "total_variation_real": 0.125,
        "names": ["cat", "dog"], "confusion": [[0.75, 0.25], [0.0, 1.0]], "frechet_distance": [2.0, None],
        "frechet_distance_real": [0.5, 0.25], "images_needed": 256, "worst": "cat",
    }  # fmt: skip
    about = {"dataset": "mnist", "samples": 100, "features": "mnist-classifier"}
    text = show.as_text(about | {"generated": values, "real": {"agreement": 1.0}, "classes": classes})
    assert text.splitlines()[2:] == [
        "agreement                 0.7500      1.0000",
        "class                  generated        real",
        "cat                        50.0%       10.0%",
        "dog                        50.0%       90.0%",
        "total variation           0.4000      0.1250",
        "frechet distance in    generated        real   agreement",
        "cat                       2.0000      0.5000       75.0%",
        "dog                            -      0.2500      100.0%",
        "worst class                  cat",
        "-: needs 256 images of the class on both sides; give more --samples",
    ]
