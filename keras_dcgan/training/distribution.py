"""Training on several devices and machines at once: who takes part, what they agree on, how they stop."""

import contextlib
import faulthandler
import functools
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from keras_dcgan import __version__, runs
from keras_dcgan.config import SettingError, TrainConfig, setting_names
from keras_dcgan.datasets.classes import Classes
from keras_dcgan.datasets.data import Data
from keras_dcgan.gan import DCGAN
from keras_dcgan.training import cluster
from keras_dcgan.training.guards import StopOnSignal
from keras_dcgan.training.replicated import ReplicatedDCGAN
from keras_dcgan.training.watchdog import Watchdog

JOIN_TIMEOUT = 600  # seconds for which a worker waits until all others are there
Gather = Callable[[list[int]], np.ndarray]
PATIENCE = 600  # seconds that workers wait for each other's steps: longer than the chief writes or measures

# What TensorFlow raises in the remaining workers; which one depends on how it notices that a worker is gone.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
    tf.errors.CancelledError,
    tf.errors.FailedPreconditionError,
)


class WorkerLost(ConnectionError):
    """Another worker ended or cannot be reached."""


class Workers:
    """The processes that train together, and the devices of each; by default this process alone, on one device.

    Args:
      member: which of the processes this is.
      strategy: TensorFlow's, or None for one device.
    """

    def __init__(self, member: cluster.Member | None = None, strategy: tf.distribute.Strategy | None = None):
        self.member, self.strategy = member or cluster.Member(), strategy
        self.chief, self.index, self.count = self.member.chief, self.member.index, self.member.count
        self.watchdog = Watchdog(
            PATIENCE,
            f"worker {self.index}: no step for minutes: another worker hangs, or this one. End all of them, and start "
            "them again with --resume",
        )

    def check_batch(self, batch_size: int) -> None:
        """Logs how each batch is split. Raises SettingError if it cannot be split evenly."""
        if not self.strategy:
            return
        replicas = self.strategy.num_replicas_in_sync
        if batch_size % replicas:
            raise SettingError(
                f"batch_size={batch_size}",
                f"{replicas} devices share each batch, so it must be a multiple of {replicas}",
            )
        logging.info("Batch: %d images a step, %d on each of %d devices.", batch_size, batch_size // replicas, replicas)
        if replicas == 1:
            logging.warning("distribute: there is only one device; nothing is gained")

    def scope(self) -> contextlib.AbstractContextManager:
        """Where networks and optimizers must be made."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    def make_gan(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        seed: int,
        classes: Classes | None,
        synchronized: bool = True,
    ) -> DCGAN:
        """The model of two networks that were built in `scope`; `synchronized` as in `ReplicatedDCGAN`."""
        if self.strategy:
            return ReplicatedDCGAN(self.strategy, generator, discriminator, seed, classes, synchronized)
        return DCGAN(generator, discriminator, seed, classes)

    def make_stop(self, total_steps: int, steps_per_execution: int = 1) -> StopOnSignal:
        """The callback that ends training on a signal, in all workers at the same step."""
        if self.count == 1:
            return StopOnSignal(total_steps)
        self.watchdog.seconds = PATIENCE * steps_per_execution
        self.watchdog.restart()
        return StopTogether(total_steps, self.gather, at_each_step=self.watchdog.restart)

    def require_agreement(self, config: TrainConfig, start: int, data: Data) -> None:
        """Raises SettingError if the workers are about to train different things, or with different programs."""
        if self.count == 1:
            return
        settings = config.to_dict() | dict.fromkeys(setting_names("path"))  # each has its own disk
        images = [data.images.shape, data.report.get("fingerprint"), data.report.get("classes")]
        program = [__version__, runs.source_code()["commit"], runs.versions()]
        found = self.gather([start, *(zlib.crc32(json.dumps(part).encode()) for part in (settings, images, program))])
        if len(set(found[:, 0])) > 1:
            raise SettingError(
                "run_dir", f"workers found checkpoints of the steps {', '.join(map(str, found[:, 0]))}; "
                "give a folder that all of them share",
            )  # fmt: skip
        for name, theirs in zip(("settings", "images or labels", "programs"), found.T[1:], strict=True):
            if len(set(theirs)) > 1:
                raise SettingError(cluster.MULTIWORKER, f"the workers' {name} differ; start all of them with the same")

    def wait_for_all(self) -> None:
        """Returns when all workers have called it: nobody leaves before the chief has written."""
        if self.count > 1:
            self.gather([0])

    @contextlib.contextmanager
    def naming_a_lost_one(self) -> Iterator[None]:
        """Raises WorkerLost, with one sentence, in place of what TensorFlow raises if another worker is gone.

        If one hangs, this process ends.
        """
        if self.count == 1:
            yield
            return
        try:
            with self.watchdog:
                yield
        except LOST as error:
            raise WorkerLost(
                f"worker {self.index}: another worker ended or cannot be reached; see that worker's log. Start all of "
                f"them again with --resume. TensorFlow says: {_reason(error)}"
            ) from error

    @functools.cached_property
    def gather(self) -> Gather:
        """`make_gather` of these workers."""
        assert self.strategy
        gather = make_gather(self.strategy)

        def watched(values: list[int]) -> np.ndarray:
            self.watchdog.restart()
            return gather(values)

        return watched


def join(distribute: str) -> Workers:
    """Joins the other workers and devices of a `distribute` setting; call it before anything else is computed.

    "off" is this process alone. "mirrored" takes all GPUs of the machine or, if there is none, all logical CPU
    devices. "multiworker" waits until all workers are there, and ends the process (exit code 1) if they do not come.
    Raises SettingError if the environment names no workers.
    """
    if distribute == "off":
        return Workers()
    tf.get_logger().setLevel("WARNING")  # it logs every all-reduce
    if distribute == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return Workers(strategy=tf.distribute.MirroredStrategy([device.name for device in devices]))
    own = cluster.member()
    logging.info(
        "Worker %d of %d, by %s: waits at most %d s for the others.", own.index, own.count, own.source, JOIN_TIMEOUT
    )
    with open(os.devnull, "w") as nowhere:
        # TensorFlow waits for an hour and holds the interpreter's lock meanwhile: no Python thread could end it.
        faulthandler.dump_traceback_later(JOIN_TIMEOUT, exit=True, file=nowhere)
        try:
            strategy = tf.distribute.MultiWorkerMirroredStrategy(_slurm_resolver() if own.source == "Slurm" else None)
        finally:
            faulthandler.cancel_dump_traceback_later()
    return Workers(own, strategy)


def make_gather(strategy: tf.distribute.Strategy) -> Gather:
    """A function of a list of integers that gives every worker's list, int64 [workers, N], to all workers.

    It returns when all of them have called it, with as many integers.
    """
    local_replicas = len(strategy.extended.worker_devices)

    @tf.function(input_signature=[tf.TensorSpec([1, None], tf.int64)])
    def gathered(values):
        with strategy.scope():
            return strategy.gather(strategy.run(tf.identity, (values,)), axis=0)

    return lambda values: gathered(tf.constant([values], tf.int64)).numpy()[::local_replicas]


class StopTogether(StopOnSignal):
    """Ends training in all workers at the same step, within `every` steps of a signal to any of them.

    Args:
      total_steps: the run's last step.
      gather: takes a list of integers and returns every worker's; called in all workers at the same steps.
      every: steps between checks for a signal to another worker.
      at_each_step: called after each step.
    """

    def __init__(
        self, total_steps: int, gather: Gather, every: int = 10, at_each_step: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(total_steps)
        self.gather, self.every, self.at_each_step = gather, every, at_each_step

    def _stop(self, number, frame) -> None:
        self.received = number
        self.restore_handlers()

    def on_steps(self, before, logs):
        self.at_each_step()
        if not self.reached(before, self.every):
            return
        finished, number = self.gather([self.model.finished, self.received or 0]).max(axis=0)
        if finished or number:
            self.model.finished = bool(finished)
            self.received = int(number) or None  # only now: a signal may have come while the workers met
            self.model.stop_training = True


def _reason(error: tf.errors.OpError) -> str:
    """The one sentence in which TensorFlow says why the exchange between workers ended, out of its page of text."""
    text = " ".join(str(error).split())
    _, _, sentence = text.rpartition("aborted by: ")
    return (sentence or text).partition(" The error could be")[0].partition(" Additional GRPC")[0][:300]


def _slurm_resolver() -> tf.distribute.cluster_resolver.ClusterResolver:
    slurm = tf.distribute.cluster_resolver.SlurmClusterResolver
    if "CUDA_VISIBLE_DEVICES" in os.environ or shutil.which("nvidia-smi"):
        return slurm()
    # Without GPUs it divides by their number: it gets one a task, and what it says of them is not passed on.
    resolver = slurm(gpus_per_node=10**6, gpus_per_task=1, auto_set_gpu=False)
    spec = resolver.cluster_spec()  # also sets the two that follow
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        spec, task_type=resolver.task_type, task_id=resolver.task_id, num_accelerators={"GPU": 0}, rpc_layer="grpc"
    )
