"""Keras DCGAN: train a deep convolutional GAN, measure it, and ship its generator."""

import os

# TensorFlow uses oneDNN by itself only with AVX512-VNNI or newer, but with AVX2 a step takes half the time too.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__version__ = "0.1.0"
