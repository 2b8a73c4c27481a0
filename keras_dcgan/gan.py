"""The GAN as a Keras model with its own training step."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_dcgan import augmentation
from keras_dcgan.config import AUGMENTATIONS
from keras_dcgan.datasets.classes import Classes
from keras_dcgan.networks import (
    copied_variables,
    count_classes,
    digest,
    float32_copy,
    latent_dim_of,
    set_statistics,
    with_labels,
)
from keras_dcgan.pipeline import Loader

EMA_RAMP = 0.05  # the average's half-life is at most this share of the images seen so far (Karras et al. 2022)


class DCGAN(keras.Model):
    """A generator and a discriminator trained against each other (Goodfellow et al. 2014, Radford et al. 2016).

    Args:
      generator: latents float32 [N, Z] -> images float32 [N, S, S, C] in [-1, 1], a functional model whose input is
        named "latents"; or the same of {"latents", "labels"}, as `build_generator(classes=K)` gives it.
      discriminator: images -> logits [N, 1], or [N, K] for a generator of K classes, already built.
      seed: seed of the latents that `train_step` draws.
      classes: the names of the K classes, and how often each occurs; by default numbers, equally often.

    Raises ValueError if the networks and `classes` have different numbers of classes.

    `steps_done` counts the steps of `train_step`; `averaged` is the generator that samples: the moving average of the
    weights if `compile` asks for one, else the generator itself.

    Train it with `compile` and `fit` on batches of real images, or of (images, labels int [B]) if the networks have
    classes; `gan(latents)` or `gan(latents, labels)` draws. Save it with `save_weights`, its networks with
    `generators.save_network`.

    Examples:
      >>> from keras_dcgan.networks import build_discriminator, build_generator
      >>> gan = DCGAN(build_generator(width=1, image_size=16), build_discriminator(width=1, image_size=16))
      >>> gan.compile(keras.optimizers.Adam(2e-4, 0.5), keras.optimizers.Adam(2e-4, 0.5))
      >>> history = gan.fit(tf.zeros((4, 16, 16, 3)), batch_size=2, verbose=0)
      >>> sorted(history.history), int(gan.steps_done)
      (['d_fake', 'd_loss', 'd_real', 'g_loss'], 2)
      >>> gan(tf.zeros((5, 100))).shape
      TensorShape([5, 16, 16, 3])
    """

    def __init__(
        self, generator: keras.Model, discriminator: keras.Model, seed: int = 0, classes: Classes | None = None
    ):
        super().__init__(name="dcgan")
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim = latent_dim_of(generator)
        count, logits = count_classes(generator), discriminator.output_shape[-1]
        self.classes = Classes.numbered(count) if count and classes is None else classes
        named = len(self.classes) if self.classes else 0
        if not (named == count and logits == max(1, count)):
            raise ValueError(
                f"the generator draws {count} classes, the discriminator has {logits} logits, and {named} classes are "
                "named; these must be the same, and without classes there is one logit"
            )
        self.averaged = generator
        self.seed = tf.constant(seed, tf.int64)
        self.steps_done = self.add_weight(name="steps_done", dtype="int64", initializer="zeros", trainable=False)
        self._r1 = self.add_weight(name="r1", initializer="zeros", trainable=False)  # the last penalty's value
        self.finished = False  # a callback may set it: nothing is to be gained by more steps
        self._trackers: list[keras.metrics.Metric] = []
        self.load: Loader | None = None  # where the dataset gives only choices, what makes images of them in the step
        self.built = True  # both networks are: Keras need not trace `call` to find the weights

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer,
        discriminator_optimizer: keras.optimizers.Optimizer,
        r1_weight: float = 0.0,
        r1_every: int = 1,
        ema_half_life: float = 0.0,
        augment: str = "off",
        jit_compile: bool | str = "auto",
        steps_per_execution: int = 1,
        run_eagerly: bool = False,
    ) -> None:
        """Configures training; with only the two optimizers given, a step is the MXNet tutorial's.

        Args:
          generator_optimizer, discriminator_optimizer: two optimizers, built here so that a checkpoint taken before
            the first step is whole. For `mixed_float16` wrap both in `keras.optimizers.LossScaleOptimizer`. Callbacks
            that change `model.optimizer`, such as `LearningRateScheduler`, see the generator's alone.
          r1_weight: weight of R1, half the squared norm of the discriminator's gradient at the real images
            (Mescheder et al. 2018). It costs a second backward pass; 0, the least, leaves it out.
          r1_every: steps from one penalty to the next, at least 1, each that many times as strong: nearly the same
            training for a fraction of the cost (Karras et al. 2020).
          ema_half_life: half-life, in images, of the moving average of the generator's weights; 0, the least: none.
          augment: how all images are changed before the discriminator sees them: one of `config.AUGMENTATIONS`, or
            "off".
          jit_compile, steps_per_execution, run_eagerly: as in `keras.Model.compile`.

        Raises ValueError for a value outside these limits, and for one optimizer given twice.

        Examples:
          >>> from keras_dcgan.networks import build_discriminator, build_generator
          >>> gan = DCGAN(build_generator(width=1, image_size=16), build_discriminator(width=1, image_size=16))
          >>> gan.compile(keras.optimizers.Adam(), keras.optimizers.Adam(), r1_weight=1.0, ema_half_life=10_000)
          >>> [metric.name for metric in gan.metrics], gan.averaged is gan.generator
          (['d_loss', 'g_loss', 'd_real', 'd_fake', 'r1'], False)
        """
        if generator_optimizer is discriminator_optimizer:
            raise ValueError("generator_optimizer and discriminator_optimizer are the same object; make two")
        if augment not in ("off", *AUGMENTATIONS):
            raise ValueError(f"augment={augment}: must be one of off, {', '.join(AUGMENTATIONS)}")
        if not (r1_weight >= 0 and r1_every >= 1 and ema_half_life >= 0):
            given = f"r1_weight={r1_weight}, r1_every={r1_every}, ema_half_life={ema_half_life}"
            raise ValueError(f"{given}: must be at least 0, 1 and 0")
        super().compile(
            optimizer=generator_optimizer,
            jit_compile=jit_compile,
            steps_per_execution=steps_per_execution,
            run_eagerly=run_eagerly,
            auto_scale_loss=False,  # Keras would wrap one optimizer of the two
        )
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        generator_optimizer.build(self.generator.trainable_variables)
        discriminator_optimizer.build(self.discriminator.trainable_variables)
        self.r1_weight, self.r1_every = r1_weight, r1_every
        self.ema_half_life, self.augment = ema_half_life, augment
        self.averaged = float32_copy(self.generator) if ema_half_life else self.generator
        self._refreshed = b""  # the digest of the average after the last refreshing
        names = ["d_loss", "g_loss", "d_real", "d_fake"] + ["r1"] * (r1_weight > 0)
        self._trackers = [keras.metrics.Mean(name) for name in names]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The mean over the epoch of everything that `adversarial_step` returns."""
        return self._trackers

    def call(self, latents, labels=None, training=False):
        """Draws, from the averaged generator if there is one: latents [N, Z] -> images [N, S, S, C] in [-1, 1]."""
        return self.averaged(with_labels(latents, labels), training=training)

    def train_step(self, data):
        """One update on a batch of real images, or (images, labels), and as many fresh latents; returns its values."""
        images, labels = self.unpack(self.load(data) if self.load else data)
        batch_size = tf.shape(images)[0]
        return self.finish_step(self.adversarial_step(images, self.draw_step_latents(batch_size), labels), batch_size)

    def unpack(self, data) -> tuple:
        """The images and the labels, or None, of what a dataset gives. Raises ValueError if it gives weights too."""
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        if weights is not None:
            raise ValueError("a GAN has no sample_weight or class_weight")
        return images, labels

    def load_weights(self, *args, **options):
        """As in Keras. Raises ValueError before `compile`, which makes the average and the optimizers."""
        if not self.compiled:
            raise ValueError("compile this DCGAN first, with the ema_half_life of the one whose weights these are")
        super().load_weights(*args, **options)

    def test_step(self, data):
        raise NotImplementedError("a GAN has no validation loss; keras_dcgan.evaluate measures how good its images are")

    def get_config(self):
        raise NotImplementedError("save a DCGAN with save_weights, and its networks with generators.save_network")

    def draw_step_latents(self, batch_size) -> tf.Tensor:
        """Latents float32 [batch_size, Z] of this step, a function of (seed, step): a resumed run draws the same."""
        seed = tf.stack([self.seed, self.steps_done.value])
        size = self.latent_dim
        return of_this_replica(lambda n: tf.random.stateless_normal((n, size), seed=seed, alg="philox"), batch_size)

    def shuffle_step_labels(self, labels) -> tf.Tensor:
        """The labels of this step's fakes: those of the reals in another order, a function of (seed, step)."""
        seed = tf.stack([self.seed, -1 - self.steps_done.value])  # not the one of the latents
        # XLA has no shuffle, and of its random numbers only the integers are TensorFlow's.
        keys = tf.random.stateless_uniform(tf.shape(labels), seed, None, None, tf.int32, alg="philox")
        return tf.gather(labels, tf.argsort(keys))

    def draw_step_changes(self, batch_size) -> tf.Tensor:
        """Draws for this step's fakes, reals, and fakes again, [batch_size, 3, DRAWS]: a function of (seed, step)."""
        seed = tf.stack([-1 - self.seed, self.steps_done.value])  # not the one of the latents
        return of_this_replica(lambda n: augmentation.draw((n, 3, augmentation.DRAWS), seed), batch_size)

    def split_changes(self, changes, batch_size) -> list[tf.Tensor | None]:
        """How to change the fakes, the reals, and the fakes again, [B, DRAWS] each; None for each without augmentation.

        `changes` are those of `draw_step_changes`, or None to draw them.
        """
        if self.augment == "off":
            return [None] * 3
        return tf.unstack(self.draw_step_changes(batch_size) if changes is None else changes, axis=1)

    def adversarial_step(self, images, latents, labels=None, fake_labels=None, changes=None) -> dict[str, tf.Tensor]:
        """One full update of both networks on given inputs.

        The generator runs forward once. The discriminator learns from the fakes (label 0) and from the reals
        (label 1) in two passes, each with its own batch statistics; the two losses are added. Then the same fakes
        pass the updated discriminator with label 1, and that gradient, taken at the fakes, continues into the
        generator.

        Args:
          images: real images, float32 [B, S, S, C] in [-1, 1].
          latents: float32 [B, Z], drawn from N(0, 1).
          labels: int [B], the classes of the images, or None for networks without classes.
          fake_labels: int [B], the classes to draw; by default `labels`, shuffled.
          changes: how to augment, as `draw_step_changes` draws it, which is the default.

        Returns:
          Scalars: `d_loss` (mean BCE on fakes + mean BCE on reals), `g_loss`, `d_real` and `d_fake` (mean probability
          of "real" given to reals and to fakes), and, if there is a penalty, `r1`, its last value before its weight.

        Examples:
          >>> from keras_dcgan.networks import build_discriminator, build_generator
          >>> gan = DCGAN(build_generator(width=1, image_size=16), build_discriminator(width=1, image_size=16))
          >>> gan.compile(keras.optimizers.Adam(), keras.optimizers.Adam())
          >>> losses = gan.adversarial_step(tf.zeros((4, 16, 16, 3)), tf.zeros((4, 100)))  # both are grey
          >>> {name: round(float(value), 3) for name, value in losses.items()}
          {'d_loss': 1.386, 'g_loss': 0.693, 'd_real': 0.5, 'd_fake': 0.5}
        """
        d_weights, g_weights = self.discriminator.trainable_variables, self.generator.trainable_variables
        self.check_labels(labels)
        if labels is not None and fake_labels is None:
            fake_labels = self.shuffle_step_labels(labels)
        of_fakes, of_reals, of_fakes_again = self.split_changes(changes, tf.shape(images)[0])
        with tf.GradientTape() as g_tape:
            fakes = self.generator(with_labels(latents, fake_labels), training=True)

        seen_fakes, seen_reals = (tf.stop_gradient(fakes), fake_labels, of_fakes), (images, labels, of_reals)
        d_gradients, d_loss, fake_logits, real_logits = self.learn_both(seen_fakes, seen_reals)
        self.discriminator_optimizer.apply(d_gradients, d_weights)

        # Only the fakes are watched: the discriminator's own weight gradients are not computed here.
        with tf.GradientTape(watch_accessed_variables=False) as fakes_tape:
            fakes_tape.watch(fakes)
            g_loss = cross_entropy(1.0, self.score(fakes, fake_labels, of_fakes_again))
            g_objective = self.objective(g_loss, self.generator_optimizer)
        fakes_gradient = fakes_tape.gradient(g_objective, fakes)
        self.generator_optimizer.apply(g_tape.gradient(fakes, g_weights, output_gradients=fakes_gradient), g_weights)

        logs = {
            "d_loss": d_loss,
            "g_loss": g_loss,
            "d_real": tf.reduce_mean(tf.sigmoid(real_logits)),
            "d_fake": tf.reduce_mean(tf.sigmoid(fake_logits)),
        }
        return logs | {"r1": self._r1.value} if self.r1_weight else logs

    def check_labels(self, labels) -> None:
        """Raises ValueError for labels of another shape than [B], or if these do not go with the networks' classes."""
        if labels is not None and not self.classes:
            raise ValueError("labels are given, but these networks have no classes; build both with classes=K")
        if labels is None and self.classes:
            raise ValueError("no labels are given, but these networks have classes")
        if labels is not None and tf.TensorShape(labels.shape).rank != 1:
            raise ValueError(f"labels: shape {labels.shape}; must be [B]")

    def objective(self, loss, optimizer) -> tf.Tensor:
        """What an optimizer's gradient is taken of: the loss, scaled if the precision needs it."""
        return optimizer.scale_loss(loss)

    def score(self, images, labels=None, changes=None) -> tf.Tensor:
        """The discriminator's logits in training, [B, 1]; with labels, each image's logit is that of its label.

        With `changes`, float32 [B, DRAWS], it sees the images augmented.
        """
        if changes is not None:
            images = augmentation.augment(images, changes, self.augment)
        logits = self.discriminator(images, training=True)
        if labels is None:
            return logits
        return tf.reduce_sum(logits * tf.one_hot(labels, logits.shape[-1]), axis=1, keepdims=True)  # (B, K) -> (B, 1)

    def learn_both(self, fakes, reals) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor, tf.Tensor]:
        """The gradients of the discriminator's weights, its loss, and its logits for the fakes and for the reals.

        It sees the fakes first; the gradients of both are added. `fakes` and `reals` are what `score` takes: images,
        labels and changes.
        """
        of_fakes, fakes_loss, fake_logits = self._learn(0.0, fakes)
        # The gradient is taken inside of the branches: that of a `tf.cond` is not the same to the last bit each time.
        of_reals, reals_loss, real_logits = self.if_penalised(
            lambda: self._learn(1.0, reals, penalise=True), lambda: self._learn(1.0, reals)
        )
        gradients = [tf.add(one, other) for one, other in zip(of_fakes, of_reals, strict=True)]
        return gradients, fakes_loss + reals_loss, fake_logits, real_logits

    def _learn(self, label: float, seen, penalise: bool = False) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]:
        """The gradients of the discriminator's weights, the loss without a penalty, and the logits."""
        images, labels, changes = seen
        with tf.GradientTape() as tape:
            logits, r1 = self.score_with_r1(images, labels, changes, penalise)
            loss = cross_entropy(label, logits)
            objective = self.objective(loss + self.r1_weight * self.r1_every * r1, self.discriminator_optimizer)
        return tape.gradient(objective, self.discriminator.trainable_variables), loss, logits

    def score_with_r1(self, images, labels=None, changes=None, penalise=True) -> tuple[tf.Tensor, tf.Tensor | float]:
        """The discriminator's logits, and R1 at these images, or 0 if there is to be no penalty.

        R1 takes the gradient at the images as they are, through their augmentation (Karras et al. 2020).
        """
        if not penalise:
            return self.score(images, labels, changes), 0.0
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            logits = self.score(images, labels, changes)
            total = tf.reduce_sum(logits)
        gradient = tf.cast(tape.gradient(total, images), tf.float32)  # (B, S, S, C)
        r1 = 0.5 * tf.reduce_mean(tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3]))
        self._r1.assign(r1)
        return logits, r1

    def if_penalised(self, then, otherwise):
        """Calls `then` in the steps that have a penalty, else `otherwise`."""
        if not self.r1_weight:
            return otherwise()
        return then() if self.r1_every == 1 else tf.cond(self.steps_done % self.r1_every == 0, then, otherwise)

    def finish_step(self, logs: dict[str, tf.Tensor], batch_size) -> dict[str, tf.Tensor]:
        """Updates the moving average, the step count and the means over the epoch; returns `logs`."""
        if self.ema_half_life:
            self._average(batch_size)
        self.steps_done.assign_add(1)
        for tracker in self._trackers:
            tracker.update_state(logs[tracker.name])
        return logs

    def _average(self, batch_size) -> None:
        """Moves the averaged generator's weights towards the generator's."""
        batch_size = tf.cast(batch_size, tf.float32)
        seen = batch_size * tf.cast(self.steps_done + 1, tf.float32)
        # Short at first, or the average would keep what the generator was before it had learnt anything.
        half_life = tf.minimum(float(self.ema_half_life), EMA_RAMP * seen)
        share = 1.0 - tf.pow(0.5, batch_size / half_life)
        for average, weight in zip(self.averaged.trainable_variables, copied_variables(self.generator), strict=True):
            average.value.assign_add(share * (weight - average))

    def refresh_averaged(self, batches: int = 4, batch_size: int = 64) -> None:
        """Recomputes the averaged generator's batch-normalisation statistics: the running ones suit other weights.

        They become the mean of the statistics of `batches` batches of latents, and of labels in the data's mix, always
        the same ones. Call it after training and before the average is used; it does nothing if there is no average, or
        if it has not changed since the last call.
        """
        if not self.ema_half_life or digest(self.averaged) == self._refreshed:
            return
        normalisations = [layer for layer in self.averaged.layers if hasattr(layer, "moving_mean")]
        statistics = [value for layer in normalisations for value in (layer.moving_mean, layer.moving_variance)]
        totals = [0.0] * len(statistics)
        for i in range(batches):
            latents = keras.random.normal((batch_size, self.latent_dim), seed=i)
            labels = tf.constant(self.classes.draw(batch_size, seed=i)) if self.classes else None
            set_statistics(self.averaged, with_labels(latents, labels))
            totals = [total + value.numpy() for total, value in zip(totals, statistics, strict=True)]
        for value, total in zip(statistics, totals, strict=True):
            value.assign(total / batches)
        self._refreshed = digest(self.averaged)


def of_this_replica(draw: Callable[[Any], tf.Tensor], count) -> tf.Tensor:
    """The `count` rows that `draw` gives; if a strategy runs the step on several replicas, this one's of them all."""
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return draw(count)
    start = count * replica.replica_id_in_sync_group
    return draw(count * replica.num_replicas_in_sync)[start : start + count]


def cross_entropy(label: float, logits: tf.Tensor) -> tf.Tensor:
    """The mean binary cross-entropy with a label that is 0 or 1 for all."""
    return tf.reduce_mean(tf.nn.softplus(-logits if label else logits))
