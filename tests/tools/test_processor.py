from pathlib import Path

import pytest

from keras_dcgan.tools import processor
from tests.conftest import run_python


@pytest.mark.parametrize(
    "cpuinfo, expected",
    [
        ("processor\t: 0\nvmx flags\t: ept\nflags\t\t: fpu avx2 avx512_bf16\n", {"fpu", "avx2", "avx512_bf16"}),
        ("processor\t: 0\nFeatures\t: fp asimd\n", set()),  # ARM
        (None, set()),  # not Linux
    ],
)
def test_features_are_those_that_linux_lists(monkeypatch, cpuinfo, expected):
    def read_text(path):
        assert str(path) == "/proc/cpuinfo"
        if cpuinfo is None:
            raise FileNotFoundError(path)
        return cpuinfo

    monkeypatch.setattr(Path, "read_text", read_text)
    assert processor.features.__wrapped__() == expected


@pytest.mark.parametrize("before, expected", [({}, "1"), ({"TF_ENABLE_ONEDNN_OPTS": "0"}, "0")])
def test_onednn_is_on_unless_somebody_turned_it_off(before, expected):
    asked = "import os, keras_dcgan; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    done = run_python("-c", asked, env=before)
    assert done.stdout.strip() == expected, done.stderr
