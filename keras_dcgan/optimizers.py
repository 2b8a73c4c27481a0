"""Keras's Adam, computed by what runs fastest: the same mathematics and state."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("keras_dcgan")
class Adam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` (Kingma & Ba 2015) with one pass over each variable in place of a dozen.

    The arguments and the variables are those of Keras's; a checkpoint of the one continues with the other.

    Examples:
      >>> weight = keras.Variable([1.0, -2.0])
      >>> optimizer = Adam(learning_rate=0.5)
      >>> optimizer.apply([tf.constant([3.0, 0.1])], [weight])  # the first step is as long for any gradient
      >>> weight.numpy().round(3)
      array([ 0.5, -2.5], dtype=float32)
    """

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        step = tf.cast(self.iterations + 1, tf.float32)
        rates = {
            "lr": learning_rate, "beta1": self.beta_1, "beta2": self.beta_2, "epsilon": self.epsilon,
            "beta1_power": tf.pow(self.beta_1, step), "beta2_power": tf.pow(self.beta_2, step),
        }  # fmt: skip
        # Made once for all variables: each operation takes time when a step is traced.
        rates = {name: tf.cast(value, tf.float32) for name, value in rates.items()}
        super()._backend_update_step(grads, trainable_variables, rates)

    def update_step(self, gradient, variable, learning_rate):
        rates = learning_rate  # a dictionary of all rates: `_backend_update_step` calls this
        if self.amsgrad or variable.dtype != tf.float32:  # the kernel has no amsgrad, and the rates are float32
            return super().update_step(gradient, variable, rates["lr"])
        index = self._get_variable_index(variable)
        momentum, velocity = self._momentums[index].value.handle, self._velocities[index].value.handle
        tf.raw_ops.ResourceApplyAdam(var=variable.handle, m=momentum, v=velocity, grad=gradient, **rates)
