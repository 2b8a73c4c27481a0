"""Keras DCGAN: train a deep convolutional GAN, measure it, and ship its generator."""

__version__ = "0.1.0"
