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
        i, f, g, o = tf.split(x + tf.matmul(h, kernel), 4, axis=-1)
        i, f, g, o = sigmoid(i), sigmoid(f), tf.tanh(g), sigmoid(o)
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


class GRURecurrence:
    """Gated recurrent unit (Cho et al. 2014), the reset gate applied after the product, as cuDNN does.

    With a = h R + b in the gate order z, r, n: z = sigmoid(x_z + a_z), r = sigmoid(x_r + a_r), n = tanh(x_n + r a_n)
    and h' = z h + (1 - z) n. States are (h,), weights (R, b) with R `[units, 3 units]` and b `[3 units]`.
    """

    factor_widths = (3, 1, 1)
    step_widths = (3, 1)

    def step(self, weights, x, states, sigmoid):
        """See `Recurrence`."""
        kernel, bias = weights
        (h,) = states
        x_z, x_r, x_n = tf.split(x, 3, axis=-1)
        a_z, a_r, a_n = tf.split(tf.nn.bias_add(tf.matmul(h, kernel), bias), 3, axis=-1)
        z, r = sigmoid(x_z + a_z), sigmoid(x_r + a_r)
        n = tf.tanh(x_n + r * a_n)
        return (n + z * (h - n),), (z, r, n, a_n)

    def derivatives(self, states, activations):
        """Returns da / dh', dx_n / dh' and the direct part of dh' / dh."""
        (h,) = states
        z, r, n, a_n = activations
        d_n = (1 - z) * (1 - n * n)
        return tf.concat([(h - n) * z * (1 - z), d_n * a_n * r * (1 - r), d_n * r], axis=-1), d_n, z

    def transposed(self, weights):
        """See `Recurrence`."""
        return (tf.transpose(weights[0]),)

    def step_back(self, kernels, d_states, factors):
        """See `Recurrence`."""
        (d_h,) = d_states
        gates, candidate, carried = factors
        d_a = gates * tf.concat([d_h, d_h, d_h], axis=-1)
        return (d_a, d_h * candidate), (tf.matmul(d_a, kernels[0]) + d_h * carried,)

    def input_and_weight_gradients(self, initial, outputs, d_steps, factors):
        """See `Recurrence`."""
        d_a, d_n = d_steps
        units = d_n.shape[-1]
        d_x = tf.concat([d_a[..., : 2 * units], d_n], axis=-1)
        return d_x, (kernel_gradient(initial, outputs, d_a), sum_over_time(d_a))


class ResetBeforeGRURecurrence:
    """Gated recurrent unit as first published (Cho et al. 2014): the reset gate applied before the product.

    In the gate order z, r, n: z, r = sigmoid(x + h R_zr), n = tanh(x_n + (r h) R_n) and h' = z h + (1 - z) n. States
    are (h,), weights (R_zr, R_n), `[units, 2 units]` and `[units, units]`.
    """

    factor_widths = (1, 1, 1, 1, 1)
    step_widths = (3,)

    def step(self, weights, x, states, sigmoid):
        """See `Recurrence`."""
        gates_kernel, kernel = weights
        (h,) = states
        x_z, x_r, x_n = tf.split(x, 3, axis=-1)
        a_z, a_r = tf.split(tf.matmul(h, gates_kernel), 2, axis=-1)
        z, r = sigmoid(x_z + a_z), sigmoid(x_r + a_r)
        n = tf.tanh(x_n + tf.matmul(r * h, kernel))
        return (n + z * (h - n),), (z, r, n)

    def derivatives(self, states, activations):
        """Returns dx_z / dh', dx_n / dh', dx_r / d(r h), and the direct parts of dh' / dh and d(r h) / dh."""
        (h,) = states
        z, r, n = activations
        return (h - n) * z * (1 - z), (1 - z) * (1 - n * n), h * r * (1 - r), z, r

    def transposed(self, weights):
        """See `Recurrence`."""
        return tuple(tf.transpose(kernel) for kernel in weights)

    def step_back(self, kernels, d_states, factors):
        """See `Recurrence`."""
        (d_h,) = d_states
        update, candidate, reset, carried, r = factors
        d_z, d_n = d_h * update, d_h * candidate
        d_reset = tf.matmul(d_n, kernels[1])
        d_zr = tf.concat([d_z, d_reset * reset], axis=-1)
        before = tf.matmul(d_zr, kernels[0]) + d_h * carried + d_reset * r
        return (tf.concat([d_zr, d_n], axis=-1),), (before,)

    def input_and_weight_gradients(self, initial, outputs, d_steps, factors):
        """See `Recurrence`."""
        (d_x,) = d_steps
        r = factors[-1]
        units = r.shape[-1]
        d_zr, d_n = d_x[..., : 2 * units], d_x[..., 2 * units :]
        d_kernel = kernel_gradient(initial * r[0], outputs[:-1] * r[1:], d_n)
        return d_x, (kernel_gradient(initial, outputs, d_zr), d_kernel)


class SimpleRecurrence:
    """The plain recurrent network (Elman 1990): h' = f(x + h R), with f tanh or the rectifier.

    States are (h,), weights (R,) with R `[units, units]`.
    """

    factor_widths = (1,)
    step_widths = (1,)

    def __init__(self, rectified: bool):
        self._rectified = rectified

    def step(self, weights, x, states, sigmoid):
        """See `Recurrence`."""
        z = x + tf.matmul(states[0], weights[0])
        h = tf.nn.relu(z) if self._rectified else tf.tanh(z)
        return (h,), (h,)

    def derivatives(self, states, activations):
        """Returns dz / dh'."""
        (h,) = activations
        return (tf.cast(h > 0, h.dtype) if self._rectified else 1 - h * h,)

    def transposed(self, weights):
        """See `Recurrence`."""
        return (tf.transpose(weights[0]),)

    def step_back(self, kernels, d_states, factors):
        """See `Recurrence`."""
        d_z = d_states[0] * factors[0]
        return (d_z,), (tf.matmul(d_z, kernels[0]),)

    def input_and_weight_gradients(self, initial, outputs, d_steps, factors):
        """See `Recurrence`."""
        (d_z,) = d_steps
        return d_z, (kernel_gradient(initial, outputs, d_z),)


def kernel_gradient(initial: tf.Tensor, outputs: tf.Tensor, d_z: tf.Tensor) -> tf.Tensor:
    """Returns the sum over time of h_{t-1}^T dz_t.

    Args:
        initial: The state before the first step, `[batch, units]`.
        outputs: The states after each step, `[time, batch, units]`; the last is not needed.
        d_z: Gradients of the pre-activations, `[time, batch, columns]`.

    Returns:
        `[units, columns]`.
    """
    # Slices of the first axis are views: joining `initial` and `outputs` would copy them.
    first = tf.matmul(initial, d_z[0], transpose_a=True)
    return first + product_over_time(outputs[: tf.shape(d_z)[0] - 1], d_z[1:])


def product_over_time(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Returns the sum over time and batch of outer products: `[T, B, M]` and `[T, B, N]` give `[M, N]`."""
    left = tf.reshape(left, [-1, left.shape[-1]])
    right = tf.reshape(right, [-1, right.shape[-1]])
    return tf.matmul(left, right, transpose_a=True)


def sum_over_time(d_z: tf.Tensor) -> tf.Tensor:
    """Returns the sum over time and batch: `[time, batch, columns]` gives `[columns]`."""
    return tf.raw_ops.BiasAddGrad(out_backprop=tf.reshape(d_z, [-1, d_z.shape[-1]]))
