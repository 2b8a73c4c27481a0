"""The calls of an exported file in each language, as the model card prints them."""

from typing import Any

from . import verify

TFLITE = """The signatures of a `.tflite` file, all of batch 1:

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

Kotlin (`com.google.ai.edge.litert:litert:2.3.0`; `Accelerator.GPU` needs `litert-gpu:2.3.0` too):

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

The Kotlin lines were compiled against stubs of the package's public classes, and the Swift lines follow its public
sources; neither was run on a device. docs/mobile.md and examples/ in the source hold more. Each file carries its own
description: `unzip -p {file} metadata.json`.
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
    "saved_model": ", labels=tf.constant([0, {label}])",
    "onnx": ', "labels": np.array([0, {label}], np.int32)',
}
SAVED_MODEL = """The SavedModel, with TensorFlow:

```python
import tensorflow as tf

sample = tf.saved_model.load("{folder}").signatures["sample"]
pictures = sample(seed=tf.constant(7), count=tf.constant(2){saved_model})["pictures"]  # uint8 {pictures}
```

{signatures}
"""
ONNX = """The ONNX files, with numpy and onnxruntime only; the latents have a file of their own:

```python
import numpy as np
from onnxruntime import InferenceSession

draw, generate = (InferenceSession(f"{folder}/{{name}}.onnx") for name in ("latents", "generator"))
[latents] = draw.run(["latents"], {{"seed": np.array(7, np.int32), "indices": np.arange(2, dtype=np.int32)}})
[pictures] = generate.run(["pictures"], {{"latents": latents{onnx}}})  # uint8 {pictures}
```

{signatures}

A server that answers with pictures, started in a copy of the source; EXPORTED is the folder of this card:

```sh
pip install -r requirements-server.txt
EXPORTED=exported/ {serve}
curl "http://127.0.0.1:8080/picture.png?seed=7" --output picture.png
```
"""
SERVE = "uvicorn --app-dir=examples/server server:app --port=8080"


def render(record: dict[str, Any]) -> list[str]:
    """The calls of all exported files as Markdown, from an export's record."""
    model, kinds = record["model"], {row["kind"]: row["file"] for row in record["files"]}
    size, channels = model["image_size"], model["channels"]
    last = len(model["classes"]["names"]) - 1 if "classes" in model else None
    texts = {name: "" if last is None else text.format(label=last) for name, text in LABEL.items()}
    texts |= {"latent_dim": model["latent_dim"], "values": size * size * channels}
    texts |= {"shape": f"[1, {size}, {size}, {channels}]", "picture": f"[{size}, {size}, {channels}]"}
    texts |= {"pictures": f"[2, {size}, {size}, {channels}]", "serve": SERVE}
    lines = []
    if tflite := [kind for kind in ("int8", *verify.TFLITE) if kind in kinds]:
        lines.append(TFLITE.format(file=kinds[tflite[0]], **texts))
    for kind, text in ((verify.SAVED_MODEL, SAVED_MODEL), (verify.ONNX, ONNX)):
        if kind in kinds:
            listed = "\n".join(f"- `{name}`: {does}" for name, does in record["signatures"][kind].items())
            lines.append(text.format(folder=kinds[kind], signatures=listed, **texts))
    return lines
