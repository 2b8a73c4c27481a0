"""Every setting of a training run in one frozen dataclass, with its unit, its limits and its default."""

import dataclasses
from typing import Any

NAMED_DATASETS = ("mnist", "fashion_mnist", "cifar10")
IMAGE_SIZES = (16, 32, 64, 128, 256)
RESIZE_MODES = ("crop", "pad", "stretch")
AUTO = {int: 0, float: -1.0}  # values of settings that are numbers and that the program chooses
BACKGROUNDS = {"white": 255, "black": 0, "grey": 128}  # the level of each channel
UPSAMPLINGS = ("transposed", "nearest")
AUGMENTATIONS = ("translation", "color,translation", "color,translation,cutout")


class SettingError(ValueError):
    """A setting that does not fit its limits, the data or the machine.

    Args:
      setting: its name, as a field of `TrainConfig` or a flag; with its value where that helps, as "width=0".
      problem: what is wrong and what to do.

    The text is "setting: problem"; the commands put the dashes of a flag before it.
    """

    def __init__(self, setting: str, problem: str):
        super().__init__(f"{setting}: {problem}")


def is_path(dataset: str) -> bool:
    """Whether a data set is given by its path, which has a slash, and not by name."""
    return "/" in dataset


def _setting(
    default: Any, group: str, help: str, *, auto: bool = False, resumable: bool = False, recipe: bool = False,
    decoding: bool = False, path: bool = False, **limits: Any,
) -> Any:  # fmt: skip
    """A field of `TrainConfig` with everything that the program knows of a setting.

    Args:
      default: the value in the preset `tutorial`.
      group: the heading in --help.
      help: the line in --help.
      auto: a number that the program can choose: people write "auto" for it, and the value is that of `AUTO`.
      resumable: a resumed run may change it. Only what cannot change the results: the length of the run, what it
        writes, how it is executed; not XLA, which rounds differently.
      recipe: belongs to the recipe that a model card quotes.
      decoding: decides which pictures become which arrays: `prepare` has it too, and `dataset.json` records it.
      path: a path; "~" is expanded.
      limits: `low`, `high`, `above`, `below` or `choices`.
    """
    about = {"auto": auto, "resumable": resumable, "recipe": recipe, "decoding": decoding, "path": path}
    return dataclasses.field(default=default, metadata={"group": group, "help": help, **about, **limits})


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The settings of a run; the defaults are the MXNet tutorial's recipe, which is the preset `tutorial`.

    Raises SettingError for a value outside its limits.

    Examples:
      >>> config = TrainConfig(dataset="cifar10", epochs=2)
      >>> config.batch_size, config.total_steps(images=60_000)
      (64, 1876)
      >>> TrainConfig(image_size=50)
      Traceback (most recent call last):
        ...
      keras_dcgan.config.SettingError: image_size=50: must be auto or one of 16, 32, 64, 128, 256
    """

    preset: str = _setting("tutorial", "", "the preset that these values started from", recipe=True)
    # Data
    dataset: str = _setting(
        "mnist", "Data", f"what to train on: {', '.join(NAMED_DATASETS)}, or the path of a folder of pictures "
        "(sub-folders too), of a .npy, .npz or IDX file of images, or of a folder that keras_dcgan.prepare wrote; such "
        "a folder may also be in object storage: s3://bucket/faces",
        decoding=True,
    )  # fmt: skip
    data_dir: str = _setting(
        "", "Data", "folder that already holds the data set's files (IDX, gzipped or not; CIFAR-10: its binary "
        "batches)", resumable=True, path=True,
    )  # fmt: skip
    image_size: int = _setting(
        64, "Data", "height and width that the networks see, in pixels; auto: 64, but 32 for CIFAR-10 and for small "
        "pictures of your own, and what keras_dcgan.prepare made", choices=IMAGE_SIZES, auto=True, recipe=True,
        decoding=True,
    )  # fmt: skip
    channels: int = _setting(
        3, "Data", "1 for grey, 3 for colour, which is the default for CIFAR-10 and pictures of your own; grey images "
        "are copied to three", choices=(1, 3), recipe=True, decoding=True,
    )  # fmt: skip
    resize_mode: str = _setting(
        "crop", "Data", "how to make pictures square: 'crop' the middle, 'pad' with background, or 'stretch'",
        choices=RESIZE_MODES, decoding=True,
    )  # fmt: skip
    background: str = _setting(
        "white", "Data", "colour behind transparent pictures and beside padded ones", choices=tuple(BACKGROUNDS),
        decoding=True,
    )  # fmt: skip
    labels: str = _setting(
        "off", "Data", "learn the classes, so that you can ask for one; 'auto': 'on' if every image is in a class, "
        "and the classes have 20 images or more on average", choices=("auto", "on", "off"), recipe=True,
    )  # fmt: skip
    mirror: bool = _setting(False, "Data", "flip each image left to right with probability 1/2")
    min_side: int = _setting(
        16, "Data", "skip pictures with a shorter side than this, in pixels", low=1, high=65536, decoding=True
    )
    max_bad_share: float = _setting(
        0.1, "Data", "stop if more than this share of a folder's files is unreadable, too small or duplicate",
        low=0, high=1, decoding=True,
    )  # fmt: skip
    cache_dir: str = _setting(
        "", "Data", "folder for a decoded copy of a folder of pictures, made once and read faster, and for prepared "
        "images that come from object storage; without it no copy is made, and such images go to the Keras home",
        resumable=True, path=True,
    )  # fmt: skip
    shuffle: str = _setting(
        "once", "Data", "'epoch': a new order every epoch; 'once': the MXNet tutorial's one permutation",
        choices=("epoch", "once"),
    )  # fmt: skip
    # Networks
    width: int = _setting(
        128, "Networks", "filters beside the image, doubled at every halving; auto: 64 at 16 and 32 pixels, 32 at 64, "
        "16 above", low=1, high=1024, auto=True, recipe=True,
    )  # fmt: skip
    latent_dim: int = _setting(100, "Networks", "length of a latent vector", low=1, high=4096, recipe=True)
    upsampling: str = _setting(
        "transposed", "Networks", "how the generator doubles the image: 'transposed' convolutions, or enlargement to "
        "'nearest' neighbours and 3x3 convolutions, which makes no checkerboard; 'auto': nearest for fewer than "
        "10,000 images", choices=("auto", *UPSAMPLINGS), recipe=True,
    )  # fmt: skip
    # Recipe
    batch_size: int = _setting(64, "Recipe", "images per step", low=2, high=65536, recipe=True)
    epochs: int = _setting(
        1, "Recipe", "passes over the data; not together with steps", low=1, high=1_000_000, resumable=True, recipe=True
    )
    steps: int = _setting(
        0, "Recipe", "length of the run in steps; 0: by epochs", low=0, high=1_000_000_000, resumable=True, recipe=True
    )
    generator_learning_rate: float = _setting(
        2e-4, "Recipe", "Adam's learning rate for the generator", above=0, high=1, recipe=True
    )
    discriminator_learning_rate: float = _setting(
        2e-4, "Recipe", "Adam's learning rate for the discriminator", above=0, high=1, recipe=True
    )
    beta_1: float = _setting(0.5, "Recipe", "Adam's decay of the first moment", low=0, below=1, recipe=True)
    beta_2: float = _setting(0.999, "Recipe", "Adam's decay of the second moment", low=0, below=1, recipe=True)
    r1_weight: float = _setting(
        0.0, "Recipe", "weight of R1, the gradient penalty on real images (Mescheder et al. 2018); auto: 0.1 if a "
        "run learns classes of many pictures, else 1", low=0, high=1e6, auto=True, recipe=True,
    )  # fmt: skip
    r1_every: int = _setting(
        1, "Recipe", "steps from one R1 penalty to the next; each is that many times as strong", low=1, high=1000,
        recipe=True,
    )  # fmt: skip
    ema_half_life: float = _setting(
        0.0, "Recipe", "half-life, in images, of the generator's moving average, which draws the samples; 0: none",
        low=0, high=1e9, recipe=True,
    )  # fmt: skip
    augment: str = _setting(
        "off", "Recipe", "how all pictures are changed before the discriminator sees them, so that it cannot learn few "
        "of them by heart (DiffAugment, Zhao et al. 2020); auto: color,translation if a run shows few pictures "
        "often, else off", choices=("auto", "off", *AUGMENTATIONS), recipe=True,
    )  # fmt: skip
    synchronized: bool = _setting(
        True, "Recipe", "if several devices share a batch: batch normalisation over all of it, as on one device; off: "
        "over each device's part, which is faster, but another recipe", recipe=True,
    )  # fmt: skip
    seed: int = _setting(
        0, "Recipe", "seed of the weights, the latents and the order of the images", low=0, high=2**31 - 1, recipe=True
    )
    # Machine
    jit_compile: str = _setting(
        "auto", "Machine", "compile the step with XLA; auto: on a GPU yes, on a CPU no", choices=("auto", "on", "off")
    )
    precision: str = _setting(
        "float32", "Machine", "Keras dtype policy; auto: mixed_bfloat16 if the machine computes in it, else float32",
        choices=("auto", "float32", "mixed_bfloat16", "mixed_float16"), recipe=True,
    )  # fmt: skip
    deterministic: bool = _setting(
        False, "Machine", "the same bytes every time, also on a GPU; slower there, and without XLA"
    )
    distribute: str = _setting(
        "off", "Machine", "'mirrored': all GPUs of this machine; 'multiworker': several machines, by TF_CONFIG or "
        "Slurm; the devices share each batch", choices=("off", "mirrored", "multiworker"), resumable=True,
    )  # fmt: skip
    steps_per_execution: int = _setting(
        1, "Machine", "steps in one call of the compiled function", low=1, high=10_000, resumable=True
    )
    # Output
    sample_every: int = _setting(
        100, "Output", "steps between sample grids; 0: only at the end", low=0, high=1_000_000_000, resumable=True
    )
    sample_count: int = _setting(64, "Output", "images in a sample grid", low=1, high=1024)
    log_every: int = _setting(10, "Output", "steps between rows of history.csv", low=1, high=1_000_000, resumable=True)
    measure_every: int = _setting(
        500, "Output", "steps between measurements of sample quality; 0: never", low=0, high=1_000_000_000
    )
    patience: int = _setting(
        0, "Output", "end the run after so many measurements in a row without a new best; 0: never", low=0, high=10_000,
        resumable=True,
    )  # fmt: skip
    measure_samples: int = _setting(2000, "Output", "images drawn for a measurement", low=16, high=100_000)
    checkpoint_every: int = _setting(
        250, "Output", "steps between checkpoints; 0: only at the end", low=0, high=1_000_000_000, resumable=True
    )
    checkpoint_minutes: float = _setting(
        0.0, "Output", "also a checkpoint every so many minutes; 0: none by time", low=0, high=10_000, resumable=True
    )
    tensorboard: bool = _setting(
        False, "Output", "also write TensorBoard scalars and images to RUN_DIR/tensorboard", resumable=True
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))
        if not is_path(self.dataset) and self.dataset not in NAMED_DATASETS:
            raise SettingError(
                f"dataset={self.dataset}", f"must be one of {', '.join(NAMED_DATASETS)}, or a path with a slash"
            )
        if self.steps % self.steps_per_execution:
            raise SettingError(
                f"steps={self.steps}", f"must be a multiple of steps_per_execution={self.steps_per_execution}"
            )
        if self.patience and not self.measure_every:
            raise SettingError(f"patience={self.patience}", "counts measurements, and measure_every=0 makes none")

    def steps_per_epoch(self, images: int) -> int:
        """The batches of one pass over so many images; the last one is filled up."""
        return -(-images // self.batch_size)

    def total_steps(self, images: int) -> int:
        """The length of a run on so many images, in steps."""
        return self.steps or self.epochs * self.steps_per_epoch(images)

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """The inverse of `to_dict`. Raises ValueError for unknown names and SettingError for values out of range."""
        if unknown := set(values) - set(setting_names()):
            raise ValueError(f"unknown setting(s) {', '.join(sorted(unknown))}")
        return cls(**values)


def setting_names(about: str | None = None) -> list[str]:
    """The names of all settings, or of those that are "auto", "resumable", "recipe", "decoding" or "path".

    Examples:
      >>> setting_names("auto")
      ['image_size', 'width', 'r1_weight']
    """
    return [field.name for field in dataclasses.fields(TrainConfig) if about is None or field.metadata[about]]


def is_auto(name: str, value: Any) -> bool:
    """Whether a value of a setting leaves the choice to the program."""
    field = TrainConfig.__dataclass_fields__[name]
    if field.metadata["auto"]:
        return value == AUTO[type(field.default)]
    return value == "auto" and "auto" in field.metadata.get("choices", ())


def written(name: str, value: Any) -> Any:
    """A value of a setting as people write it: "auto" where the program can choose, and will."""
    return "auto" if is_auto(name, value) else value


def describe_limits(limits: Any) -> str:
    """One phrase for the limits of a setting.

    Examples:
      >>> describe_limits({"low": 1, "high": 1024}), describe_limits({"choices": (16, 32), "auto": True})
      ('from 1 to 1024', 'auto or one of 16, 32')
    """
    if limits.get("auto"):
        return f"auto or {describe_limits({**limits, 'auto': False})}"
    if "choices" in limits:
        return f"one of {', '.join(map(str, limits['choices']))}"
    low = f"above {limits['above']}" if "above" in limits else f"from {limits.get('low', '-inf')}"
    return f"{low} to below {limits['below']}" if "below" in limits else f"{low} to {limits.get('high', 'inf')}"


def _check(field: dataclasses.Field, value: Any) -> None:
    """Raises SettingError if a value has another type than the field's default, or is outside its limits."""
    kind, limits = type(field.default), field.metadata
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise SettingError(f"{field.name}={value!r}", f"must be of type {kind.__name__}")
    if is_auto(field.name, value):
        return
    within = (
        value in limits.get("choices", (value,))
        and value >= limits.get("low", value)
        and value <= limits.get("high", value)
        and ("above" not in limits or value > limits["above"])
        and ("below" not in limits or value < limits["below"])
    )
    if not within:  # written so that NaN, which compares false, is refused too
        raise SettingError(f"{field.name}={value}", f"must be {describe_limits(limits)}")


