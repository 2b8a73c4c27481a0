"""python -m benchmarks.overhead: what a run spends on checkpoints, pictures and measurements, beside its steps.

  python -m benchmarks.overhead --preset=quick
  python -m benchmarks.overhead --preset=quick --width=64

Each piece of work is done a few times between steps, by the callbacks that a run has, and is given in steps: how many
would have fitted into its time.
"""

import statistics
import tempfile
import time
from pathlib import Path

from absl import app, flags

from keras_dcgan.config import NAMED_DATASETS

FLAGS = flags.FLAGS


def define_flags() -> None:
    """The flags of this program."""
    flags.DEFINE_enum("preset", "quick", ["tutorial", "quick", "full"], "settings of the run")
    flags.DEFINE_integer("width", 0, "filters beside the image; 0: the preset's", lower_bound=0)
    flags.DEFINE_enum("dataset", "mnist", NAMED_DATASETS, "what to train on")
    flags.DEFINE_integer("steps", 10, "steps timed between two pieces of work", lower_bound=1)
    flags.DEFINE_integer("rounds", 3, "times that each piece of work is done, after once to warm up", lower_bound=1)


def main(_) -> None:
    """Measures and prints the table."""
    import keras

    from keras_dcgan import pipeline
    from keras_dcgan.config import from_preset
    from keras_dcgan.datasets import source
    from keras_dcgan.training import callbacks, checkpoints, choices, guards, loop, machine, quality, watchers

    overrides = {"dataset": FLAGS.dataset} | ({"width": FLAGS.width} if FLAGS.width else {})
    config = machine.choose(from_preset(FLAGS.preset, overrides))
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(config.precision)
    data = source.open_data(config, config.labels != "off")
    config = choices.settle(config, data)
    gan = loop.build(config, classes=data.classes)
    batch = (config.batch_size, config.image_size, config.channels)
    iterator = iter(pipeline.make_dataset(data.images, *batch, first_step=0, labels=data.labels))
    gan.make_train_function()

    def steps(count: int) -> dict[str, float]:
        for _ in range(count):
            logs = gan.train_function(iterator)
        return {name: float(value) for name, value in logs.items()}  # waits for a GPU

    steps(3)
    with tempfile.TemporaryDirectory() as name:
        saver = checkpoints.Checkpoints(Path(name) / "checkpoints", gan, config)
        minutes = config.checkpoint_minutes
        saving = guards.Checkpointing(saver.save, 1, 10**9, lambda: None)  # at each call
        every: dict[type, tuple[str, int]] = {
            callbacks.LossHistory: ("row of the history", config.log_every),
            callbacks.SampleGrid: ("sample grid", config.sample_every),
            quality.SampleQuality: ("measurement", config.measure_every),
            guards.Checkpointing: ("checkpoint", config.checkpoint_every),
        }
        watching = [w for w in [*watchers.make(config, Path(name), data), saving] if type(w) in every]
        for watcher in watching:
            watcher.set_model(gan)
            watcher.on_train_begin()
        step_seconds: list[float] = []
        seconds: dict[type, list[float]] = {type(watcher): [] for watcher in watching}
        for turn in range(1 + FLAGS.rounds):
            started = time.perf_counter()
            logs = steps(FLAGS.steps)
            if turn:
                step_seconds.append((time.perf_counter() - started) / FLAGS.steps)
            for watcher in watching:
                before = watcher.step
                watcher.step += every[type(watcher)][1] or 1
                started = time.perf_counter()
                watcher.on_steps(before, logs)
                if turn:
                    seconds[type(watcher)].append(time.perf_counter() - started)
        newest = saver.steps()[-1]
        size = sum(path.stat().st_size for path in saver.folder.glob(f"step-{newest}.*"))
        started = time.perf_counter()
        saver.restore()
        restoring = time.perf_counter() - started
    step = statistics.median(step_seconds)
    print(f"Preset {config.preset}, width {config.width}, {config.precision}.\n")
    print("| work | as often as every | takes as long as | share of the run's time |\n|---|---|---|---|")
    total = step
    for kind, (what, count) in every.items():
        took = statistics.median(seconds[kind]) if kind in seconds else 0
        often = f"{count:,} steps"
        if kind is guards.Checkpointing and minutes:
            count = max(1, round(60 * minutes / step))
            often = f"{minutes:g} min, {count:,} steps"
        if took and count:
            total += took / count
            print(f"| {what} | {often} | {took / step:.2f} steps | {took / count / (step + took / count):.2%} |")
    print(f"| all of it | | | {1 - step / total:.2%} |")
    print(f"\nA checkpoint has {size / 1e6:.0f} MB and is restored in the time of {restoring / step:.2f} steps.")


if __name__ == "__main__":
    define_flags()
    app.run(main)
