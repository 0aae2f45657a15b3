"""The mathematics of the recurrent cells: one step forward, one step back, and the weights' gradients.

Every recurrence takes its inputs already projected (`x W + b`), so that a step multiplies by the recurrent kernel only.
Back propagation multiplies by the transposed kernel only, too: the gradients of the weights are summed over all steps
in one product, after the loop.

Only the last axis is computed on, so `step` works on `[batch, …]` and on `[time * batch, …]` alike.
"""

from typing import Protocol

import numpy as np
import tensorflow as tf

Tensors = tuple[tf.Tensor, ...]


class Recurrence(Protocol):
    """What the loop through time asks of a cell. Instances are functions only: they hold no tensors.

    Attributes:
        activations: How many activations, each as wide as the state, `step` returns.
        step_widths: Last dimension of each gradient that `step_back` saves, in units.
    """

    activations: int
    step_widths: tuple[int, ...]

    def __hash__(self) -> int:
        """Programs are kept by cell."""

    def step(self, weights: Tensors, x: tf.Tensor, states: Tensors) -> tuple[Tensors, Tensors]:
        """Returns the states after the step, the output first, and the activations that `step_back` needs."""

    def transposed(self, weights: Tensors) -> Tensors:
        """Returns the kernels as `step_back` multiplies by them: transposed once, not at every step."""

    def step_back(
        self, kernels: Tensors, d_states: Tensors, before: Tensors, after: Tensors, activations: Tensors
    ) -> tuple[Tensors, Tensors]:
        """Returns the gradients inside the step, to be summed later, and those of the states before the step."""

    def input_and_weight_gradients(
        self, h: tf.Tensor, d_steps: Tensors, activations: Tensors
    ) -> tuple[tf.Tensor, Tensors]:
        """Returns the gradients of the projected inputs and of the weights, given h before each of all steps."""


class LSTMRecurrence:
    """Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    With z = x + h R in the gate order i, f, g, o: c' = sigmoid(z_f) c + sigmoid(z_i) tanh(z_g) and
    h' = sigmoid(z_o) tanh(c'). States are (h, c), weights (R,) with R `[units, 4 units]`.
    """

    activations = 4
    step_widths = (4,)

    def step(self, weights, x, states):
        """See `Recurrence`."""
        h, c = states
        i, f, g, o = _gates(x + tf.matmul(h, weights[0]), "ssts")
        c = f * c + i * g
        return (o * tf.tanh(c), c), (i, f, g, o)

    def transposed(self, weights):
        """See `Recurrence`."""
        return (tf.transpose(weights[0]),)

    def step_back(self, kernels, d_states, before, after, activations):
        """See `Recurrence`."""
        d_h, d_c = d_states
        i, f, g, o = activations
        tanh_c = tf.tanh(after[1])
        d_c = d_c + d_h * o * (1 - tanh_c * tanh_c)
        d_gates = [
            d_c * g * i * (1 - i),
            d_c * before[1] * f * (1 - f),
            d_c * i * (1 - g * g),
            d_h * tanh_c * o * (1 - o),
        ]
        d_z = tf.concat(d_gates, axis=-1)
        return (d_z,), (tf.matmul(d_z, kernels[0]), d_c * f)

    def input_and_weight_gradients(self, h, d_steps, activations):
        """See `Recurrence`."""
        (d_z,) = d_steps
        return d_z, (tf.matmul(h, d_z, transpose_a=True),)


class GRURecurrence:
    """Gated recurrent unit (Cho et al. 2014), the reset gate applied after the product, as cuDNN does.

    With a = h R + b in the gate order z, r, n: z = sigmoid(x_z + a_z), r = sigmoid(x_r + a_r), n = tanh(x_n + r a_n)
    and h' = z h + (1 - z) n. States are (h,), weights (R, b) with R `[units, 3 units]` and b `[3 units]`.
    """

    activations = 4
    step_widths = (3, 1)

    def step(self, weights, x, states):
        """See `Recurrence`."""
        kernel, bias = weights
        (h,) = states
        units = h.shape[-1]
        a = tf.nn.bias_add(tf.matmul(h, kernel), bias)
        z, r = _gates(x[..., : 2 * units] + a[..., : 2 * units], "ss")
        a_n = a[..., 2 * units :]
        n = tf.tanh(x[..., 2 * units :] + r * a_n)
        return (n + z * (h - n),), (z, r, n, a_n)

    def transposed(self, weights):
        """See `Recurrence`."""
        return (tf.transpose(weights[0]),)

    def step_back(self, kernels, d_states, before, after, activations):
        """See `Recurrence`."""
        (d_h,) = d_states
        z, r, n, a_n = activations
        d_n = d_h * (1 - z) * (1 - n * n)
        d_a = tf.concat([d_h * (before[0] - n) * z * (1 - z), d_n * a_n * r * (1 - r), d_n * r], axis=-1)
        return (d_a, d_n), (tf.matmul(d_a, kernels[0]) + d_h * z,)

    def input_and_weight_gradients(self, h, d_steps, activations):
        """See `Recurrence`."""
        d_a, d_n = d_steps
        d_x = tf.concat([d_a[:, : 2 * d_n.shape[-1]], d_n], axis=-1)
        return d_x, (tf.matmul(h, d_a, transpose_a=True), tf.raw_ops.BiasAddGrad(out_backprop=d_a))


