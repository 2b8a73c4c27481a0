"""Every knob of a training run in one frozen dataclass, with its unit, its limits and its default."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from keras_dcgan.files import write_text

CHOICES_OF_DATASET = ("mnist", "fashion_mnist", "cifar10")
IMAGE_SIZES = (16, 32, 64, 128, 256)
FIT = ("crop", "pad", "stretch")
BACKGROUND = ("white", "black", "grey")


# The settings that came after the first runs, under the format of config.json that has them first, each with what the
# programs before it did. A new field of TrainConfig goes here, under the next number: a file of that format or a later
# one must have it, and in an older one it has this value.
ADDED: dict[int, dict[str, Any]] = {
    2: {
        "fit": "crop", "background": "white", "mirror": False, "min_side": 16, "max_bad_share": 0.1, "cache_dir": "",
        "distribute": "off",
    },
    3: {"checkpoint_minutes": 0.0},
}  # fmt: skip
FORMAT = max(ADDED)


class SettingError(ValueError):
    """A setting that does not fit the data or the machine; the message names the flag."""


def is_path(dataset: str) -> bool:
    """Whether a data set is given by its path, which has a slash, and not by name."""
    return "/" in dataset


def _knob(default: Any, group: str, help: str, **limits: Any) -> Any:
    """A dataclass field that carries its help text and its limits: `low`, `high`, `above`, `below` or `choices`."""
    return dataclasses.field(default=default, metadata={"group": group, "help": help, **limits})


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The settings of a run; the defaults are the seed document's recipe, that is the preset `tutorial`.

    Raises ValueError, naming the flag, for a value outside its limits.
    """

    preset: str = _knob("tutorial", "Recipe", "the preset that these values started from")
    # Data
    dataset: str = _knob(
        "mnist", "Data",
        f"what to train on: {', '.join(CHOICES_OF_DATASET)}, or the path of a folder of pictures (folders in it too; "
        "JPEG, PNG, WebP, BMP, GIF), of a .npy, .npz or IDX file of images, or of what keras_dcgan.prepare wrote",
    )  # fmt: skip
    data_dir: str = _knob("", "Data", "folder that already holds the data set's files (IDX, gzipped or not)")
    image_size: int = _knob(64, "Data", "height and width that the networks see, in pixels", choices=IMAGE_SIZES)
    channels: int = _knob(3, "Data", "1 for grey, 3 for colour; grey images are copied to three", choices=(1, 3))
    fit: str = _knob(
        "crop", "Data", "how a picture that is no square becomes one: the middle is cut out, background added at two "
        "sides, or the shape lost", choices=FIT,
    )  # fmt: skip
    background: str = _knob("white", "Data", "what transparent pictures lie on and --fit=pad adds", choices=BACKGROUND)
    mirror: bool = _knob(False, "Data", "flip every other picture left to right, at random")
    min_side: int = _knob(16, "Data", "pictures with a shorter side, in pixels, are left out", low=1, high=65536)
    max_bad_share: float = _knob(
        0.1, "Data", "share of a folder's files that may be left out: unreadable, too small or double", low=0, high=1
    )
    cache_dir: str = _knob(
        "", "Data", "folder for a decoded copy of a folder of pictures, made once and read faster; none where empty"
    )
    shuffle: str = _knob(
        "once", "Data", "'epoch': a new order every epoch; 'once': the seed document's one permutation",
        choices=("epoch", "once"),
    )  # fmt: skip
    # Networks
    width: int = _knob(128, "Networks", "filters beside the image, doubled at every halving", low=1, high=1024)
    latent_dim: int = _knob(100, "Networks", "length of a latent vector", low=1, high=4096)
    # Recipe
    batch_size: int = _knob(64, "Recipe", "images per step", low=2, high=65536)
    epochs: int = _knob(1, "Recipe", "passes over the data; not together with --steps", low=1, high=1_000_000)
    steps: int = _knob(0, "Recipe", "length of the run in steps; 0: by --epochs", low=0, high=1_000_000_000)
    generator_learning_rate: float = _knob(2e-4, "Recipe", "Adam's rate for the generator", above=0, high=1)
    discriminator_learning_rate: float = _knob(2e-4, "Recipe", "Adam's rate for the discriminator", above=0, high=1)
    beta_1: float = _knob(0.5, "Recipe", "Adam's decay of the first moment", low=0, below=1)
    beta_2: float = _knob(0.999, "Recipe", "Adam's decay of the second moment", low=0, below=1)
    decay_fraction: float = _knob(
        0.0, "Recipe", "last part of the run over which both learning rates fall linearly to 0", low=0, high=1
    )
    r1_weight: float = _knob(
        0.0, "Recipe", "weight of R1, the gradient penalty on real images (Mescheder et al. 2018)", low=0, high=1e6
    )
    r1_every: int = _knob(
        1, "Recipe", "steps from one penalty to the next, each that many times as strong", low=1, high=1000
    )
    ema_half_life: float = _knob(
        0.0, "Recipe", "half-life, in images, of the generator's moving average, which is what is sampled; 0: none",
        low=0, high=1e9,
    )  # fmt: skip
    seed: int = _knob(
        0, "Recipe", "seed of the weights, the latents and the order of the images", low=0, high=2**31 - 1
    )
    # Machine
    jit_compile: str = _knob(
        "auto", "Machine", "compile the step with XLA; auto: on a GPU yes, on a CPU no", choices=("auto", "on", "off")
    )
    precision: str = _knob(
        "float32", "Machine", "Keras dtype policy; auto: mixed_bfloat16 where the machine computes in it, else float32",
        choices=("auto", "float32", "mixed_bfloat16", "mixed_float16"),
    )  # fmt: skip
    deterministic: bool = _knob(False, "Machine", "the same bytes every time, also on a GPU; slower there, without XLA")
    distribute: str = _knob(
        "off", "Machine", "'mirrored': all GPUs of this machine; 'multiworker': several, by TF_CONFIG or Slurm; "
        "--batch_size is what all devices share", choices=("off", "mirrored", "multiworker"),
    )  # fmt: skip
    steps_per_execution: int = _knob(1, "Machine", "steps run in one call of the compiled function", low=1, high=10_000)
    # Output
    sample_every: int = _knob(
        100, "Output", "steps between sample grids; 0: only at the end", low=0, high=1_000_000_000
    )
    sample_count: int = _knob(64, "Output", "images in a sample grid", low=1, high=1024)
    log_every: int = _knob(10, "Output", "steps between rows of history.csv", low=1, high=1_000_000)
    measure_every: int = _knob(
        500, "Output", "steps between measurements of sample quality; 0: never", low=0, high=1_000_000_000
    )
    measure_samples: int = _knob(2000, "Output", "images drawn for a measurement", low=16, high=100_000)
    checkpoint_every: int = _knob(
        250, "Output", "steps between checkpoints; 0: none by steps. There is one at the end", low=0, high=1_000_000_000
    )
    checkpoint_minutes: float = _knob(
        0.0, "Output", "minutes between checkpoints, beside --checkpoint_every; 0: none by time", low=0, high=10_000
    )
    tensorboard: bool = _knob(False, "Output", "also write TensorBoard scalars and images to RUN_DIR/tensorboard")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, limits = getattr(self, field.name), field.metadata
            kind = type(field.default)
            if type(value) is not kind and not (kind is float and type(value) is int):
                raise ValueError(f"--{field.name}={value!r}: must be of type {kind.__name__}")
            if "choices" in limits and value not in limits["choices"]:
                raise ValueError(f"--{field.name}={value}: must be one of {', '.join(map(str, limits['choices']))}")
            within = (
                value >= limits.get("low", value)
                and value <= limits.get("high", value)
                and ("above" not in limits or value > limits["above"])
                and ("below" not in limits or value < limits["below"])
            )
            if not within:  # written so that NaN, which compares false, is refused too
                raise ValueError(f"--{field.name}={value}: must be {describe_limits(limits)}")
        if not is_path(self.dataset) and self.dataset not in CHOICES_OF_DATASET:
            raise ValueError(
                f"--dataset={self.dataset}: must be one of {', '.join(CHOICES_OF_DATASET)}, or a path with a slash"
            )
        if self.steps % self.steps_per_execution:
            raise ValueError(
                f"--steps={self.steps}: must be a multiple of --steps_per_execution={self.steps_per_execution}"
            )

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """The inverse of `to_dict`. Raises ValueError for unknown names and for values out of range."""
        unknown = set(values) - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise ValueError(f"unknown setting(s) {', '.join(sorted(unknown))}")
        return cls(**values)