# A recipe that is stable at every width, found by experiment: docs/recipe.md. The tutorial's collapses in a narrow GAN.
STABLE = {
    "generator_learning_rate": 8e-4, "discriminator_learning_rate": 8e-4, "beta_2": 0.99,
    "r1_weight": AUTO[float], "r1_every": 4, "ema_half_life": 10_000.0, "shuffle": "epoch", "labels": "auto",
    "augment": "auto", "precision": "auto", "upsampling": "auto",
}  # fmt: skip

# What each preset changes in the defaults, and what it promises.
PRESETS: dict[str, dict[str, Any]] = {
    # The MXNet tutorial, exactly: width 128, three channels, one epoch of 1,094 batches, one fixed permutation.
    "tutorial": {},
    # Clear digits on two CPU cores in about five minutes: small batches learn more in the same time.
    "quick": {
        **STABLE, "image_size": 0, "width": 0, "channels": 1, "batch_size": 32, "steps": 4000,
        "sample_every": 400, "measure_every": 2000, "checkpoint_every": 500,
    },
    # The same recipe at the tutorial's width, for GPUs, where 250 steps may take no longer than a checkpoint.
    "full": {
        **STABLE, "image_size": 0, "channels": 1, "epochs": 10,
        "sample_every": 500, "measure_every": 2000, "checkpoint_every": 0, "checkpoint_minutes": 2.0,
    },
}  # fmt: skip


def from_preset(preset: str, overrides: dict[str, Any] | None = None) -> TrainConfig:
    """The settings of a preset with some of them overridden.

    An override of `epochs` alone also takes back the preset's `steps`. Raises SettingError for an unknown preset, for
    values out of range, and if both `epochs` and `steps` are overridden; ValueError for an unknown setting.

    Examples:
      >>> config = from_preset("quick", {"dataset": "cifar10"})
      >>> config.steps, config.channels, config.beta_2
      (4000, 3, 0.99)
    """
    if preset not in PRESETS:
        raise SettingError(f"preset={preset}", f"must be one of auto, {', '.join(PRESETS)}")
    overrides = dict(overrides or {})
    if "epochs" in overrides:
        if overrides.get("steps"):
            raise SettingError("epochs", "give epochs or steps, not both")
        overrides["steps"] = 0
    if overrides.get("dataset") == "cifar10" or is_path(str(overrides.get("dataset"))):
        overrides.setdefault("channels", 3)  # colour pictures must not become grey by accident
    return TrainConfig.from_dict({"preset": preset, **PRESETS[preset], **overrides})
