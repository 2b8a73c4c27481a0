"""The two networks of a DCGAN (Radford et al. 2016), as functional Keras models."""

import hashlib
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from keras_dcgan.config import IMAGE_SIZES, UPSAMPLINGS
from keras_dcgan.layers import BatchNormalization, Conv2D, Conv2DTranspose, NearestConv2DTranspose

Inputs = Any  # of a generator: latents [N, Z], or {"latents": latents, "labels": int [N]}


def build_generator(
    width: int = 128,
    image_size: int = 64,
    channels: int = 3,
    latent_dim: int = 100,
    classes: int = 0,
    upsampling: str = "transposed",
) -> keras.Model:
    """Builds the generator: latents float32 [N, latent_dim] -> images float32 [N, S, S, C] in [-1, 1].

    With `classes` K it takes {"latents": float32 [N, latent_dim], "labels": int32 [N] in 0 ... K - 1}: the label stands
    as a one-hot vector beside the latents (Mirza & Osindero 2014).

    One 4x4 transposed convolution opens the latents to 4x4 pixels, then each further one doubles the image and halves
    the filters, down to `width` beside the image. With `upsampling` "nearest" these are `NearestConv2DTranspose`, which
    draws no checkerboard. `image_size` S is a power of two from 16 to 256, `channels` C is 1 or 3; anything else raises
    ValueError. Under a mixed dtype policy the output stays float32.

    Examples:
      >>> generator = build_generator(width=2, image_size=16, channels=1)
      >>> generator.input_shape, generator.output_shape
      ((None, 100), (None, 16, 16, 1))
      >>> sorted(build_generator(width=2, image_size=16, classes=10).input)
      ['labels', 'latents']
    """
    halvings = _halvings(width, image_size, channels)
    if latent_dim < 1:
        raise ValueError(f"latent_dim={latent_dim}: must be at least 1")
    if upsampling not in UPSAMPLINGS:
        raise ValueError(f"upsampling={upsampling}: must be one of {', '.join(UPSAMPLINGS)}")
    doubling = NearestConv2DTranspose if upsampling == "nearest" else Conv2DTranspose
    inputs = x = latents = layers.Input((latent_dim,), name="latents")
    if classes:
        labels = layers.Input((), dtype="int32", name="labels")
        inputs = {"latents": latents, "labels": labels}
        # Float32, for the layer casts the labels too, and bfloat16 has no 257.
        encode = layers.CategoryEncoding(classes, output_mode="one_hot", dtype="float32", name="one_hot")
        one_hot = encode(labels)  # (N, K)
        x = layers.Concatenate(name="latents_and_label")([latents, one_hot])
    x = layers.Reshape((1, 1, latent_dim + classes))(x)  # (N, 1, 1, Z + K)
    for i, doublings in enumerate(reversed(range(halvings)), 1):  # (N, 4, 4, 8 W) ... (N, S/2, S/2, W)
        filters = width * 2**doublings
        transposed, stride, padding = (Conv2DTranspose, 1, "valid") if i == 1 else (doubling, 2, "same")
        x = transposed(filters, 4, stride, padding, use_bias=False, kernel_initializer=_normal(), name=f"g{i}")(x)
        x = _batch_normalization(f"gbn{i}")(x)
        x = layers.ReLU(name=f"gact{i}")(x)
    i = halvings + 1
    x = doubling(channels, 4, 2, "same", use_bias=False, kernel_initializer=_normal(), name=f"g{i}")(x)  # (N, S, S, C)
    images = layers.Activation("tanh", dtype="float32", name="images")(x)
    return keras.Model(inputs, images, name="generator")


def build_discriminator(width: int = 128, image_size: int = 64, channels: int = 3, classes: int = 0) -> keras.Model:
    """Builds the discriminator: images float32 [N, S, S, C] in [-1, 1] -> logits float32 [N, 1].

    4x4 convolutions of stride 2 halve the image and double the filters, from `width` beside the image, until 4x4
    pixels are left; one more gives a single logit, positive for "real". With `classes` K it gives K logits, [N, K], of
    which an image's label picks its own (a multi-task discriminator: Liu et al. 2019, Choi et al. 2020). Sizes as in
    `build_generator`.

    Examples:
      >>> discriminator = build_discriminator(width=2, image_size=16, channels=1)
      >>> discriminator.input_shape, discriminator.output_shape
      ((None, 16, 16, 1), (None, 1))
    """
    halvings = _halvings(width, image_size, channels)
    images = layers.Input((image_size, image_size, channels), name="images")
    x = images
    for i in range(1, halvings + 1):  # (N, S/2, S/2, W) ... (N, 4, 4, 8 W)
        x = Conv2D(width * 2 ** (i - 1), 4, 2, "same", use_bias=False, kernel_initializer=_normal(), name=f"d{i}")(x)
        if i > 1:  # no normalisation beside the image: it would hide the image's own mean and contrast
            x = _batch_normalization(f"dbn{i}")(x)
        x = layers.LeakyReLU(0.2, name=f"dact{i}")(x)
    x = Conv2D(max(1, classes), 4, use_bias=False, kernel_initializer=_normal(), name=f"d{halvings + 1}")(x)
    return keras.Model(images, layers.Flatten(dtype="float32", name="logits")(x), name="discriminator")


