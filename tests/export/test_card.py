"""The model card: its licence, its recipe, its table, its checksums, and nothing that belongs to another generator."""

import dataclasses
import json

import pytest

from export import build, card, folder
from tests.export.helpers import CONFIG


@pytest.fixture
def record(run_dir):
    generator = build.load(run_dir / "generator.keras")
    return build.describe(run_dir / "generator.keras", generator, CONFIG)


def test_the_card_holds_the_licence_the_calls_and_the_checksums(exported):
    text = (exported / "README.md").read_text()
    for name, digest in folder.checksums(exported).items():
        assert name == "README.md" or f"{digest}  {name}" in text
    for part in ("CC BY-SA", "```kotlin", "```swift", "```js", "width 4", "generator-int8.tflite", "15 of 15"):
        assert part in text
    assert "{" not in text.split("## Files")[0]  # nothing left to fill in


def test_the_recipe_names_the_settings_of_the_recipe_only(record):
    training = "\n".join(card._training(record["config"]))
    assert "batch_size 64" in training and "r1_weight 0.0" in training and "log_every" not in training


def test_the_card_quotes_figures_or_gives_the_command_that_measures_them(record):
    measured = {**record, "metrics": {"frechet_distance": 12.25}}
    assert '"frechet_distance": 12.25' in "\n".join(card._quality(measured))
    missing = "Not measured before the export. To measure it: `python -m keras_dcgan.evaluate "
    best = {**record, "source": {"file": "generator-best.keras"}}
    assert "\n".join(card._quality(best)).startswith(f"{missing}--run_dir=RUN_DIR --which=best`")
    alone = {**record, "config": None}
    assert "--generator=generator.keras --dataset=NAME" in "\n".join(card._quality(alone))


def test_the_card_holds_no_path_of_this_machine(run_dir):
    config = dataclasses.replace(CONFIG, dataset="/home/anna/Holiday 7")
    generator = build.load(run_dir / "generator.keras")
    record = {**build.describe(run_dir / "generator.keras", generator, config), "files": []}
    text = card.render(record, {})
    assert "pictures in Holiday 7" in text
    assert "/home/anna" not in text + json.dumps(record) and str(run_dir) not in text + json.dumps(record)