def describe_limits(limits: Any) -> str:
    """One phrase for the numeric limits of a knob, such as 'from 1 to 1024'."""
    low = f"above {limits['above']}" if "above" in limits else f"from {limits.get('low', '-inf')}"
    return f"{low} to below {limits['below']}" if "below" in limits else f"{low} to {limits.get('high', 'inf')}"


# A recipe that is stable at every width, found by experiment: docs/recipe.md. The seed's own collapses in a narrow GAN.
STABLE = {
    "generator_learning_rate": 8e-4, "discriminator_learning_rate": 8e-4, "beta_2": 0.99,
    "r1_weight": 1.0, "r1_every": 4, "ema_half_life": 10_000.0, "shuffle": "epoch", "precision": "auto",
}  # fmt: skip

# What each preset changes in the defaults, and what it promises.
PRESETS: dict[str, dict[str, Any]] = {
    # The seed document, exactly: width 128, three channels, one epoch of 1,094 batches, one fixed permutation.
    "tutorial": {},
    # Clear digits on two CPU cores in about five minutes.
    "quick": {**STABLE, "width": 32, "channels": 1, "steps": 2000},
    # The same recipe at the seed's width, for GPUs, where 250 steps may take no longer than a checkpoint.
    "full": {
        **STABLE, "channels": 1, "epochs": 10,
        "sample_every": 500, "measure_every": 2000, "checkpoint_every": 0, "checkpoint_minutes": 1.0,
    },
}  # fmt: skip


