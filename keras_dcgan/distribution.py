"""Training on several devices and machines at once: the strategy, and the model that splits its batches among them."""

import faulthandler
import os
import shutil
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from keras_dcgan import cluster
from keras_dcgan.config import SettingError
from keras_dcgan.gan import DCGAN

JOIN_TIMEOUT = 600  # seconds for which a worker waits until all others are there
Gather = Callable[[list[int]], np.ndarray]
TIMEOUT = 600  # seconds that workers wait for each other in a step: longer than the chief writes or measures

# What TensorFlow raises in the workers that are left, by how it comes to know that one is gone.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
    tf.errors.CancelledError,
    tf.errors.FailedPreconditionError,
)


def make_strategy(distribute: str) -> tf.distribute.Strategy | None:
    """The strategy of a `--distribute`, or None for "off"; to be called before anything else is computed.

    "mirrored" takes all GPUs of the machine, or, where there is none, all logical CPU devices. "multiworker" waits
    until all workers are there, and ends the process (exit code 1) where they do not come. Raises ValueError where
    the environment tells of no workers.
    """
    if distribute != "off":
        tf.get_logger().setLevel("WARNING")  # it tells of every all-reduce
    if distribute == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if distribute == "multiworker":
        own = cluster.member()
        logging.info(
            "Worker %d of %d, by %s: waits at most %d s for the others.", own.index, own.count, own.source, JOIN_TIMEOUT
        )
        with open(os.devnull, "w") as nowhere:
            # TensorFlow waits for an hour and holds the interpreter's lock meanwhile: no Python thread could end it.
            faulthandler.dump_traceback_later(JOIN_TIMEOUT, exit=True, file=nowhere)
            try:
                return tf.distribute.MultiWorkerMirroredStrategy(
                    _slurm_resolver() if own.source == "Slurm" else None,
                    tf.distribute.experimental.CommunicationOptions(timeout_seconds=TIMEOUT),
                )
            finally:
                faulthandler.cancel_dump_traceback_later()
    return None


def reason(error: tf.errors.OpError) -> str:
    """The one sentence in which TensorFlow says why the workers' exchange ended, out of its page of text."""
    text = " ".join(str(error).split())
    _, _, told = text.rpartition("aborted by: ")
    return (told or text).partition(" The error could be")[0].partition(" Additional GRPC")[0][:300]


def check_batch(strategy: tf.distribute.Strategy, batch_size: int) -> None:
    """Logs how the global batch is split. Raises SettingError where it cannot be split evenly."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise SettingError(
            f"--batch_size={batch_size}: is shared by {replicas} devices, so it must be a multiple of {replicas}"
        )
    logging.info("Batch: %d images a step, %d on each of %d devices.", batch_size, batch_size // replicas, replicas)
    if replicas == 1:
        logging.warning("--distribute: there is one device only; nothing is gained")


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


def _slurm_resolver() -> tf.distribute.cluster_resolver.ClusterResolver:
    slurm = tf.distribute.cluster_resolver.SlurmClusterResolver
    if "CUDA_VISIBLE_DEVICES" in os.environ or shutil.which("nvidia-smi"):
        return slurm()
    # Without GPUs it divides by their number: it is told of one a task, and what it says of them is not passed on.
    resolver = slurm(gpus_per_node=10**6, gpus_per_task=1, auto_set_gpu=False)
    spec = resolver.cluster_spec()  # also sets the two that follow
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        spec, task_type=resolver.task_type, task_id=resolver.task_id, num_accelerators={"GPU": 0}, rpc_layer="grpc"
    )


class ReplicatedDCGAN(DCGAN):
    """A DCGAN whose every batch is split among the replicas of a strategy: the same training, to rounding, as on one.

    Both networks and both optimizers are mirrored: every replica has its copy. Gradients and the statistics of batch
    normalisation are summed over all replicas, so that a step is a function of the global batch. The moving average
    is computed from equal weights once in each worker. Keras itself is not told of the strategy: `fit` is the plain
    one, fed with this worker's part of each batch, and checkpoints are those of a `DCGAN`.

    Args:
      strategy: the one in whose scope both networks were built, and in which both optimizers are to be made.
      generator, discriminator, seed: as in `DCGAN`.
    """

    def __init__(
        self, strategy: tf.distribute.Strategy, generator: keras.Model, discriminator: keras.Model, seed: int = 0
    ):
        self._strategy = strategy  # add_weight needs it
        super().__init__(_unbound(generator), _unbound(discriminator), seed)
        self.replicas = strategy.num_replicas_in_sync
        self.local_replicas = len(strategy.extended.worker_devices)
        self.workers = self.replicas // self.local_replicas
        self._penalise = False  # in the step that is being traced

    def add_weight(self, *args, **kwargs):
        with self._strategy.scope():
            return super().add_weight(*args, **kwargs)

    def compile(self, generator_optimizer, discriminator_optimizer, *args, **options):
        with self._strategy.scope():
            generator_optimizer.build(self.generator.trainable_variables)
            discriminator_optimizer.build(self.discriminator.trainable_variables)
        super().compile(generator_optimizer, discriminator_optimizer, *args, **{**options, "jit_compile": False})

    def adversarial_step(self, images, latents) -> dict[str, tf.Tensor]:
        """As in `DCGAN`, on images of this worker, [B / workers, S, S, C], and the latents of all, [B, Z]."""
        if not self.r1_weight or self.r1_every == 1:
            return self._on_replicas(images, latents, penalise=True)
        # Replicas cannot meet inside a `tf.cond`: what they do differently from step to step is chosen out here.
        return tf.cond(
            self.steps_done % self.r1_every == 0,
            lambda: self._on_replicas(images, latents, penalise=True),
            lambda: self._on_replicas(images, latents, penalise=False),
        )

    def _choose(self, penalised, plain):
        return penalised() if self._penalise else plain()

    def _on_replicas(self, images, latents, penalise: bool) -> dict[str, tf.Tensor]:
        with tf.device("CPU"):  # or the whole batch would go to every GPU
            image_parts = tf.split(images, self.local_replicas)
            latent_parts = tf.split(latents, self.replicas)
        step = super().adversarial_step

        def replica_step():
            replica = tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group)
            return step(image_parts[replica % self.local_replicas], latent_parts[replica])

        self._penalise = penalise
        with self._strategy.scope():
            logs = self._strategy.run(replica_step)
            return {name: self._strategy.reduce("MEAN", value, axis=None) for name, value in logs.items()}


def _unbound(network: keras.Model) -> keras.Model:
    """The same layers as a model made outside the scope: else `predict` would have all workers take part."""
    return keras.Model(network.inputs, network.outputs, name=network.name)
