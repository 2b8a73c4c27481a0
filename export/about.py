"""What an export says of itself beyond its measurements: what each file is for, data, code, limits, signatures."""

import json
from pathlib import Path

from keras_dcgan import runs
from keras_dcgan.config import TrainConfig, is_path

from . import verify
from .measure import ONNX_GENERATOR, ONNX_LATENTS

LICENCE = "Apache-2.0"  # of this project's code
DATA = {  # data set -> its source and its licence
    "mnist": ("MNIST, 70,000 handwritten digits (LeCun, Cortes and Burges)", "CC BY-SA 3.0"),
    "fashion_mnist": ("Fashion-MNIST, 70,000 pictures of clothes (Zalando Research)", "MIT"),
    "cifar10": (
        "CIFAR-10, 60,000 small photographs (Krizhevsky 2009)",
        "its authors state none and ask to be cited",
    ),
}
TARGETS = {  # format -> where to use it
    verify.SAVED_MODEL: "a server or a program with TensorFlow; any number of pictures in a call",
    "float32": "Keras's pictures, except for rounding; a phone's GPU (`generate` only)",
    "float16": "a phone, at half the size; not a browser, where it takes 3 to 5 times as long as float32",
    "int8": "a phone's or small computer's CPU, and a browser, where it takes 0.3 to 0.8 of float32's time",
    "int8-full": "a DSP or NPU that computes in integers only",
    verify.ONNX: "a server or a program with ONNX Runtime; any number of pictures in a call",
}
OTHER_FILES = {
    verify.PARITY: "Keras's own images for 16 or more latents, to check a file on another machine: arrays `latents` "
    "float32 [N, Z], `images` float32 [N, S, S, C] in [-1, 1] and, with classes, `labels` int32 [N]; `numpy.load` "
    "reads it",
    "contact_sheet.png": "the same latents drawn by Keras and by every file, to compare by eye",
    "export.json": "this card for programs: all measurements, settings, versions and checksums",
}
LIMITS = [
    "It draws only what its data shows, in squares of one size, with the gaps and the bias of the data.",
    "Some of its pictures are bad: the figures under Quality say how far they are from real ones as a whole.",
    "A picture may be close to one of the data; `python -m keras_dcgan.evaluate` looks for copies of training images.",
    "The files were measured on a CPU only, that of the machine that exported; not on a phone, a GPU, a DSP or an NPU.",
    "The same seed gives the same random numbers everywhere; pictures may differ by a grey level between processors, "
    "and by more in int8.",
]


def data(config: TrainConfig | None) -> dict[str, str]:
    """The "source" of the data, without a path of this machine, and its "licence"; "not known" if nobody says."""
    source, licence = DATA.get(config.dataset, (trained_on(config), "not known")) if config else ("not known",) * 2
    return {"source": source, "licence": licence}


def trained_on(config: TrainConfig) -> str:
    """The name of the data set, or of the folder that holds the pictures."""
    return f"pictures in {Path(config.dataset).resolve().name}" if is_path(config.dataset) else config.dataset


def code(run_config: Path) -> dict[str, str | None]:
    """The "licence" of the code, the "commit" and "url" that exported, and the commit that trained.

    Reads the last from a run's `config.json`, a path that may be missing. Values that are not known are None.
    """
    trained_by = json.loads(run_config.read_text(encoding="utf-8")).get("git_commit") if run_config.is_file() else None
    return {"licence": LICENCE, **runs.source_code(), "trained_by_commit": trained_by}


def signatures(formats: list[str], classes: bool) -> dict[str, dict[str, str]]:
    """What the formats beside `.tflite` compute, by signature (SavedModel) or by file (ONNX)."""
    labels, one_or_all = (", labels int32 [N]", ", labels int32 [count] or [1]") if classes else ("", "")
    images = f"latents float32 [N, Z] from N(0, 1){labels} -> images float32 [N, S, S, C], -1 black to 1 white"
    texts = {
        verify.SAVED_MODEL: {
            "serving_default": images,
            "sample": f"seed int32 [], count int32 []{one_or_all} -> pictures uint8 [count, S, S, C], 0 to 255",
        },
        verify.ONNX: {
            ONNX_GENERATOR: f"{images}; pictures uint8 [N, S, S, C], the same in 0 to 255",
            ONNX_LATENTS: "seed int32 [], indices int32 [N] -> latents float32 [N, Z], those of pictures `indices`",
        },
    }
    return {name: texts[name] for name in formats if name in texts}
