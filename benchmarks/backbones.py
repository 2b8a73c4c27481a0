"""Other discriminators of the same interface; `benchmarks.recipe` compares them with that of `keras_dcgan.networks`."""

import keras
from keras import layers

from keras_dcgan.networks import build_discriminator, build_generator


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


def build_plain_discriminator(width: int, image_size: int, channels: int, classes: int = 0) -> keras.Model:
    """Ours without batch normalisation, from the initial weights of He et al. (2015), which keep the signal's size."""
    ours = build_discriminator(width, image_size, channels, classes)
    x = ours.input
    for layer in ours.layers[1:]:
        if isinstance(layer, layers.Conv2D):
            layer = layer.from_config(layer.get_config() | {"kernel_initializer": "he_normal"})
        if not isinstance(layer, layers.BatchNormalization):
            x = layer(x)
    return keras.Model(ours.input, x, name="discriminator")


BUILDERS = {
    "plain": (build_generator, build_plain_discriminator),
    "paired": (build_generator, build_half_paired_discriminator),
}
