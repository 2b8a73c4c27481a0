"""The Keras callback that measures sample quality while a run goes on, and keeps the best generator."""

from pathlib import Path

import numpy as np
from absl import logging

from keras_dcgan import features, images, metrics, pipeline, runs
from keras_dcgan.callbacks import StepCounter, summary_writer
from keras_dcgan.sources import Images
from keras_dcgan.tables import Table

COLUMNS = ("frechet_distance", "precision", "recall", "density", "coverage")
MEASURABLE = 32  # images at least; the measures compare halves of them


class SampleQuality(StepCounter):
    """Every so many steps: Fréchet distance, precision, recall, density and coverage of fresh samples.

    Writes a row to `metrics.csv`, draws `metrics.png`, logs a line, and keeps the generator with the smallest Fréchet
    distance so far as `generator-best.keras`. The figures are made with as many reals as samples, and are to be
    compared with each other and with the floor that is logged first (real against real), not with other programs'.
    A run that is stopped is not measured: the row would be one more than in a run left alone, and might change which
    generator is the best.

    Args:
      folder: the run folder.
      dataset: its name, which decides the features.
      data: uint8 [N, H, W, C], the training images, in memory or on disk; they take the samples' own path to the
        features.
      image_size, channels, latent_dim: of the networks.
      every: steps between measurements.
      samples: images drawn for each.
      seed: seed of the latents and of the choice of reals.
      tensorboard: folder of an event file for the same values, or None.
    """

    def __init__(
        self, folder: Path, dataset: str, data: np.ndarray | Images, image_size: int, channels: int, latent_dim: int,
        every: int, samples: int, seed: int, tensorboard: Path | None = None,
    ):  # fmt: skip
        super().__init__()
        self.folder, self.every = Path(folder), every
        self.extractor = features.load_extractor(dataset, cheap=True)
        chosen = np.random.default_rng(seed).permutation(len(data))[: 2 * samples]
        parts = np.array_split(chosen, -(-len(chosen) // 1000))  # so many pictures in memory at once
        reals = np.concatenate([self.extractor(as_generated(data[part], image_size, channels)) for part in parts])
        self.reals, others = np.array_split(reals, 2)
        self.samples = len(others)
        self.floor = metrics.frechet_distance(self.reals, others)
        self.latents = runs.draw_latents(self.samples, latent_dim, seed + 2)
        self._writer = summary_writer(tensorboard) if tensorboard else None

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.table = Table(self.folder / "metrics.csv", COLUMNS, self.step)

    def on_steps(self, before, logs):
        if self.reached(before, self.every):
            self.measure()

    def on_train_end(self, logs=None):
        if self.step and not self.model.stop_training:
            if not self.table.rows or self.table.rows[-1]["step"] != self.step:
                self.measure()
            else:
                self.draw()  # again, for a run that was killed between its last row and the figure
        if self._writer:
            self._writer.close()

    def measure(self) -> None:
        """Measures the generator that samples, and keeps it where it is the best so far."""
        self.model.refresh_averaged()
        samples = images.to_uint8(self.model.averaged.predict(self.latents, batch_size=100, verbose=0))
        found = self.extractor(samples)
        row = {"frechet_distance": metrics.frechet_distance(self.reals, found)}
        row |= metrics.precision_recall_density_coverage(self.reals, found)
        best = min((old["frechet_distance"] for old in self.table.rows), default=float("inf"))
        if row["frechet_distance"] < best:
            runs.save_network(self.folder / runs.BEST_GENERATOR, self.model.averaged)
        self.table.add({"step": self.step, **row})
        self.draw()
        logging.info(
            "step %d: Fréchet distance %.1f (real against real %.2f), coverage %.2f (%d samples, %s features)",
            self.step, row["frechet_distance"], self.floor, row["coverage"], self.samples, self.extractor.name,
        )  # fmt: skip
        if self._writer:
            import tensorflow as tf

            with self._writer.as_default():
                for name, value in row.items():
                    tf.summary.scalar(f"quality/{name}", value, step=self.step)

    def draw(self) -> None:
        """Writes `metrics.png`."""
        values = self.table.columns()
        images.write_metrics_figure(
            self.folder / "metrics.png", values.pop("step"), values, self.floor,
            f"{self.samples} samples, {self.extractor.name} features",
        )  # fmt: skip


def as_generated(data: np.ndarray, image_size: int, channels: int, batch: int = 500) -> np.ndarray:
    """Real images as a generator would draw them: uint8 [N, H, W, C] -> uint8 [N, S, S, C'] by the pipeline's path."""
    parts = [
        images.to_uint8(pipeline.transform(data[i : i + batch], image_size, channels).numpy())
        for i in range(0, len(data), batch)
    ]
    return np.concatenate(parts)
