"""A relativistic pairing loss with R1 and R2 (Huang et al. 2024); `benchmarks.recipe` compares it with ours."""

import tensorflow as tf

from keras_dcgan.gan import DCGAN
from keras_dcgan.networks import with_labels


class RelativisticDCGAN(DCGAN):
    """Each fake is judged beside a real image of its class: the discriminator learns which of the two is real.

    R2 is R1 at the fakes. The weights are those of R1.
    """

    def adversarial_step(self, images, latents, labels=None, fake_labels=None, changes=None) -> dict[str, tf.Tensor]:
        """One update of both networks, as in `DCGAN`; `d_real` is how often the real image of a pair wins."""
        d_weights, g_weights = self.discriminator.trainable_variables, self.generator.trainable_variables
        of_fakes, of_reals, of_fakes_again = self.split_changes(changes, tf.shape(images)[0])
        with tf.GradientTape() as g_tape:
            fakes = self.generator(with_labels(latents, labels), training=True)

        def learn(penalise: bool):
            with tf.GradientTape() as d_tape:
                fake_logits, r2 = self.score_with_r1(tf.stop_gradient(fakes), labels, of_fakes, penalise)
                real_logits, r1 = self.score_with_r1(images, labels, of_reals, penalise)
                d_loss = tf.reduce_mean(tf.nn.softplus(fake_logits - real_logits))
                penalty = self.r1_weight * self.r1_every * (r1 + r2)
                d_objective = self.objective(d_loss + penalty, self.discriminator_optimizer)
            return d_tape.gradient(d_objective, d_weights), d_loss, fake_logits, real_logits

        d_gradients, d_loss, fake_logits, real_logits = self.if_penalised(lambda: learn(True), lambda: learn(False))
        self.discriminator_optimizer.apply(d_gradients, d_weights)

        with tf.GradientTape(watch_accessed_variables=False) as fakes_tape:
            fakes_tape.watch(fakes)
            fake_logits_again = self.score(fakes, labels, of_fakes_again)
            g_loss = tf.reduce_mean(tf.nn.softplus(self.score(images, labels, of_reals) - fake_logits_again))
            g_objective = self.objective(g_loss, self.generator_optimizer)
        fakes_gradient = fakes_tape.gradient(g_objective, fakes)
        self.generator_optimizer.apply(g_tape.gradient(fakes, g_weights, output_gradients=fakes_gradient), g_weights)

        won = tf.reduce_mean(tf.cast(real_logits > fake_logits, tf.float32))
        logs = {"d_loss": d_loss, "g_loss": g_loss, "d_real": won, "d_fake": 1.0 - won}
        return logs | {"r1": self._r1.value} if self.r1_weight else logs
