"""How people see the figures of a generator: a table, and pictures of samples beside real images."""

from typing import Any

import numpy as np

from keras_dcgan.metrics import by_class
from keras_dcgan.tools import draw


def as_text(figures: dict[str, Any]) -> str:
    """The figures that `report.evaluate` returns, as a table.

    Examples:
      >>> figures = {"dataset": "mnist", "samples": 100, "features": "mnist-classifier"}
      >>> print(as_text({**figures, "generated": {"recall": 0.9}, "real": {"recall": 0.95}}))
      mnist, 100 samples, mnist-classifier features
                             generated        real
      recall                    0.9000      0.9500
    """
    generated, real = figures["generated"], figures["real"]
    lines = [
        f"{figures['dataset']}, {figures['samples']} samples, {figures['features']} features",
        f"{'':20}{'generated':>12}{'real':>12}",
    ]
    for name in generated:
        label = "  standard error" if name == "kernel_distance_standard_error" else name.replace("_", " ")
        lines.append(f"{label:20}{generated[name]:12.4f}{real[name]:12.4f}")
    if "classes" in figures:
        lines += by_class.as_lines(figures["classes"])
    if "copying" in figures:
        copying = figures["copying"]
        lines.append(
            f"copying: {copying['copied']:.1%} of the samples lie as close to a training picture as copies do "
            f"(new real pictures: {copying['expected']:.0%}): {copying['verdict']}"
        )
        if "searched" in copying:
            lines.append(f"only {copying['searched']:,} training pictures were searched: copies of the others look new")
    return "\n".join(lines)


def nearest_picture(samples: np.ndarray, neighbours: list[np.ndarray]) -> np.ndarray:
    """Lays samples uint8 [N, S, S, C] out in four columns, each with its neighbours [K, S, S, C] to its right.

    Grey bars divide the columns: what follows a bar, or the edge, is a sample.

    Examples:
      >>> samples, neighbours = np.zeros((8, 28, 28, 1), np.uint8), [np.zeros((3, 28, 28, 1), np.uint8)] * 8
      >>> nearest_picture(samples, neighbours).shape  # two rows, four columns of a sample and three neighbours
      (56, 472, 1)
    """
    rows = [np.concatenate([sample[np.newaxis], near]) for sample, near in zip(samples, neighbours, strict=True)]
    rows += [np.zeros_like(rows[0])] * (-len(rows) % 4)
    columns = [draw.make_grid(np.concatenate(rows[i::4]), columns=len(rows[0])) for i in range(4)]
    bar = np.full((columns[0].shape[0], draw.GAP, columns[0].shape[2]), 128, np.uint8)
    return np.concatenate([part for column in columns for part in (column, bar)][:-1], axis=1)
