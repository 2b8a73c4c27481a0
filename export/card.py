"""The model card: the README.md that travels with the exported files."""

import json
from typing import Any

from keras_dcgan import runs
from keras_dcgan.config import setting_names

from . import calls, verify

README = "README.md"


def render(record: dict[str, Any], checksums: dict[str, str]) -> str:
    """The card as Markdown, from an export's record and the SHA-256 of the files beside it, by path."""
    model, files = record["model"], record["files"]
    size, channels = model["image_size"], model["channels"]
    lines = [
        f"# A DCGAN generator{' of ' + model['trained_on'] if model['trained_on'] else ''}",
        "",
        f"Draws pictures of {size}x{size} pixels, {'grey' if channels == 1 else 'in colour'}, from "
        f"{model['latent_dim']} random numbers. {record['source']['parameters']:,} parameters. Exported by Keras DCGAN "
        f"{model['version']} on {record['created'][:10]}; everything below is also in `export.json`.",
        "",
        *_shape(model.get("aspect", 1)),
        *_classes(model.get("classes")),
        "![The same latents drawn by Keras and by every file](contact_sheet.png)",
        "",
        "## Training",
        "",
        *_training(record),
        "",
        "## Quality",
        "",
        *_quality(record),
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in record["limits"]),
        "",
        "## Files",
        "",
        *_uses(record),
        "",
        f"Here and below, N is a number of pictures, Z = {model['latent_dim']} the length of a latent vector, S = "
        f"{size} the height and width in pixels, and C = {channels} the channels.",
        "",
        verify.table(files, markdown=True),
        "",
        "`max diff` and `mean diff`: the difference from Keras on a CPU, for images in [-1, 1]. `sample levels`: the "
        "largest difference between `sample` and `generate` on numpy's random numbers, in grey levels. `XNNPACK`: how "
        "many operators of `generate` run in it. `ms`: the fastest of up to 50 calls on the machine that exported. "
        "`peak MB`: the memory of a Python process that runs `generate` and `sample`."
        + (
            f" XNNPACK lacks `{verify.LABEL_OPERATOR}`, which makes a vector of the label."
            if "classes" in model
            else ""
        ),
        "",
        "## How to call it",
        "",
        *calls.render(record),
        "## SHA-256",
        "",
        "```",
        *(f"{digest}  {name}" for name, digest in checksums.items()),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _shape(aspect: float) -> list[str]:
    """How to show pictures that were stretched to squares for the training."""
    if aspect == 1:
        return []
    return [f"The data were stretched to squares: show its pictures {aspect:g} times as wide as high.", ""]


def _classes(classes: dict[str, Any] | None) -> list[str]:
    """The labels with their names and numbers of images."""
    if not classes:
        return []
    named = zip(classes["names"], classes["counts"], strict=True)
    rows = [f"| {label} | {_in_a_cell(name)} | {count:,} |" for label, (name, count) in enumerate(named)]
    return [
        "It draws the class that it is asked for:", "",
        "| label | class | images in the data |", "| --- | --- | --- |", *rows, "",
    ]  # fmt: skip


def _in_a_cell(name: str) -> str:
    """A class's name without the characters that a Markdown table or a browser would take as its own."""
    for mark in "\\|<>`*_[]":
        name = name.replace(mark, f"\\{mark}")
    return " ".join(name.split())


def _uses(record: dict[str, Any]) -> list[str]:
    """A table of what each file is for."""
    uses = {row["file"]: row["use"] for row in record["files"]} | record["other_files"]
    return ["| file | what it is for |", "| --- | --- |", *(f"| `{name}` | {use} |" for name, use in uses.items())]


def _training(record: dict[str, Any]) -> list[str]:
    """Where the data, the code and the settings are from."""
    data, code, config = record["data"], record["code"], record["config"]
    commits = {"exported": code["commit"], "trained": code["trained_by_commit"]}
    known = [f"{commit} {did} it" for did, commit in commits.items() if commit]
    lines = [
        f"Data: {data['source']}. Licence of the data: {data['licence']}.",
        "",
        f"Code: Keras DCGAN{' at ' + code['url'] if code['url'] else ''}, licence {code['licence']}."
        + (f" Commit {' and commit '.join(known)}." if known else ""),
        "",
    ]
    if config is None:
        return [*lines, "Recipe: not known, for there was no `config.json` beside the generator."]
    return [*lines, "Recipe: " + ", ".join(f"{name} {config[name]}" for name in setting_names("recipe")) + "."]


def _quality(record: dict[str, Any]) -> list[str]:
    if record["metrics"]:
        lines = ["This generator, by `python -m keras_dcgan.evaluate`:", ""]
        lines += ["```json", json.dumps(record["metrics"], indent=2), "```"]
    else:
        lines = [f"Not measured before the export. To measure it: `{_how_to_measure(record)}`."]
    if "frechet" in record:
        lines += ["", describe_frechet(record["frechet"]) + " The files' own distances are in the table."]
    return lines


def _how_to_measure(record: dict[str, Any]) -> str:
    source = record["source"]["file"]
    which = next((which for which, name in runs.GENERATORS.items() if name == source), None)
    if record["config"] and which:
        return f"python -m keras_dcgan.evaluate --run_dir=RUN_DIR --which={which}"
    return f"python -m keras_dcgan.evaluate --generator={source} --dataset=NAME --out=FOLDER"


def describe_frechet(measured: dict[str, Any]) -> str:
    """A sentence with the distances to compare the files' own with."""
    return (
        f"Fréchet distance by {measured['features']} features, {measured['samples']} samples: Keras "
        f"{measured['keras']:.2f}, real against real {measured['real']:.2f}; smaller is better."
    )
