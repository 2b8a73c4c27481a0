"""The model card: the README.md that travels with the exported files."""

import json
from typing import Any

from keras_dcgan import runs
from keras_dcgan.config import setting_names

from . import verify

README = "README.md"
DATA = {  # data set -> its source and its licence
    "mnist": ("MNIST, 70,000 handwritten digits (LeCun, Cortes and Burges)", "CC BY-SA 3.0"),
    "fashion_mnist": ("Fashion-MNIST, 70,000 pictures of clothes (Zalando Research)", "MIT"),
    "cifar10": (
        "CIFAR-10, 60,000 small photographs (Krizhevsky 2009)",
        "its authors state none and ask to be cited",
    ),
}

CALLS = """## How to call it

Signatures, all of batch 1:

- `generate`: latents float32 [1, {latent_dim}] from N(0, 1){input} -> images float32 {shape} in [-1, 1]
- `sample`: seed int32 [2], a seed and the number of the picture{input} -> picture uint8 {shape}
- `latents`: seed int32 [2] -> latents float32 [1, {latent_dim}], from which `sample` draws; with them a program can
  walk from one picture to another
{note}
Python, with numpy and ai-edge-litert only (as `python -m export.sampler {file} --out=grid.png` does):

```python
import numpy as np
from ai_edge_litert.interpreter import Interpreter

sample = Interpreter("{file}").get_signature_runner("sample")
picture = sample(seed=np.array([7, 0], np.int32){python})["picture"][0]  # uint8 {picture}
```

Kotlin (`com.google.ai.edge.litert:litert`):

```kotlin
val model = CompiledModel.create(context.assets, "{file}", CompiledModel.Options(Accelerator.CPU))
val inputs = model.createInputBuffers("sample")
inputs[0].writeInt(intArrayOf(7, 0))
{kotlin}val picture: ByteArray = model.run(inputs, "sample")[0].readInt8()  // {values} bytes, 0 ... 255 each
```

Swift (the package `LiteRT`), which numbers the signatures: 0 `generate`, 1 `latents`, 2 `sample`:

```swift
let options = try Options()
try options.setHardwareAccelerators([.cpu])
let model = try CompiledModel(filePath: path, environment: try Environment(), options: options)
let inputs = try model.createInputBuffers(signatureIndex: 2)
try inputs[0].write([Int32(7), Int32(0)])
{swift}let picture: [UInt8] = try model.run(inputs: inputs, signatureIndex: 2)[0].read()  // {values} values
```

JavaScript (`@litertjs/core`):

```js
await loadLiteRt('/wasm/');
const model = await loadAndCompile('{file}', {{accelerator: 'wasm'}});
const outputs = await model.run('sample', {{seed: new Tensor(new Int32Array([7, 0]), [2]){javascript}}});
const picture = await outputs.picture.data(); // {values} values
```

The Kotlin and Swift lines follow the packages' public sources; we did not compile or run them. docs/mobile.md and
examples/ in the source hold more. Each file carries its own description: `unzip -p {file} metadata.json`.
"""

# What the calls of a file with classes have in addition: the class with the last label.
LABEL = {
    "input": ", label int32 [1] in 0 ... {label}",
    "note": """
`label` is a class's number in the table above. Other labels with the same seed and number of the picture share their
latents: on digits, one handwriting. Do not pass other numbers; they give a picture of no class, without an error.
""",
    "python": ", label=np.array([{label}], np.int32)",
    "kotlin": "inputs[1].writeInt(intArrayOf({label}))  // the label\n",
    "swift": "try inputs[1].write([Int32({label})])  // the label\n",
    "javascript": ", label: new Tensor(new Int32Array([{label}]), [1])",
}
SAVED_MODEL_CALL = """The SavedModel, with TensorFlow; a single label stands for all pictures:

```python
import tensorflow as tf

sample = tf.saved_model.load("{file}").signatures["sample"]
pictures = sample(seed=tf.constant(7), count=tf.constant(2), labels=tf.constant([0, {label}]))["pictures"]  # uint8
```

Its `serving_default` takes latents float32 [N, {latent_dim}] and labels int32 [N].
"""


def render(record: dict[str, Any], checksums: dict[str, str]) -> str:
    """The card as Markdown, from an export's record and the SHA-256 of the files beside it, by path."""
    model, config, files = record["model"], record["config"], record["files"]
    size, channels = model["image_size"], model["channels"]
    last = len(model["classes"]["names"]) - 1 if "classes" in model else None
    kinds = {row["kind"]: row["file"] for row in files if row["kind"] != verify.SAVED_MODEL}
    lines = [
        f"# A DCGAN generator{' of ' + model['trained_on'] if model['trained_on'] else ''}",
        "",
        f"Draws pictures of {size}x{size} pixels, {'grey' if channels == 1 else 'in colour'}, from "
        f"{model['latent_dim']} random numbers. {record['source']['parameters']:,} parameters. Exported by Keras DCGAN "
        f"{model['version']} on {record['created'][:10]}; everything below is also in `export.json`.",
        "",
        *_classes(model.get("classes")),
        "![The same latents drawn by Keras and by every file](contact_sheet.png)",
        "",
        "## Training",
        "",
        *_training(config),
        "",
        "## Quality",
        "",
        *_quality(record),
        "",
        "## Files",
        "",
        verify.table(files, markdown=True),
        "",
        "`max diff` and `mean diff`: the difference from Keras on a CPU, for images in [-1, 1]. `sample levels`: the "
        "largest difference between `sample` and `generate` on numpy's random numbers, in grey levels. `XNNPACK`: how "
        "many operators of `generate` run in it. `ms`: the fastest of up to 50 calls on the machine that exported. "
        "`peak MB`: the memory of a Python process that runs `generate` and `sample`."
        + ("" if last is None else f" XNNPACK lacks `{verify.LABEL_OPERATOR}`, which makes a vector of the label."),
        "",
    ]
    if kinds:
        shape = f"[1, {size}, {size}, {channels}]"
        lines.append(
            CALLS.format(
                file=kinds.get("int8") or next(iter(kinds.values())), latent_dim=model["latent_dim"], shape=shape,
                picture=shape.replace("1, ", "", 1), values=size * size * channels, **_label_texts(last),
            )
        )  # fmt: skip
    if last is not None and verify.SAVED_MODEL in {row["kind"] for row in files}:
        file = verify.FILES[verify.SAVED_MODEL]
        lines.append(SAVED_MODEL_CALL.format(file=file, label=last, latent_dim=model["latent_dim"]))
    lines += ["## SHA-256", "", "```", *(f"{digest}  {name}" for name, digest in checksums.items()), "```"]
    return "\n".join(lines) + "\n"


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


def _label_texts(last: int | None) -> dict[str, str]:
    """`LABEL` with the last label, or empty texts if there are no classes."""
    return {name: "" if last is None else text.format(label=last) for name, text in LABEL.items()}


def _training(config: dict[str, Any] | None) -> list[str]:
    if config is None:
        return ["Not known: there was no `config.json` beside the generator."]
    source, terms = DATA.get(config["dataset"], (config["dataset"], "not known"))
    return [
        f"Data: {source}. Licence of the data: {terms}.",
        "",
        "Recipe: " + ", ".join(f"{name} {config[name]}" for name in setting_names("recipe")) + ".",
    ]


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
