"""Another discriminator of the same interface; `benchmarks.recipe` compares it with that of `keras_dcgan.networks`."""

import keras
from keras import layers

from keras_dcgan.networks import build_generator


def build_paired_discriminator(width: int, image_size: int, channels: int, classes: int = 0) -> keras.Model:
    """No batch normalisation; a 3x3 convolution of stride 1 before each 4x4 one of stride 2 (Miyato et al. 2018).

    `width` filters see the whole image, so at equal width a step costs about six times as much as with ours.
    """
    images = layers.Input((image_size, image_size, channels), name="images")
    x, filters = images, width
    for _ in range(image_size.bit_length() - 3):
        x = layers.LeakyReLU(0.1)(layers.Conv2D(filters, 3, padding="same")(x))
        filters *= 2
        x = layers.LeakyReLU(0.1)(layers.Conv2D(filters, 4, 2, padding="same")(x))
    x = layers.LeakyReLU(0.1)(layers.Conv2D(filters, 3, padding="same")(x))
    x = layers.Conv2D(max(1, classes), 4)(x)
    return keras.Model(images, layers.Flatten(dtype="float32", name="logits")(x), name="discriminator")


def build_half_paired_discriminator(width: int, image_size: int, channels: int, classes: int = 0) -> keras.Model:
    """`build_paired_discriminator` with half the filters at each size, about three times ours in cost."""
    return build_paired_discriminator(width // 2, image_size, channels, classes)


BUILDERS = {
    "paired": (build_generator, build_half_paired_discriminator),
}