class ResetBeforeGRURecurrence:
    """Gated recurrent unit as first published (Cho et al. 2014): the reset gate applied before the product.

    In the gate order z, r, n: z, r = sigmoid(x + h R_zr), n = tanh(x_n + (r h) R_n) and h' = z h + (1 - z) n. States
    are (h,), weights (R_zr, R_n), `[units, 2 units]` and `[units, units]`.
    """

    activations = 3
    step_widths = (3,)

    def step(self, weights, x, states):
        """See `Recurrence`."""
        gates_kernel, kernel = weights
        (h,) = states
        units = h.shape[-1]
        z, r = _gates(x[..., : 2 * units] + tf.matmul(h, gates_kernel), "ss")
        n = tf.tanh(x[..., 2 * units :] + tf.matmul(r * h, kernel))
        return (n + z * (h - n),), (z, r, n)

    def transposed(self, weights):
        """See `Recurrence`."""
        return tuple(tf.transpose(kernel) for kernel in weights)

    def step_back(self, kernels, d_states, before, after, activations):
        """See `Recurrence`."""
        (d_h,), (h,) = d_states, before
        z, r, n = activations
        d_n = d_h * (1 - z) * (1 - n * n)
        d_reset = tf.matmul(d_n, kernels[1])
        d_zr = tf.concat([d_h * (h - n) * z * (1 - z), d_reset * h * r * (1 - r)], axis=-1)
        d_before = tf.matmul(d_zr, kernels[0]) + d_h * z + d_reset * r
        return (tf.concat([d_zr, d_n], axis=-1),), (d_before,)

    def input_and_weight_gradients(self, h, d_steps, activations):
        """See `Recurrence`."""
        (d_x,) = d_steps
        units = h.shape[-1]
        d_zr, d_n = d_x[:, : 2 * units], d_x[:, 2 * units :]
        d_kernel = tf.matmul(activations[1] * h, d_n, transpose_a=True)
        return d_x, (tf.matmul(h, d_zr, transpose_a=True), d_kernel)


class SimpleRecurrence:
    """The plain recurrent network (Elman 1990): h' = f(x + h R), with f tanh or the rectifier.

    States are (h,), weights (R,) with R `[units, units]`.
    """

    activations = 0
    step_widths = (1,)

    def __init__(self, rectified: bool):
        self._rectified = rectified

    def step(self, weights, x, states):
        """See `Recurrence`."""
        z = x + tf.matmul(states[0], weights[0])
        return (tf.nn.relu(z) if self._rectified else tf.tanh(z),), ()

    def transposed(self, weights):
        """See `Recurrence`."""
        return (tf.transpose(weights[0]),)

    def step_back(self, kernels, d_states, before, after, activations):
        """See `Recurrence`."""
        (h,) = after
        d_z = d_states[0] * (tf.cast(h > 0, h.dtype) if self._rectified else 1 - h * h)
        return (d_z,), (tf.matmul(d_z, kernels[0]),)

    def input_and_weight_gradients(self, h, d_steps, activations):
        """See `Recurrence`."""
        (d_z,) = d_steps
        return d_z, (tf.matmul(h, d_z, transpose_a=True),)


def _gates(z: tf.Tensor, kinds: str) -> list[tf.Tensor]:
    """Returns the gates of a pre-activation `[…, gates * units]`, each logistic (`s`) or tanh (`t`).

    All are one evaluation of tanh, as sigmoid(z) = (tanh(z / 2) + 1) / 2: as exact, and the compiled loop evaluates one
    tanh of all gates several times faster than an exp for each.
    """
    units = z.shape[-1] // len(kinds)
    logistic = np.repeat([kind == "s" for kind in kinds], units)
    scale = tf.constant(np.where(logistic, 0.5, 1.0), z.dtype)
    shift = tf.constant(np.where(logistic, 0.5, 0.0), z.dtype)
    return tf.split(tf.tanh(z * scale) * scale + shift, len(kinds), axis=-1)
