"""Figures of generated images: distances between sets of features, the networks that make features, the report."""

from keras_dcgan.metrics.distances import (
    frechet_distance,
    kernel_distance,
    nearest,
    precision_recall_density_coverage,
)

__all__ = ["frechet_distance", "kernel_distance", "nearest", "precision_recall_density_coverage"]
