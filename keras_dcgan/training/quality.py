"""The Keras callback that measures sample quality during a run and keeps the best generator."""

from pathlib import Path

from absl import logging

from keras_dcgan.config import TrainConfig
from keras_dcgan.generators import draw_images, save_network
from keras_dcgan.metrics.distances import frechet_distance, kernel_distance, precision_recall_density_coverage
from keras_dcgan.metrics.report import Reference
from keras_dcgan.networks import Inputs
from keras_dcgan.runs import BEST_GENERATOR
from keras_dcgan.tools import draw
from keras_dcgan.training.callbacks import StepCounter
from keras_dcgan.training.recorder import Recorder, TensorBoard, read_rows

COLUMNS = (
    "frechet_distance", "kernel_distance", "kernel_distance_standard_error",
    "precision", "recall", "density", "coverage",
)  # fmt: skip
# With fewer reals than this the Fréchet distance says more about their number than about the samples.
MANY = 2000

METRICS = "metrics.csv"
Row = dict[str, float]


class SampleQuality(StepCounter):
    """Every so many steps: the figures of fresh samples, and a copy of the generator if it is the best so far.

    Writes a row to `metrics.csv`, draws `metrics.png`, logs a line, and keeps `generator-best.keras`: the generator
    with the smallest Fréchet distance or, compared with fewer than `MANY` reals, the smallest kernel distance. Compare
    the figures with each other and with the floor (real against real), not with other programs'. A run that is stopped
    is not measured: the row would be one more than in a run without the stop, and might change which generator is the
    best.

    Args:
      folder: the run folder.
      reference: the real images that samples are compared with.
      inputs: what the generator draws for each measurement: latents float32 [N, Z], or with labels.
      every: steps between measurements.
      patience: so many measurements in a row without a new best end the run; 0: none do.
      tensorboard: gets the same values.
    """

    def __init__(
        self,
        folder: Path,
        reference: Reference,
        inputs: Inputs,
        every: int,
        patience: int = 0,
        tensorboard: TensorBoard | None = None,
    ):
        super().__init__()
        self.folder, self.reference, self.inputs, self.every = Path(folder), reference, inputs, every
        self.patience, self.figure = patience, figure_of_best(reference.samples)
        self.recorder = Recorder(self.folder / METRICS, self._draw, tensorboard, "quality/")

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.recorder.start(COLUMNS, self.step)
        self.model.finished = is_exhausted(self.recorder.rows, self.figure, self.patience)

    def on_steps(self, before, logs):
        if self.reached(before, self.every):
            self.measure()
            self.model.finished = is_exhausted(self.recorder.rows, self.figure, self.patience)

    def on_train_end(self, logs=None):
        if self.step and not self.interrupted:
            if not self.recorder.rows or self.recorder.rows[-1]["step"] != self.step:
                self.measure()
            else:
                self.recorder.draw()  # again, for a run that was killed between its last row and the figure
            self._say_what_is_best()

    def measure(self) -> None:
        """Measures the averaged generator, and keeps it if it is the best so far."""
        self.model.refresh_averaged()
        reals, extractor = self.reference.features, self.reference.extractor
        fakes = extractor(draw_images(self.model.averaged, self.inputs))
        kernel, error = kernel_distance(reals, fakes)
        row = {
            "frechet_distance": frechet_distance(reals, fakes),
            "kernel_distance": kernel,
            "kernel_distance_standard_error": error,
            **precision_recall_density_coverage(reals, fakes),
        }
        self.recorder.add(self.step, row)
        if best_row(self.recorder.rows, self.figure)["step"] == self.step:
            save_network(self.folder / BEST_GENERATOR, self.model.averaged, self.model.classes)
        self.recorder.draw()
        logging.info(
            "step %d: Fréchet distance %.1f (real against real %.2f), kernel distance %.3f ± %.3f, coverage %.2f "
            "(%d samples, %s features)",
            self.step, row["frechet_distance"], self.reference.floor, kernel, error, row["coverage"], len(fakes),
            extractor.name,
        )  # fmt: skip

    def _say_what_is_best(self) -> None:
        best, last = best_row(self.recorder.rows, self.figure), self.recorder.rows[-1]
        name = "Fréchet distance" if self.figure == "frechet_distance" else "kernel distance"
        if self.model.finished:
            logging.info("Ended early: the last %d measurements found no smaller %s.", self.patience, name)
        if best is last:
            logging.info("The last generator is the best by its %s, %.3g.", name, best[self.figure])
        else:
            logging.info(
                "The best generator by its %s is that of step %d: %.3g; the last has %.3g. Draw the best with "
                "--which=best.", name, best["step"], best[self.figure], last[self.figure],
            )  # fmt: skip

    def _draw(self, steps, values) -> None:
        title = f"{self.reference.samples} samples, {self.reference.extractor.name} features"
        draw.write_metrics_figure(self.folder / "metrics.png", steps, values, self.reference.floor, title)


def figure_of_best(samples: int) -> str:
    """The figure by which the best generator is chosen, for a reference of so many samples."""
    return "frechet_distance" if samples >= MANY else "kernel_distance"


def has_ended(folder: Path, config: TrainConfig, images: int, step: int) -> bool:
    """Whether the run in a folder, on so many images, had run out of patience when it reached `step`."""
    if not (step and config.patience and (folder / METRICS).exists()):
        return False
    figure = figure_of_best(min(config.measure_samples, images // 2))
    return is_exhausted(read_rows(folder / METRICS, COLUMNS, step), figure, config.patience)


def best_row(rows: list[Row], figure: str) -> Row:
    """The first of the rows with the smallest value of a figure."""
    return min(rows, key=lambda row: row[figure])


def is_exhausted(rows: list[Row], figure: str, patience: int) -> bool:
    """Whether the last `patience` rows are all no better than one before them; never for 0."""
    return patience > 0 and len(rows) > patience and best_row(rows, figure) in rows[:-patience]
