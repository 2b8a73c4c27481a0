"""Floating-point operations of a training step: counted from the layers, and from the program that XLA would run."""

import math
import re

import keras

MULTIPLY_ADD = 2


def forward_flops(network: keras.Model) -> list[int]:
    """The operations of each convolution of a network for one image, forward, in order."""
    found = []
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2DTranspose):
            places = math.prod(layer.input.shape[1:3])
        elif isinstance(layer, keras.layers.Conv2D):
            places = math.prod(layer.output.shape[1:3])
        else:
            continue
        found.append(MULTIPLY_ADD * math.prod(layer.kernel_size) * math.prod(layer.kernel.shape[2:]) * places)
    return found


def step_flops(generator: keras.Model, discriminator: keras.Model, batch_size: int, r1_every: int = 0) -> float:
    """The operations of the convolutions in one step of `DCGAN.adversarial_step`, on average.

    Each pass back costs as much as forward for the inputs, where they are needed, and again for the weights. R1, at
    every `r1_every`-th step (0: never), adds the gradient at the images and, through it, one pass forward and one for
    the weights.
    """
    g, d = forward_flops(generator), forward_flops(discriminator)
    update_d = 2 * (sum(d) + sum(d[1:]) + sum(d))  # fakes and reals: forward, inputs but the images, weights
    update_g = sum(g) + (sum(d) + sum(d)) + (sum(g[1:]) + sum(g))  # fakes, their score, back through both networks
    penalty = 3 * sum(d) / r1_every if r1_every else 0
    return batch_size * (update_d + update_g + penalty)


def hlo_flops(text: str) -> float:
    """The operations of all convolutions and matrix products in an XLA program, given as HLO text.

    What no result depends on is not counted, nor are the zeros that a dilated convolution skips; those of its padding
    are.
    """
    pattern = re.compile(r"^\s*(ROOT )?%?([\w.-]+) = \w+\[([\d,]*)\](.*)")
    shapes: dict[str, list[int]] = {}
    needed: set[str] = set()
    total = 0.0
    for line in text.splitlines():
        if match := pattern.match(line):
            shapes[match[2]] = [int(size) for size in match[3].split(",") if size]
    for line in reversed(text.splitlines()):  # users come after what they use
        match = pattern.match(line)
        if "ROOT " in line or (match and match[2] in needed) or " = (" in line:
            needed.update(re.findall(r"[\w.-]+", line.split(" = ", 1)[1]))
        else:
            continue
        operation = re.search(r" (convolution|dot)\((.*?)\)", line)
        if not match or not operation:
            continue
        left, right = (shapes[name.split()[-1].lstrip("%")] for name in re.split(r", (?=[%\w])", operation[2]))
        if operation[1] == "dot":
            contracted = re.search(r"lhs_contracting_dims={([\d,]+)}", line)
            summed = math.prod(left[int(axis)] for axis in contracted[1].split(",")) if contracted else 1
        else:
            labels = re.search(r"dim_labels=\w+_(\w+)->", line)
            assert labels
            summed = math.prod(size for label, size in zip(labels[1], right, strict=True) if label != "o")
        dilated = re.search(r"lhs_dilate=(\d+)x(\d+)", line)
        total += (
            MULTIPLY_ADD * math.prod(shapes[match[2]]) * summed / (int(dilated[1]) * int(dilated[2]) if dilated else 1)
        )
    return total
