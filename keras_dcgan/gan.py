"""The GAN as a Keras model with its own training step."""

import keras
import tensorflow as tf


class DCGAN(keras.Model):
    """A generator and a discriminator trained against each other (Goodfellow et al. 2014, Radford et al. 2016).

    Args:
      generator: latents float32 [N, Z] -> images float32 [N, S, S, C] in [-1, 1], already built.
      discriminator: images -> logits [N, 1], already built.
      seed: seed of the latents that `train_step` draws; its state is part of the model.

    Train it with `compile` and `fit` on batches of real images; `gan(latents)` draws.
    """

    def __init__(self, generator: keras.Model, discriminator: keras.Model, seed: int = 0):
        super().__init__(name="dcgan")
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim = generator.input_shape[-1]
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True  # both networks are: Keras need not trace `call` to find the weights

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer,
        discriminator_optimizer: keras.optimizers.Optimizer,
        r1_weight: float = 0.0,
        jit_compile: bool | str = "auto",
        steps_per_execution: int = 1,
        run_eagerly: bool = False,
    ) -> None:
        """Configures training; with nothing but the two optimizers given, a step is the seed document's.

        Args:
          generator_optimizer, discriminator_optimizer: two optimizers, built here so that a checkpoint taken before
            the first step is whole. For `mixed_float16` wrap both in `keras.optimizers.LossScaleOptimizer`.
          r1_weight: weight of R1, half the squared norm of the discriminator's gradient at the real images
            (Mescheder et al. 2018). It costs a second backward pass; 0 leaves it out.
          jit_compile, steps_per_execution, run_eagerly: as in `keras.Model.compile`.
        """
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
        self.r1_weight = r1_weight
        names = ["d_loss", "g_loss", "d_real", "d_fake"] + ["r1"] * (r1_weight > 0)
        self._trackers = [keras.metrics.Mean(name) for name in names]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The mean over the epoch of everything that `adversarial_step` returns."""
        return self._trackers

    def call(self, latents, training=False):
        """Draws: latents [N, Z] -> images [N, S, S, C] in [-1, 1]."""
        return self.generator(latents, training=training)

    def train_step(self, images):
        """One update on a batch of real images and as many fresh latents; returns this step's values."""
        latents = keras.random.normal((tf.shape(images)[0], self.latent_dim), seed=self.seed_generator)
        logs = self.adversarial_step(images, latents)
        for tracker in self._trackers:
            tracker.update_state(logs[tracker.name])
        return logs

    def adversarial_step(self, images, latents) -> dict[str, tf.Tensor]:
        """One full update of both networks on given inputs.

        The generator runs forward once. The discriminator learns from the fakes (label 0) and from the reals
        (label 1) in two passes, each with its own batch statistics; the two losses are added. Then the same fakes
        pass the updated discriminator with label 1, and that gradient, taken at the fakes, goes on into the generator.

        Args:
          images: real images, float32 [B, S, S, C] in [-1, 1].
          latents: float32 [B, Z], drawn from N(0, 1).

        Returns:
          Scalars: `d_loss` (mean BCE on fakes + mean BCE on reals), `g_loss`, `d_real` and `d_fake` (mean probability
          of "real" given to reals and to fakes), and `r1`, the penalty before its weight, where there is one.
        """
        d_optimizer, g_optimizer = self.discriminator_optimizer, self.generator_optimizer
        with tf.GradientTape() as g_tape:
            fakes = self.generator(latents, training=True)

        with tf.GradientTape() as d_tape:
            fake_logits = self.discriminator(tf.stop_gradient(fakes), training=True)
            real_logits, r1 = self._score_reals(images)
            d_loss = _cross_entropy(0.0, fake_logits) + _cross_entropy(1.0, real_logits)
            d_objective = d_optimizer.scale_loss(d_loss + self.r1_weight * r1)
        d_weights = self.discriminator.trainable_variables
        d_optimizer.apply(d_tape.gradient(d_objective, d_weights), d_weights)

        # Only the fakes are watched: the discriminator's own weight gradients are not computed here.
        with tf.GradientTape(watch_accessed_variables=False) as fakes_tape:
            fakes_tape.watch(fakes)
            g_loss = _cross_entropy(1.0, self.discriminator(fakes, training=True))
            g_objective = g_optimizer.scale_loss(g_loss)
        fakes_gradient = fakes_tape.gradient(g_objective, fakes)
        g_weights = self.generator.trainable_variables
        g_optimizer.apply(g_tape.gradient(fakes, g_weights, output_gradients=fakes_gradient), g_weights)

        logs = {
            "d_loss": d_loss,
            "g_loss": g_loss,
            "d_real": tf.reduce_mean(tf.sigmoid(real_logits)),
            "d_fake": tf.reduce_mean(tf.sigmoid(fake_logits)),
        }
        return logs | {"r1": r1} if self.r1_weight else logs

    def _score_reals(self, images):
        """The discriminator's logits for the reals, and R1 = mean over the batch of |d logit / d image|^2 / 2."""
        if not self.r1_weight:
            return self.discriminator(images, training=True), 0.0
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            logits = self.discriminator(images, training=True)
            total = tf.reduce_sum(logits)
        gradient = tf.cast(tape.gradient(total, images), tf.float32)  # (B, S, S, C)
        return logits, 0.5 * tf.reduce_mean(tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3]))


@keras.saving.register_keras_serializable("keras_dcgan")
class ConstantThenLinear(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that stays, then falls linearly to 0 over the last `decay_fraction` of `steps` steps."""

    def __init__(self, learning_rate: float, steps: int, decay_fraction: float):
        self.learning_rate, self.steps, self.decay_fraction = learning_rate, steps, decay_fraction

    def __call__(self, step):
        left = (self.steps - tf.cast(step, tf.float32)) / (self.steps * self.decay_fraction)
        return self.learning_rate * tf.clip_by_value(left, 0.0, 1.0)

    def get_config(self):
        return {"learning_rate": self.learning_rate, "steps": self.steps, "decay_fraction": self.decay_fraction}


def _cross_entropy(label: float, logits: tf.Tensor) -> tf.Tensor:
    labels = tf.fill(tf.shape(logits), label)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))
