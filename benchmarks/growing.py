"""Growing (Karras et al. 2018): train at 32 pixels first, then at 64; `benchmarks.recipe` compares it with ours.

A network of twice the width for images of half the size has the same layers as ours but for the two beside the image.
"""

import keras

from keras_dcgan.gan import DCGAN

STEPS = 1.5  # of the small networks for each of the large ones: as long in time


def grow(small: DCGAN, gan: DCGAN) -> DCGAN:
    """Gives a GAN the weights of one of half the image size and twice the width, in all layers that both have."""
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
