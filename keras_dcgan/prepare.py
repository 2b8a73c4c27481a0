"""python -m keras_dcgan.prepare: decodes pictures once, into a few files that training reads fast from any disk."""

import dataclasses
from pathlib import Path
from typing import Any

from absl import flags, logging

from keras_dcgan import cli
from keras_dcgan.config import NAMED_DATASETS, SettingError, TrainConfig, is_path, setting_names
from keras_dcgan.datasets import prepared, source
from keras_dcgan.datasets.data import choose_size
from keras_dcgan.tools import storage, terminal

USAGE = """
Makes every picture of a folder (or of a .npy, .npz or IDX file) the same size and writes them to a few large files.

  python -m keras_dcgan.prepare --dataset=photos/ --out=photos-64/ --image_size=64
  python -m keras_dcgan.fit --dataset=photos-64/
  python -m keras_dcgan.prepare --check=photos-64/
  python -m keras_dcgan.prepare --dataset=photos/ --out=/shared/photos-64/ --part=1/4     on the first of four machines
"""


class _PartParser(flags.ArgumentParser):
    """A part such as 2/4, as (index, count)."""

    def parse(self, argument: str) -> tuple[int, int]:
        number, slash, count = argument.partition("/")
        if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise ValueError("must be such as 2/4, the second part of four")
        return int(number) - 1, int(count)


def define_flags(given: cli.Given) -> None:
    """The flags of this command; those that `fit` has too mean the same."""
    cli.define_path(
        given, "out", "folder for the result: new, empty, or the one of an interrupted call; or s3://…", remote=True
    )
    flags.DEFINE(
        _PartParser(), "part", None, "do a part of the work, such as 2/4, the second of four, on one of four machines "
        "that all see --dataset and --out; the last to end completes the folder", given,
    )  # fmt: skip
    cli.define_path(given, "check", "a prepared folder: only compare its checksums")
    flags.DEFINE_string(
        "dataset", None, "what to prepare: a folder of pictures (sub-folders too), a .npy, .npz or IDX file of images, "
        f"or one of {', '.join(NAMED_DATASETS)}", flag_values=given,
    )  # fmt: skip
    cli.define_settings(given, [name for name in setting_names("decoding") if name != "dataset"])


def main(given: cli.Given) -> None:
    """The command."""
    if given.check:
        if others := [name for name in given if given[name].present and name != "check"]:
            raise cli.UserError(f"--check: goes alone, without --{' and --'.join(others)}")
        images, index = prepared.open_prepared(given.check, verify=True)
        prepared.open_labels(given.check, index)
        logging.info("%s: %d images, every checksum is right", given.check, len(images))
        return
    if not given.dataset or not given.out:
        raise cli.UserError("give --dataset, what to prepare, and --out, a folder for the result")
    if given.part and storage.is_remote(given.out):
        raise cli.UserError(
            f"--out={given.out}: parts need a folder that all machines see; copy that to the store afterwards"
        )
    config = TrainConfig(**cli.given_settings(given) | {"dataset": source.locate(given.dataset)})
    with storage.local_folder(given.out, fetch=True) as out:
        cli.make_folder("out", given.out, out)
        complete, flags_of_fit = prepare(config, out, given.part or (0, 1))
    if complete:
        place = given.out.rstrip("/") + "/"
        logging.info("Train with: %s", terminal.command("keras_dcgan.fit", dataset=place, **flags_of_fit))
    else:
        logging.info("This part is written. The last part to end completes %s.", given.out)


def prepare(config: TrainConfig, out: Path, part: tuple[int, int] = (0, 1)) -> tuple[bool, dict[str, Any]]:
    """Writes the images of a configuration's data set, and its labels, to `out`, with `dataset.json`.

    With `part` (index, count) it does one of so many parts of the work. Returns whether the folder is complete, and the
    flags of a `fit` on it. Raises what `source.open_data` raises, BadFile for a folder that holds something else, and
    OSError if it cannot be written.

    Examples:
      >>> import numpy as np
      >>> np.save("images.npy", np.zeros((5, 28, 28), np.uint8))
      >>> prepare(TrainConfig(dataset="./images.npy", image_size=16), Path("small"))
      (True, {'image_size': 16})
      >>> prepared.open_prepared("small")[0].shape
      (5, 16, 16, 3)
    """
    if is_path(config.dataset) and prepared.is_prepared(config.dataset):
        raise SettingError(f"dataset={config.dataset}", "is prepared already")
    prepared.check_free(out)
    # A report of data that are refused; it must not replace that of prepared images.
    data = source.open_data(config, with_labels=True, report_folder=None if prepared.is_prepared(out) else out)
    size, reason = choose_size(config, data.report)
    if not config.image_size:
        logging.info("Image size: %d, because %s.", size, reason)
    config = dataclasses.replace(config, image_size=size)
    data = source.make_square(data, config)
    logging.info("%s", source.describe(data, config))
    if line := source.describe_classes(data):
        logging.info("%s", line)
    labels = data.found if data.found and data.found.names else None
    about = source.identify(data, config)
    flags_of_fit: dict[str, Any] = {"image_size": size}
    if config.channels == 1:
        flags_of_fit["channels"] = 1
    if config.resize_mode == "stretch":  # square by now, but people are shown the shape that the pictures had
        about["aspect"], flags_of_fit["resize_mode"] = data.report.get("aspect", 1.0), "stretch"
    complete = prepared.write_prepared(data.images, out, about, f"Writing {out}", labels, part)
    source.write_report(data.report, config, out)
    return complete, flags_of_fit


def command() -> None:
    """The entry point."""
    cli.run(main, define_flags, USAGE)


if __name__ == "__main__":
    command()
