"""Answers HTTP requests for pictures, with the ONNX files of an export.

pip install -r requirements-server.txt
EXPORTED=exported/ uvicorn --app-dir=examples/server server:app --port=8080
curl "http://127.0.0.1:8080/picture.png?seed=7&label=3" --output picture.png
"""

import io
import json
import os
from pathlib import Path
from typing import Annotated

import numpy as np
from fastapi import FastAPI, HTTPException, Query, Response
from onnxruntime import InferenceSession
from PIL import Image

FOLDER = Path(os.environ.get("EXPORTED", "exported")) / "onnx"
if not (FOLDER / "latents.onnx").is_file():
    raise SystemExit(f"error: EXPORTED: no {FOLDER}/latents.onnx; python -m export --formats=onnx writes it")
LATENTS, GENERATOR = InferenceSession(FOLDER / "latents.onnx"), InferenceSession(FOLDER / "generator.onnx")
ABOUT = json.loads(GENERATOR.get_modelmeta().custom_metadata_map["keras_dcgan"])
CLASSES = ABOUT.get("classes", {}).get("names", [])
app = FastAPI(title="Keras DCGAN", description=f"Draws {', '.join(CLASSES) or 'pictures'}.")
Number = Annotated[int, Query(ge=0, lt=2**31)]


@app.get("/picture.png", response_class=Response, responses={200: {"content": {"image/png": {}}}})
def picture(seed: Number = 0, number: Number = 0, label: Number = 0) -> Response:
    """Picture `number` of a seed, as the `.tflite` files draw it; `label` is its class's number, if it has one."""
    if label >= max(1, len(CLASSES)):
        raise HTTPException(422, f"label={label}: must be below {max(1, len(CLASSES))}")
    [latents] = LATENTS.run(["latents"], {"seed": np.array(seed, np.int32), "indices": np.array([number], np.int32)})
    inputs = {"latents": latents} | ({"labels": np.array([label], np.int32)} if CLASSES else {})
    [pictures] = GENERATOR.run(["pictures"], inputs)  # uint8 [1, S, S, C]
    file = io.BytesIO()
    Image.fromarray(pictures[0].squeeze()).save(file, "PNG")  # [S, S] is grey, [S, S, 3] colour
    return Response(file.getvalue(), media_type="image/png")
