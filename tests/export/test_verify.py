"""The limits of an exported file: each one fails a file alone; a strange record is refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from export import verify
from keras_dcgan.tools.files import BadFile

ROOT = Path(__file__).parents[2]
GOOD = {
    "max_difference": 0.0, "mean_difference": 0.0, "sample_max_levels": 0.0, "sample_mean_levels": 0.0,
    "latents_difference": 0.0,
    "operators": {"generate": {"TANH": 1}, "sample": {"FULLY_CONNECTED": 1, "CONV_2D": 1, "ADD": 5}},
    "delegated": {"generate": {"TANH": 1}, "sample": {"FULLY_CONNECTED": 1, "CONV_2D": 1}},
}  # fmt: skip


@pytest.mark.parametrize(
    "change, message",
    [
        ({"max_difference": 2e-5}, "max difference"),
        ({"mean_difference": float("nan")}, "mean difference nan"),
        ({"sample_max_levels": 2.0}, "sample max levels"),
        ({"sample_mean_levels": 0.1}, "sample mean levels"),
        ({"latents_difference": 1e-3}, "latents differ"),
        ({"operators": {**GOOD["operators"], "generate": {"TANH": 2}}}, "XNNPACK does not run all of generate"),
        ({"delegated": {**GOOD["delegated"], "sample": {}}}, "2 convolutions of sample"),
        ({"operators": {**GOOD["operators"], "latents": {"custom FlexAdd": 1}}}, "operators custom FlexAdd"),
        ({"operators": {**GOOD["operators"], "latents": {"VAR_HANDLE": 1}}}, "operators VAR_HANDLE"),
    ],
)
def test_each_limit_fails_a_file(change, message):
    assert verify.problems(GOOD, verify.LIMITS["float32"]) == []
    assert message in "; ".join(verify.problems({**GOOD, **change}, verify.LIMITS["float32"]))


@pytest.mark.parametrize("kind, far, near", [("int8", 0.55, 0.2), ("int8-full", 0.85, 0.41)])
def test_a_pixel_that_quantising_does_not_explain_fails(kind, far, near):
    assert verify.problems({**GOOD, "max_difference": near}, verify.LIMITS[kind]) == []
    assert "max difference" in verify.problems({**GOOD, "max_difference": far}, verify.LIMITS[kind])[0]


@pytest.mark.parametrize(
    "change",
    [
        {"files": [{"kind": "int4"}]}, {"files": [{"kind": []}]}, {"files": [{}]}, {"files": 3}, {"sha256": 3},
        {"sha256": None}, {"files": []},
    ],
)  # fmt: skip
def test_a_strange_record_is_not_an_export(tmp_path, change):
    (tmp_path / "export.json").write_text(json.dumps({"files": [], "sha256": {}, **change}))
    with pytest.raises(BadFile, match="holds no export"):
        verify.check_again(tmp_path)


def test_a_folder_without_its_reference_is_named(copied):
    (copied / "parity.npz").unlink()
    assert verify.check_again(copied) == ["parity.npz is missing"]


def test_without_tensorflow_only_the_saved_model_is_skipped(copied):
    program = (
        "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "from pathlib import Path; from export import verify; print(verify.check_again(Path(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, copied], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" ok\n") == 4 and done.stdout.endswith("[]\n")
    assert "Not run, because tensorflow is not installed: saved_model\n" in done.stdout


def test_the_table_shows_what_was_measured_and_dashes_for_the_rest():
    broken = {"file": "a.tflite", "kind": "int8", "bytes": 2_500_000, "problems": ["does not run: cut"]}
    header, row = verify.table([broken]).splitlines()
    assert header.split()[:2] == ["file", "MB"]
    assert row.split()[:3] == ["a.tflite", "2.50", "-"] and row.endswith("does not run: cut")
    assert verify.table([broken], markdown=True).splitlines()[1].startswith("| -------- | ")


def test_it_also_works_as_a_part_of_the_installed_package(copied, tmp_path):
    """A wheel holds the folder export/ as keras_dcgan.export; measure is then a process of that package."""
    place = tmp_path / "site"
    shutil.copytree(ROOT / "keras_dcgan", place / "keras_dcgan")
    shutil.copytree(ROOT / "export", place / "keras_dcgan" / "export", ignore=shutil.ignore_patterns("web"))
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from keras_dcgan.export import verify\n"
        "print(verify.__file__); rows, _ = verify.check_files(Path(sys.argv[2]), ['int8', 'saved_model'])\n"
        "print([row['problems'] for row in rows])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, place, copied], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.splitlines() == [f"{place}/keras_dcgan/export/verify.py", "[[], []]"], done.stderr
