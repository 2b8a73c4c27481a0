"""Less work a step: half a discriminator, or 32 pixels before 64; `benchmarks.recipe` compares both with ours."""

import keras

from keras_dcgan.gan import DCGAN
from keras_dcgan.networks import build_discriminator, build_generator

STEPS = 1.5  # of the small networks that grow for each of the large ones: as long in time


def build_half_discriminator(width: int, image_size: int, channels: int, classes: int = 0) -> keras.Model:
    """Ours with half the filters, at about a quarter of the cost."""
    return build_discriminator(width // 2, image_size, channels, classes)


BUILDERS = {"half_discriminator": (build_generator, build_half_discriminator)}


def grow(small: DCGAN, gan: DCGAN) -> DCGAN:
    """Gives a GAN the weights of one that was trained at half the image size (Karras et al. 2018).

    With twice the width that has the same layers but for the two beside the image.
    """
    for name, shift in (("generator", 0), ("averaged", 0), ("discriminator", 1)):  # layers count from the input
        network, theirs = getattr(gan, name), {layer.name: layer for layer in getattr(small, name).layers}
        for layer in network.layers:
            letters = layer.name.rstrip("0123456789")
            source = theirs.get(letters + str(int(layer.name.removeprefix(letters) or 0) - shift))
            if layer.weights and source and _shapes(source) == _shapes(layer):
                layer.set_weights(source.get_weights())
    return gan


def _shapes(layer: keras.layers.Layer) -> list[tuple]:
    return [tuple(weight.shape) for weight in layer.weights]
