"""The model card: its licence, its recipe, its table, its checksums, and nothing that belongs to another generator."""

import dataclasses
import json
import shutil

import pytest

from export import about, build, card, folder
from keras_dcgan import runs
from tests.export.helpers import CONFIG


@pytest.fixture
def record(run_dir):
    generator = build.load(run_dir / "generator.keras")
    return build.describe(run_dir / "generator.keras", generator, CONFIG)


def test_the_card_holds_the_licence_the_calls_and_the_checksums(exported):
    text = (exported / "README.md").read_text()
    for name, digest in folder.checksums(exported).items():
        assert name == "README.md" or f"{digest}  {name}" in text
    for part in ("Licence of the data: CC BY-SA", "licence Apache-2.0", "| `parity.npz` | Keras's own images",
                 "| `generator-int8-full.tflite` | a DSP", "count=tf.constant(2))", "- `sample`: seed int32 [], count",
                 "## Limits", "```kotlin", "```swift", "```js", "width 4", "generator-int8.tflite",
                 "15 of 15"):  # fmt: skip
        assert part in text
    assert "{" not in text.split("## Files")[0]  # nothing left to fill in


def test_the_recipe_names_the_settings_of_the_recipe_only(record):
    training = "\n".join(card._training(record))
    assert "batch_size 64" in training and "r1_weight 0.0" in training and "log_every" not in training


def test_the_record_says_the_same_as_the_card(exported):
    record = json.loads((exported / "export.json").read_text())
    assert record["data"]["licence"] == "CC BY-SA 3.0" and record["code"]["licence"] == "Apache-2.0"
    assert all(row["use"] for row in record["files"]) and set(record["signatures"]) == {"saved_model"}
    listed = {row["file"] for row in record["files"]} | set(record["other_files"]) | {"README.md"}
    assert listed == {path.name for path in exported.iterdir()}


def test_the_card_names_the_commits_and_the_address_of_the_code(run_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "source_code", lambda: {"commit": "abc1", "url": "https://example.org/dcgan"})
    (tmp_path / "config.json").write_text('{"git_commit": "def2"}')
    code = about.code(tmp_path / "config.json")
    record = build.describe(run_dir / "generator.keras", build.load(run_dir / "generator.keras"), CONFIG)
    text = "\n".join(card._training({**record, "code": code}))
    assert "Code: Keras DCGAN at https://example.org/dcgan, licence Apache-2.0." in text
    assert "Commit abc1 exported it and commit def2 trained it." in text


def test_the_card_quotes_figures_or_gives_the_command_that_measures_them(record):
    measured = {**record, "metrics": {"frechet_distance": 12.25}}
    assert '"frechet_distance": 12.25' in "\n".join(card._quality(measured))
    missing = "Not measured before the export. To measure it: `python -m keras_dcgan.evaluate "
    best = {**record, "source": {"file": "generator-best.keras"}}
    assert "\n".join(card._quality(best)).startswith(f"{missing}--run_dir=RUN_DIR --which=best`")
    alone = {**record, "config": None}
    assert "--generator=generator.keras --dataset=NAME" in "\n".join(card._quality(alone))


def test_the_card_gives_the_shape_of_stretched_pictures(run_dir, tmp_path, record):
    generator = shutil.copy(run_dir / "generator.keras", tmp_path)
    (tmp_path / "dataset.json").write_text('{"resize_mode": "stretch", "aspect": 1.25}')
    stretched = build.describe(tmp_path / "generator.keras", build.load(generator), CONFIG)
    line = "show its pictures 1.25 times as wide as high"
    assert line in card.render(stretched | {"files": []}, {}) and line not in card.render(record | {"files": []}, {})
    assert stretched["model"]["aspect"] == 1.25 and "aspect" not in record["model"]


def test_the_card_holds_no_path_of_this_machine(run_dir):
    config = dataclasses.replace(CONFIG, dataset="/home/anna/Holiday 7")
    generator = build.load(run_dir / "generator.keras")
    record = {**build.describe(run_dir / "generator.keras", generator, config), "files": []}
    text = card.render(record, {})
    assert "pictures in Holiday 7" in text
    assert "/home/anna" not in text + json.dumps(record) and str(run_dir) not in text + json.dumps(record)