def latent_dim_of(generator: keras.Model) -> int:
    """The length of the latent vectors that a generator takes.

    Examples:
      >>> latent_dim_of(build_generator(width=1, image_size=16, latent_dim=8))
      8
    """
    return generator.get_layer("latents").output.shape[-1]


def count_classes(generator: keras.Model) -> int:
    """How many classes a generator can draw; 0 if it takes no labels.

    Examples:
      >>> count_classes(build_generator(width=1, image_size=16, classes=10))
      10
    """
    return generator.get_layer("one_hot").num_tokens if isinstance(generator.input, dict) else 0


def with_labels(latents, labels=None) -> Inputs:
    """What a generator takes: latents [N, Z] alone, or {"latents": ..., "labels": int [N]}.

    Examples:
      >>> with_labels([[0.1, 0.2]], [7])
      {'latents': [[0.1, 0.2]], 'labels': [7]}
    """
    return latents if labels is None else {"latents": latents, "labels": labels}


def float32_copy(network: keras.Model) -> keras.Model:
    """A copy of a functional network, with its own weights, that computes in float32 under any dtype policy.

    It is made of Keras's own layers alone: a file that it is saved to loads where this package is not.

    Examples:
      >>> generator = build_generator(width=1, image_size=16)
      >>> [type(network.get_layer("g1")).__module__.split(".")[0] for network in (generator, float32_copy(generator))]
      ['keras_dcgan', 'keras']
    """

    def clone(layer: layers.Layer) -> layers.Layer:
        config = {**layer.get_config(), "dtype": "float32"}
        if "synchronized" in config:
            config["synchronized"] = False  # the copy runs on one device, whatever it was trained on
        of_keras: Any = next(base for base in type(layer).__mro__ if not base.__module__.startswith("keras_dcgan"))
        return of_keras.from_config(config)

    copy = keras.models.clone_model(network, clone_function=clone)
    for own, layer in zip(copy.layers, network.layers, strict=True):
        for variable, value in zip(own.variables, _copied(layer, layer.variables), strict=True):
            variable.assign(value)
    return copy


def copied_variables(network: keras.Model) -> list:
    """What the trainable variables of a network's `float32_copy` are, in their order."""
    return [value for layer in network.layers for value in _copied(layer, layer.trainable_variables)]


def digest(network: keras.Model) -> bytes:
    """What identifies the values of a network's variables."""
    found = hashlib.blake2b()
    for values in network.get_weights():
        found.update(values)
    return found.digest()


@tf.function(autograph=False)
def set_statistics(network: keras.Model, inputs) -> None:
    """Makes a network's batch-normalisation statistics those of this batch alone."""
    normalisations = [layer for layer in network.layers if hasattr(layer, "moving_mean")]
    kept = [layer.momentum for layer in normalisations]
    try:
        for layer in normalisations:
            layer.momentum = 0.0
        network(inputs, training=True)
    finally:
        for layer, momentum in zip(normalisations, kept, strict=True):
            layer.momentum = momentum


def _copied(layer: layers.Layer, variables: list) -> list:
    """What these variables of a layer are in its copy: the kernel, the only one of such a layer, is wider there."""
    return [layer.widened() for _ in variables] if isinstance(layer, NearestConv2DTranspose) else variables


def _halvings(width: int, image_size: int, channels: int) -> int:
    """How often the image is halved on its way to 4x4 pixels; refuses sizes that the networks do not have."""
    if width < 1:
        raise ValueError(f"width={width}: must be at least 1")
    if image_size not in IMAGE_SIZES:
        raise ValueError(f"image_size={image_size}: must be one of {', '.join(map(str, IMAGE_SIZES))}")
    if channels not in (1, 3):
        raise ValueError(f"channels={channels}: must be 1 or 3")
    return image_size.bit_length() - 3


def _normal() -> keras.initializers.Initializer:
    # One fresh initializer per layer: a shared one would give layers of the same shape the same weights.
    return keras.initializers.RandomNormal(0.0, 0.02)


def _batch_normalization(name: str) -> layers.Layer:
    # The tutorial fixes the scale at 1 and adds 1e-12 to cuDNN's smallest epsilon.
    return BatchNormalization(momentum=0.9, epsilon=1e-5 + 1e-12, scale=False, name=name)
