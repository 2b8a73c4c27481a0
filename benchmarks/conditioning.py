"""Other ways to give the networks a label; `benchmarks.recipe` compares them with that of `keras_dcgan.networks`."""

from collections.abc import Callable

import keras
from keras import layers

from keras_dcgan.networks import build_discriminator, build_generator


def build_projection_discriminator(width: int, image_size: int, channels: int, classes: int) -> keras.Model:
    """Projection (Miyato & Koyama 2018): w.h + <embed(y), h>, h being the last layer's input: images -> [N, K].

    A filter for each class, as in ours, and one that all classes share.
    """
    ours = build_discriminator(width, image_size, channels, classes)
    *_, hidden, last, flatten = ours.layers
    shared = layers.Conv2D(
        1, 4, use_bias=False, kernel_initializer=keras.initializers.RandomNormal(0.0, 0.02), name="shared"
    )(hidden.output)
    logits = layers.Add(dtype="float32", name="sum")([flatten(last.output), layers.Flatten()(shared)])
    return keras.Model(ours.input, logits, name="discriminator")


def build_conditional_normalization_generator(
    width: int, image_size: int, channels: int, latent_dim: int, classes: int, upsampling: str
) -> keras.Model:
    """Conditional batch normalisation (de Vries et al. 2017): a scale and an offset for each class in every layer."""
    plain = build_generator(width, image_size, channels, latent_dim, upsampling=upsampling)
    latents = plain.input
    labels = layers.Input((), dtype="int32", name="labels")
    one_hot = layers.CategoryEncoding(classes, output_mode="one_hot", name="one_hot")(labels)  # (N, K)
    x = latents
    for layer in plain.layers[1:]:
        x = layer(x)
        if layer.name.startswith("gbn"):
            filters = x.shape[-1]
            for kind, combine in (("scale", layers.Multiply), ("offset", layers.Add)):
                start = "ones" if kind == "scale" else "zeros"
                values = layers.Dense(filters, use_bias=False, kernel_initializer=start, name=f"{layer.name}_{kind}")
                x = combine()([x, layers.Reshape((1, 1, filters))(values(one_hot))])
    return keras.Model({"latents": latents, "labels": labels}, x, name="generator")


# By the row of `benchmarks.recipe`: what builds the generator and the discriminator.
BUILDERS: dict[str, tuple[Callable[..., keras.Model], Callable[..., keras.Model]]] = {
    "projection": (build_generator, build_projection_discriminator),
    "conditional_bn": (build_conditional_normalization_generator, build_discriminator),
}
