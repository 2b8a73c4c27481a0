"""The model that splits its batches among the replicas of a TensorFlow strategy."""

import keras
import tensorflow as tf

from keras_dcgan.datasets.classes import Classes
from keras_dcgan.gan import DCGAN, cross_entropy
from keras_dcgan.layers import several_batches


class ReplicatedDCGAN(DCGAN):
    """A DCGAN that splits every batch among the replicas of a strategy: the same training, to rounding, as on one.

    Both networks and both optimizers are mirrored: every replica has its copy. Gradients and the statistics of batch
    normalisation are summed over all replicas, so a step is a function of the global batch. Each worker computes the
    moving average once, from equal weights. Keras itself does not know of the strategy: `fit` is the plain one, fed
    with this worker's part of each batch, and checkpoints are those of a `DCGAN`.

    Args:
      strategy: in its scope both networks were built, and both optimizers must be made.
      generator, discriminator, seed, classes: as in `DCGAN`.
      synchronized: whether batch normalisation takes its statistics over the global batch. Else each replica takes its
        own: fewer messages, but another recipe, and what is saved are the moving statistics of the first replica.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        generator: keras.Model,
        discriminator: keras.Model,
        seed: int = 0,
        classes: Classes | None = None,
        synchronized: bool = True,
    ):
        self._strategy = strategy  # add_weight needs it
        super().__init__(_outside(generator, synchronized), _outside(discriminator, synchronized), seed, classes)
        self.synchronized = synchronized
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

    def train_step(self, data):
        """As in `DCGAN`, on images of this worker, [B / workers, S, S, C], and the labels of all, [B]."""
        images, labels = self.unpack(data)
        batch_size = tf.shape(images)[0] * self.workers
        return self.finish_step(self.adversarial_step(images, self.draw_step_latents(batch_size), labels), batch_size)

    def adversarial_step(self, images, latents, labels=None, fake_labels=None, changes=None) -> dict[str, tf.Tensor]:
        """As in `DCGAN`, on images of this worker, [B / workers, S, S, C], and everything else of all, [B, ...].

        The labels of the fakes and the changes of the images are drawn for the global batch, so they are those of one
        device.
        """
        if labels is not None and fake_labels is None:
            fake_labels = self.shuffle_step_labels(labels)
        if self.augment != "off" and changes is None:
            changes = self.draw_step_changes(tf.shape(latents)[0])
        inputs = images, latents, labels, fake_labels, changes
        if not self.r1_weight or self.r1_every == 1:
            return self._on_replicas(*inputs, penalise=bool(self.r1_weight))
        # Replicas cannot meet inside a `tf.cond`: what they do differently from step to step is chosen out here.
        return tf.cond(
            self.steps_done % self.r1_every == 0,
            lambda: self._on_replicas(*inputs, penalise=True),
            lambda: self._on_replicas(*inputs, penalise=False),
        )

    def objective(self, loss, optimizer):
        """Each replica's share: optimizers sum the gradients of all."""
        return super().objective(loss / self.replicas, optimizer)

    def learn_both(self, fakes, reals):
        """As in `DCGAN`; without a penalty in one pass, where fakes and reals share each all-reduce of statistics."""
        if self._penalise or not self.synchronized:
            return super().learn_both(fakes, reals)
        pairs = zip(fakes, reals, strict=True)
        together = [None if one is None else tf.concat([one, other], 0) for one, other in pairs]
        with several_batches(2), tf.GradientTape() as tape:
            fake_logits, real_logits = tf.split(self.score(*together), 2)
            d_loss = cross_entropy(0.0, fake_logits) + cross_entropy(1.0, real_logits)
            objective = self.objective(d_loss, self.discriminator_optimizer)
        return tape.gradient(objective, self.discriminator.trainable_variables), d_loss, fake_logits, real_logits

    def if_penalised(self, then, otherwise):
        return then() if self._penalise else otherwise()

    def _on_replicas(self, images, *of_all, penalise: bool) -> dict[str, tf.Tensor]:
        with tf.device("CPU"):  # or the whole batch would go to every GPU
            image_parts = tf.split(images, self.local_replicas)
            splits = [None if x is None else tf.split(x, self.replicas) for x in of_all]
        step = super().adversarial_step

        def replica_step():
            replica = tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group)
            parts = (None if x is None else x[replica] for x in splits)
            logs = step(image_parts[replica % self.local_replicas], *parts)
            return tf.stack([logs[tracker.name] for tracker in self._trackers])  # all of them in one message

        self._penalise = penalise
        with self._strategy.scope():
            means = self._strategy.reduce("MEAN", self._strategy.run(replica_step), axis=None)
            logs = dict(zip((tracker.name for tracker in self._trackers), tf.unstack(means), strict=True))
            if penalise:
                self._r1.assign(logs["r1"])
            return logs


def _outside(network: keras.Model, synchronized: bool) -> keras.Model:
    """The network, of the same layers, made outside the scope: otherwise `predict` would have all workers take part."""
    for layer in network.layers:
        if hasattr(layer, "synchronized"):
            layer.synchronized = synchronized
    return keras.Model(network.input, network.output, name=network.name)