def from_preset(preset: str, overrides: dict[str, Any] | None = None) -> TrainConfig:
    """The settings of a preset with some of them overridden.

    An override of `epochs` alone also takes back the preset's `steps`. Raises ValueError for an unknown preset or
    setting, for values out of range, and where both `epochs` and `steps` are overridden.
    """
    if preset not in PRESETS:
        raise ValueError(f"--preset={preset}: must be one of auto, {', '.join(PRESETS)}")
    overrides = dict(overrides or {})
    if "epochs" in overrides:
        if overrides.get("steps"):
            raise ValueError("--epochs and --steps: give one of them, not both")
        overrides["steps"] = 0
    if overrides.get("dataset") == "cifar10" or is_path(overrides.get("dataset", "")):
        overrides.setdefault("channels", 3)  # grey by accident is no kindness on colour pictures
    return TrainConfig.from_dict({"preset": preset, **PRESETS[preset], **overrides})


def write_config(path: str | Path, config: TrainConfig, about: dict[str, Any]) -> None:
    """Writes `config.json` atomically: the settings under "config" beside what `about` tells of the run."""
    write_text(path, json.dumps({"format": FORMAT, "config": config.to_dict(), **about}, indent=2) + "\n")


def read_config(path: str | Path) -> TrainConfig:
    """Reads the settings of a `config.json`, which must have them all, in whatever format.

    Raises OSError, or ValueError naming the file and what is wrong.
    """
    try:
        about = json.loads(Path(path).read_text(encoding="utf-8"))
        values, written_in = about["config"], about.get("format")
        if type(written_in) is not int or not 1 <= written_in <= FORMAT:
            raise ValueError(f"its format is {written_in!r}, and this program reads 1 to {FORMAT}")
        for number, added in ADDED.items():
            if number > written_in:
                values = {**added, **values}
        missing = [field.name for field in dataclasses.fields(TrainConfig) if field.name not in values]
        if missing:  # a default of this program's may be another than that of the one that wrote it
            raise ValueError(f"it lacks {', '.join(missing)}")
        return TrainConfig.from_dict(values)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path}: not a run's configuration: {error}") from error
