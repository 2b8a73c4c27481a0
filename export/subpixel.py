"""The generator in the form that runtimes compute fastest: stride-1 convolutions in place of transposed ones.

A 4x4 transposed convolution of stride 2 equals a 2x2 convolution to blocks of 2x2 pixels (Shi et al. 2016, "Real-time
single image and video super-resolution using an efficient sub-pixel convolutional neural network"). The one that opens
the latents equals a matrix product. Batch normalisation after training becomes part of the weights. XNNPACK is up to
twice as fast in this form, in float32 and in int8.
"""

import itertools

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from keras_dcgan.networks import count_classes, latent_dim_of, with_labels

FIRST = "open1"  # the matrix product that opens the latents
LAST = "to_pixels"  # the convolution before tanh


def rewritten(generator: keras.Model) -> keras.Model:
    """The same function, latents [N, Z] (and labels [N]) -> images [N, S, S, C], of these layers, with its own weights.

    Returns a generator that is not built like that of `keras_dcgan.networks.build_generator` as it is.

    Examples:
      >>> from keras_dcgan.networks import build_generator
      >>> generator, latents = build_generator(width=1, image_size=16), tf.random.normal((2, 100))
      >>> bool(tf.reduce_all(tf.abs(rewritten(generator)(latents) - generator(latents)) < 1e-5))
      True
    """
    stages = _stages(generator)
    if stages is None:
        return generator
    latents = x = layers.Input((latent_dim_of(generator),), name="latents")
    labels = None
    if classes := count_classes(generator):
        labels = layers.Input((), dtype="int32", name="labels")
        # A single operator in the file. Keras's CategoryEncoding would add two casts.
        one_hot = layers.Lambda(lambda labels: tf.one_hot(labels, classes), (classes,), name="one_hot")(labels)
        x = layers.Concatenate(name="latents_and_label")([latents, one_hot])  # (N, Z + K)
    folded = [_folded(*stage) for stage in stages]
    if len(folded) > 1:
        folded[:2] = _equalized(*folded[:2])
    weights = []
    for i, (kernel, bias) in enumerate(folded, 1):
        depth, filters = kernel.shape[2:]
        name, activation = (LAST, None) if i == len(folded) else (f"open{i}", "relu")
        if i == 1:
            x = layers.Dense(16 * depth, activation, name=name)(x)
            x = layers.Reshape((4, 4, depth), name=f"{name}_image")(x)
            weights += [kernel.reshape(16 * depth, filters).T, np.tile(bias, 16)]
            continue
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
        x = layers.Conv2D(4 * depth, 2, activation=activation, name=name)(x)  # (N, H + 1, W + 1, 4 A)
        height, width = x.shape[1:3]
        x = layers.Reshape((height, width, 2, 2 * depth), name=f"{name}_blocks")(x)
        x = layers.Permute((1, 3, 2, 4), name=f"{name}_rows")(x)  # (N, H + 1, 2, W + 1, 2 A)
        x = layers.Reshape((2 * height, 2 * width, depth), name=f"{name}_image")(x)
        x = layers.Cropping2D(1, name=f"{name}_crop")(x)  # (N, 2 H, 2 W, A)
        blocks = kernel.reshape(2, 2, 2, 2, depth, filters)[::-1, :, ::-1]  # row, row in its block, column, ...
        weights += [blocks.transpose(0, 2, 5, 1, 3, 4).reshape(2, 2, filters, 4 * depth), np.tile(bias, 4)]
    model = keras.Model(with_labels(latents, labels), layers.Activation("tanh", name="images")(x), name="generator")
    model.set_weights(weights)
    return model


def _stages(generator: keras.Model) -> list[tuple[layers.Layer, layers.Layer | None]] | None:
    """The transposed convolutions of a generator, each with its normalisation; None if it is built otherwise."""
    chain = [layer for layer in generator.layers if not isinstance(layer, layers.InputLayer)]
    if chain and isinstance(chain[0], layers.CategoryEncoding):
        if not _takes_labels_as_ours_do(generator, chain[:2]):
            return None
        chain = chain[2:]
    count = sum(isinstance(layer, layers.Conv2DTranspose) for layer in chain)
    kinds = [layers.Reshape, *[layers.Conv2DTranspose, layers.BatchNormalization, layers.ReLU] * count]
    kinds[-2:] = [layers.Activation]
    if len(chain) != len(kinds) or not all(map(isinstance, chain, kinds)):
        return None
    if any(after.input is not before.output for before, after in itertools.pairwise(chain)):
        return None
    convolutions, normalizations = chain[1:-1:3], chain[2:-1:3]
    plain = chain[0].output.shape[1:3] == (1, 1) and chain[-1].activation.__name__ == "tanh"
    plain &= all(layer.axis in (-1, 3) for layer in normalizations)
    plain &= not any(layer.negative_slope or layer.threshold or layer.max_value is not None for layer in chain[3:-1:3])
    for i, layer in enumerate(convolutions):
        shape = ((4, 4), (1, 1), "valid") if i == 0 else ((4, 4), (2, 2), "same")
        plain &= (layer.kernel_size, layer.strides, layer.padding) == shape and layer.dilation_rate == (1, 1)
        plain &= layer.output_padding is None and layer.data_format == "channels_last"
        plain &= not layer.use_bias and layer.activation.__name__ == "linear"
    return list(zip(convolutions, [*normalizations, None], strict=True)) if plain else None


def _takes_labels_as_ours_do(generator: keras.Model, first: list[layers.Layer]) -> bool:
    """Whether the first two layers put the label, as a one-hot vector, behind the latents."""
    if [type(layer) for layer in first] != [layers.CategoryEncoding, layers.Concatenate] or not count_classes(
        generator
    ):
        return False
    one_hot, joined = first
    sources = [generator.input["latents"], one_hot.output]
    wired = [id(tensor) for tensor in joined.input] == [id(tensor) for tensor in sources]
    return wired and one_hot.output_mode == "one_hot" and one_hot.input is generator.input["labels"]


def _equalized(first: tuple, second: tuple) -> tuple[tuple, tuple]:
    """Kernel and bias of two layers with ReLU between, each of the first's filters divided by its largest weight.

    ReLU lets a positive factor through, so the next kernel can undo it (after Nagel et al. 2019). Then one scale of
    int8 fits all filters of the first layer: `tflite.quantize`.
    """
    (kernel, bias), (next_kernel, next_bias) = first, second
    largest = np.abs(kernel).max(axis=(0, 1, 3))  # (A,)
    # A filter of almost nothing stays small. Else its bias would become so large that int8 rounds all others away.
    factors = np.maximum(largest, np.median(largest) / 4)
    factors = np.where(factors > 0, factors, 1).astype(np.float32)
    return (kernel / factors[:, np.newaxis], bias / factors), (next_kernel * factors, next_bias)


def _folded(convolution, normalization) -> tuple[np.ndarray, np.ndarray]:
    """Kernel float32 [4, 4, A, B] and bias float32 [A] of a trained convolution together with its normalisation."""
    kernel = convolution.kernel.numpy().astype(np.float64)
    if normalization is None:
        return kernel.astype(np.float32), np.zeros(kernel.shape[2], np.float32)
    scale = 1 / np.sqrt(normalization.moving_variance.numpy().astype(np.float64) + normalization.epsilon)
    if normalization.scale:
        scale *= normalization.gamma.numpy()
    offset = normalization.beta.numpy() if normalization.center else 0.0
    bias = offset - normalization.moving_mean.numpy() * scale
    return (kernel * scale[:, np.newaxis]).astype(np.float32), bias.astype(np.float32)
