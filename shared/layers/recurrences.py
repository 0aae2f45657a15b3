"""The mathematics of the recurrent cells: one step forward, one step back, and the weights' gradients.

Every recurrence takes its inputs already projected (`x W + b`), so that a step multiplies by the recurrent kernel only.
Back propagation is divided so that the loop through time carries as little as possible:

* `derivatives` turns the activations of a step into the factors by which the gradient arriving at it is multiplied:
  everything that does not depend on that gradient.
* `step_back` multiplies by these factors and by the transposed kernel. Nothing else happens in the loop.
* `input_and_weight_gradients` sums over all steps, in one product, after the loop.

Only the last axis is computed on, so `step` and `derivatives` work on `[batch, …]` and on `[time * batch, …]` alike.
"""

from collections.abc import Callable
from typing import Protocol

import tensorflow as tf

Tensors = tuple[tf.Tensor, ...]


class Recurrence(Protocol):
    """What the loop through time asks of a cell. Instances are functions only: they hold no tensors.

    Attributes:
        factor_widths: Last dimension of each factor that `derivatives` returns, in units.
        step_widths: Last dimension of each gradient that `step_back` saves, in units.
    """

    factor_widths: tuple[int, ...]
    step_widths: tuple[int, ...]

    def step(self, weights: Tensors, x: tf.Tensor, states: Tensors, sigmoid: Callable) -> tuple[Tensors, Tensors]:
        """Returns the states after the step, the output first, and the activations that `derivatives` needs."""

    def derivatives(self, states: Tensors, activations: Tensors) -> Tensors:
        """Returns the factors of `step_back`, given the states before the step."""

    def transposed(self, weights: Tensors) -> Tensors:
        """Returns the kernels as `step_back` multiplies by them: transposed once, not at every step."""

    def step_back(self, kernels: Tensors, d_states: Tensors, factors: Tensors) -> tuple[Tensors, Tensors]:
        """Returns the gradients inside the step, to be summed later, and those of the states before the step."""

    def input_and_weight_gradients(
        self, initial: tf.Tensor, outputs: tf.Tensor, d_steps: Tensors, factors: Tensors
    ) -> tuple[tf.Tensor, Tensors]:
        """Returns the gradients of the projected inputs and of the weights, from all steps together."""


class LSTMRecurrence:
    """Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    With z = x + h R in the gate order i, f, g, o: c' = sigmoid(z_f) c + sigmoid(z_i) tanh(z_g) and
    h' = sigmoid(z_o) tanh(c'). States are (h, c), weights (R,) with R `[units, 4 units]`.
    """

    factor_widths = (4, 1, 1)
    step_widths = (4,)

    def step(self, weights, x, states, sigmoid):
        """See `Recurrence`."""
        (kernel,) = weights
        h, c = states
        z = x + tf.matmul(h, kernel)
        # One sigmoid for four gates, of which one is thrown away, costs less than three.
        i, f, _, o = tf.split(sigmoid(z), 4, axis=-1)
        units = kernel.shape[0]
        g = tf.tanh(z[:, 2 * units : 3 * units])
        c = f * c + i * g
        tanh_c = tf.tanh(c)
        return (o * tanh_c, c), (i, f, g, o, tanh_c)

    def derivatives(self, states, activations):
        """Returns dz / d(c', c', c', h'), dc' / dh' and dc' / dc."""
        _, c = states
        i, f, g, o, tanh_c = activations
        gates = [g * i * (1 - i), c * f * (1 - f), i * (1 - g * g), tanh_c * o * (1 - o)]
        return tf.concat(gates, axis=-1), o * (1 - tanh_c * tanh_c), f

    def transposed(self, weights):
        """See `Recurrence`."""
        return (tf.transpose(weights[0]),)

    def step_back(self, kernels, d_states, factors):
        """See `Recurrence`."""
        d_h, d_c = d_states
        gates, output, forget = factors
        d_c = d_c + d_h * output
        d_z = gates * tf.concat([d_c, d_c, d_c, d_h], axis=-1)
        return (d_z,), (tf.matmul(d_z, kernels[0]), d_c * forget)

    def input_and_weight_gradients(self, initial, outputs, d_steps, factors):
        """See `Recurrence`."""
        (d_z,) = d_steps
        return d_z, (kernel_gradient(initial, outputs, d_z),)


def kernel_gradient(initial: tf.Tensor, outputs: tf.Tensor, d_z: tf.Tensor) -> tf.Tensor:
    """Returns the sum over time of h_{t-1}^T dz_t.

    Args:
        initial: The state before the first step, `[batch, units]`.
        outputs: The states after each step, `[time, batch, units]`.
        d_z: Gradients of the pre-activations, `[time, batch, columns]`.

    Returns:
        `[units, columns]`.
    """
    first = tf.matmul(initial, d_z[0], transpose_a=True)
    # Slices of the first axis are views: joining `initial` and `outputs` would copy them.
    return first + product_over_time(outputs[:-1], d_z[1:])


def product_over_time(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Returns the sum over time and batch of outer products: `[T, B, M]` and `[T, B, N]` give `[M, N]`."""
    left = tf.reshape(left, [-1, left.shape[-1]])
    right = tf.reshape(right, [-1, right.shape[-1]])
    return tf.matmul(left, right, transpose_a=True)
