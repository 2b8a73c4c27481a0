"""The Keras callback that measures sample quality during a run and keeps the best generator."""

from pathlib import Path

from absl import logging

from keras_dcgan.generators import draw_images, save_network
from keras_dcgan.metrics.distances import frechet_distance, precision_recall_density_coverage
from keras_dcgan.metrics.report import Reference
from keras_dcgan.networks import Inputs
from keras_dcgan.runs import BEST_GENERATOR
from keras_dcgan.tools import draw
from keras_dcgan.training.callbacks import StepCounter
from keras_dcgan.training.recorder import Recorder, TensorBoard

COLUMNS = ("frechet_distance", "precision", "recall", "density", "coverage")


class SampleQuality(StepCounter):
    """Every so many steps: Fréchet distance, precision, recall, density and coverage of fresh samples.

    Writes a row to `metrics.csv`, draws `metrics.png`, logs a line, and keeps the generator with the smallest Fréchet
    distance so far as `generator-best.keras`. Compare the figures with each other and with the floor (real against
    real), not with other programs'. A run that is stopped is not measured: the row would be one more than in a run
    without the stop, and might change which generator is the best.

    Args:
      folder: the run folder.
      reference: the real images that samples are compared with.
      inputs: what the generator draws for each measurement: latents float32 [N, Z], or with labels.
      every: steps between measurements.
      tensorboard: gets the same values.
    """

    def __init__(
        self,
        folder: Path,
        reference: Reference,
        inputs: Inputs,
        every: int,
        tensorboard: TensorBoard | None = None,
    ):
        super().__init__()
        self.folder, self.reference, self.inputs, self.every = Path(folder), reference, inputs, every
        self.recorder = Recorder(self.folder / "metrics.csv", self._draw, tensorboard, "quality/")

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.recorder.start(COLUMNS, self.step)

    def on_steps(self, before, logs):
        if self.reached(before, self.every):
            self.measure()

    def on_train_end(self, logs=None):
        if self.step and not self.model.stop_training:
            if not self.recorder.rows or self.recorder.rows[-1]["step"] != self.step:
                self.measure()
            else:
                self.recorder.draw()  # again, for a run that was killed between its last row and the figure

    def measure(self) -> None:
        """Measures the averaged generator, and keeps it if it is the best so far."""
        self.model.refresh_averaged()
        reals, extractor = self.reference.features, self.reference.extractor
        fakes = extractor(draw_images(self.model.averaged, self.inputs, batch_size=100))
        row = {"frechet_distance": frechet_distance(reals, fakes)} | precision_recall_density_coverage(reals, fakes)
        best = min((old["frechet_distance"] for old in self.recorder.rows), default=float("inf"))
        if row["frechet_distance"] < best:
            save_network(self.folder / BEST_GENERATOR, self.model.averaged, self.model.classes)
        self.recorder.add(self.step, row)
        self.recorder.draw()
        logging.info(
            "step %d: Fréchet distance %.1f (real against real %.2f), coverage %.2f (%d samples, %s features)",
            self.step, row["frechet_distance"], self.reference.floor, row["coverage"], len(fakes), extractor.name,
        )  # fmt: skip

    def _draw(self, steps, values) -> None:
        title = f"{self.reference.samples} samples, {self.reference.extractor.name} features"
        draw.write_metrics_figure(self.folder / "metrics.png", steps, values, self.reference.floor, title)
