"""python -m keras_dcgan.prepare: decodes pictures once, into a few files that training reads fast from any disk."""

from pathlib import Path

from absl import flags, logging

from keras_dcgan import cli, inputs, shards
from keras_dcgan.config import BACKGROUND, FIT, IMAGE_SIZES, SettingError, TrainConfig

USAGE = """
Brings every picture of a folder (or of a .npy, .npz or IDX file) to one size and writes them to a few large files.

  python -m keras_dcgan.prepare --dataset=photos/ --out=photos-64/ --image_size=64
  python -m keras_dcgan.fit --dataset=photos-64/
  python -m keras_dcgan.prepare --check=photos-64/
"""
OWN_FLAGS = ["dataset", "out", "image_size", "channels", "fit", "background", "min_side", "max_bad_share", "check"]


def define_flags() -> None:
    """The flags of this command; those that `fit` has too mean the same."""
    default = TrainConfig()
    flags.DEFINE_string("dataset", None, "folder of pictures, or a .npy, .npz or IDX file of images")
    flags.DEFINE_string("out", None, "folder for the result, new or empty, or one that was interrupted")
    flags.DEFINE_enum("image_size", "64", [str(size) for size in IMAGE_SIZES], "height and width, in pixels")
    flags.DEFINE_enum("channels", "3", ["1", "3"], "1 for grey, 3 for colour")
    flags.DEFINE_enum("fit", default.fit, FIT, "how a picture that is no square becomes one")
    flags.DEFINE_enum("background", default.background, BACKGROUND, "what is behind transparent pictures and --fit=pad")
    flags.DEFINE_integer("min_side", default.min_side, "pictures with a shorter side, in pixels, are left out")
    flags.DEFINE_float("max_bad_share", default.max_bad_share, "share of the files that may be left out")
    flags.DEFINE_string("check", None, "a prepared folder whose checksums are to be compared, instead")


def main() -> None:
    """The command."""
    given = flags.FLAGS
    try:
        if given.check is not None:
            images, _ = shards.open_shards(given.check, verify=True)
            logging.info("%s: %d images, every checksum right", given.check, len(images))
            return
        if not given.dataset or not given.out:
            raise cli.UserError("give --dataset, what to prepare, and --out, a folder for the result")
        config = TrainConfig(
            dataset=inputs.resolve(given.dataset), image_size=int(given.image_size), channels=int(given.channels),
            fit=given.fit, background=given.background, min_side=given.min_side, max_bad_share=given.max_bad_share,
        )  # fmt: skip
        prepare(config, Path(given.out))
    except ValueError as error:
        raise cli.UserError(str(error)) from error


def prepare(config: TrainConfig, out: Path) -> None:
    """Writes the images of a configuration's data set to `out`, with what was found in them as `dataset.json`.

    Raises ValueError for data that cannot be used and for a folder that holds something else, OSError where the data
    cannot be read or the folder not written.
    """
    if shards.is_prepared(config.dataset):
        raise SettingError(f"--dataset={config.dataset}: is prepared already")
    images, report = inputs.open_images(config, out)
    images = inputs.fitted(images, config)
    logging.info("%s", inputs.describe(report, config))
    shards.write_shards(images, out, inputs.about(config, report.get("fingerprint")), f"Writing {out}")
    inputs.write_report(report, config, out)
    logging.info("Train with: python -m keras_dcgan.fit --dataset=%s/ --image_size=%d", out, config.image_size)


if __name__ == "__main__":
    define_flags()
    cli.run(main, USAGE, OWN_FLAGS)
