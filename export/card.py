"""The model card: the README.md that travels with the exported files."""

import json
from typing import Any

from export import tflite, verify
from keras_dcgan import runs

README = "README.md"
DATA = {  # what a generator was trained on: its source, and on which terms
    "mnist": ("MNIST, 70,000 handwritten digits (LeCun, Cortes and Burges)", "CC BY-SA 3.0"),
    "fashion_mnist": ("Fashion-MNIST, 70,000 pictures of clothes (Zalando Research)", "MIT"),
    "cifar10": (
        "CIFAR-10, 60,000 small photographs (Krizhevsky 2009)",
        "none stated by its authors, who ask to be cited",
    ),
}
RECIPE = [
    "preset", "width", "image_size", "channels", "latent_dim", "batch_size", "epochs", "steps",
    "generator_learning_rate", "discriminator_learning_rate", "beta_1", "beta_2", "decay_fraction", "r1_weight",
    "r1_every", "ema_half_life", "precision", "seed",
]  # fmt: skip

CALLS = """## How to call it

Signatures, all of batch 1:

- `generate`: latents float32 [1, {latent_dim}] from N(0, 1) -> images float32 {shape} in [-1, 1]
- `sample`: seed int32 [2], a seed and the number of the picture -> picture uint8 {shape}
- `latents`: seed int32 [2] -> latents float32 [1, {latent_dim}], those that `sample` draws from, for walking from one
  picture to another

Python, with numpy and ai-edge-litert alone (`python -m export.sampler {file} --out=grid.png` does it too):

```python
import numpy as np
from ai_edge_litert.interpreter import Interpreter

sample = Interpreter("{file}").get_signature_runner("sample")
picture = sample(seed=np.array([7, 0], np.int32))["picture"][0]  # uint8 {picture}
```

Kotlin (`com.google.ai.edge.litert:litert`):

```kotlin
val model = CompiledModel.create(context.assets, "{file}", CompiledModel.Options(Accelerator.CPU))
val inputs = model.createInputBuffers("sample")
inputs[0].writeInt(intArrayOf(7, 0))
val picture: ByteArray = model.run(inputs, "sample")[0].readInt8()  // {values} bytes, 0 ... 255 each
```

Swift (the package `LiteRT`), where signatures go by number: 0 `generate`, 1 `latents`, 2 `sample`:

```swift
let options = try Options()
try options.setHardwareAccelerators([.cpu])
let model = try CompiledModel(filePath: path, environment: try Environment(), options: options)
let inputs = try model.createInputBuffers(signatureIndex: 2)
try inputs[0].write([Int32(7), Int32(0)])
let picture: [UInt8] = try model.run(inputs: inputs, signatureIndex: 2)[0].read()  // {values} values
```

JavaScript (`@litertjs/core`):

```js
await loadLiteRt('/wasm/');
const model = await loadAndCompile('{file}', {{accelerator: 'wasm'}});
const outputs = await model.run('sample', {{seed: new Tensor(new Int32Array([7, 0]), [2])}});
const picture = await outputs.picture.data(); // {values} values
```

The Kotlin and Swift lines follow the packages' own sources and were not run on a device; docs/mobile.md in the source
says more. What is known of a file is inside it too: `unzip -p {file} metadata.json`.
"""


def render(record: dict[str, Any], checksums: dict[str, str]) -> str:
    """The card as Markdown, from an export's record and the SHA-256 by path of what lies beside the card."""
    model, config, files = record["model"], record["config"], record["files"]
    size, channels = model["image_size"], model["channels"]
    kinds = {row["kind"]: row["file"] for row in files if row["kind"] in tflite.FILES}
    lines = [
        f"# A DCGAN generator{' of ' + model['trained_on'] if model['trained_on'] else ''}",
        "",
        f"Draws pictures of {size}x{size} pixels, {'grey' if channels == 1 else 'in colour'}, from "
        f"{model['latent_dim']} random numbers. {record['source']['parameters']:,} parameters. Exported by Keras DCGAN "
        f"{model['version']} on {record['created'][:10]}; everything below is also in `export.json`.",
        "",
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
        "`max diff` and `mean diff` are against Keras on a CPU, for images in [-1, 1]; `sample levels` is how far "
        "`sample` is from `generate` on numpy's random numbers, in grey levels; `XNNPACK` tells how many operators of "
        "`generate` run in it. The times are the fastest of up to 50 calls on the machine that exported, `peak MB` is "
        "a Python process that runs `generate` and `sample`.",
        "",
    ]
    if kinds:
        shape = f"[1, {size}, {size}, {channels}]"
        lines.append(
            CALLS.format(
                file=kinds.get("int8") or next(iter(kinds.values())), latent_dim=model["latent_dim"], shape=shape,
                picture=shape.replace("1, ", "", 1), values=size * size * channels,
            )
        )  # fmt: skip
    lines += ["## SHA-256", "", "```", *(f"{digest}  {name}" for name, digest in checksums.items()), "```"]
    return "\n".join(lines) + "\n"


def _training(config: dict[str, Any] | None) -> list[str]:
    if config is None:
        return ["Not known: the generator came without its run's `config.json`."]
    source, terms = DATA.get(config["dataset"], (config["dataset"], "not known here"))
    return [
        f"Data: {source}. Licence of the data: {terms}.",
        "",
        "Recipe: " + ", ".join(f"{name} {config[name]}" for name in RECIPE if name in config) + ".",
    ]


def _quality(record: dict[str, Any]) -> list[str]:
    if record["metrics"]:
        lines = ["This generator, by `python -m keras_dcgan.evaluate`:", ""]
        lines += ["```json", json.dumps(record["metrics"], indent=2), "```"]
    else:
        lines = [f"Not measured before the export; `{_how_to_measure(record)}` does it."]
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
    """A sentence on the distances that the files' own are to be compared with."""
    return (
        f"Fréchet distance by {measured['features']} features, {measured['samples']} samples: Keras "
        f"{measured['keras']:.2f}, real against real {measured['real']:.2f}; smaller is better."
    )
