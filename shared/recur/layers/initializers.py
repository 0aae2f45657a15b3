"""Initializers for recurrent networks that Keras lacks, and one lookup for these and Keras's own.

Keras keeps the kernels and biases of all gates in one weight. What is said of a gate therefore needs the layout: LSTM
has the gates i, f, g, o in `[4 * units]`; GRU has z, r, n in `[3 * units]`, or in `[2, 3 * units]` with `reset_after`.

A seed means what it does for Keras's initializers: an integer gives the same values at every call, a
`keras.random.SeedGenerator` new ones, and None a seed of its own to each initializer.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras
from keras import ops
from tensorflow import Tensor

Seed: TypeAlias = int | keras.random.SeedGenerator | None


@keras.saving.register_keras_serializable("recur")
class ChronoBias(keras.initializers.Initializer):
    """Chrono initialisation of the gates' biases (Tallec & Ollivier 2018, "Can recurrent neural networks warp time?").

    b_f ~ log U(1, T_max - 1) and b_i = -b_f for LSTM; all other biases are zero. While the gates' other inputs are
    small, the units so forget with time constants 1 / (1 - sigmoid(b_f)) spread evenly over 2 … T_max steps. For GRU,
    whose update gate carries the state over (h' = z h + (1 - z) n), the same holds of b_z ~ log U(1, T_max - 1).

    Args:
        units: The layer's. It tells the layouts apart.
        t_max: The longest dependency to expect, in steps; at least 2.
        seed: Of the draw.

    Raises:
        ValueError: `t_max` is too small; or, when called, the shape is not a bias of LSTM or GRU with so many units.
            LSTM asks for other shapes unless it is made with `unit_forget_bias=False`.

    Example:
        >>> layer = keras.layers.LSTM(16, bias_initializer=ChronoBias(16, t_max=100), unit_forget_bias=False)
        >>> layer(keras.ops.zeros((2, 5, 3))).shape
        TensorShape([2, 16])
    """

    def __init__(self, units: int, t_max: float, seed: Seed = None):
        if t_max < 2:
            raise ValueError(f"t_max is {t_max}; chrono initialisation needs at least 2 steps")
        self.units = units
        self.t_max = t_max
        self._uniform = keras.initializers.RandomUniform(1.0, t_max - 1.0, seed=seed)

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        """Returns the bias, of a shape that the layouts have."""
        remember = ops.log(self._uniform((self.units,), dtype))
        return _bias(shape, remember, write=-remember)

    def get_config(self) -> dict[str, Any]:
        """See `keras.initializers.Initializer`."""
        return {"units": self.units, "t_max": self.t_max, "seed": self._uniform.get_config()["seed"]}


@keras.saving.register_keras_serializable("recur")
class ForgetBias(keras.initializers.Initializer):
    """Forget gates that begin open by any amount (Gers et al. 2000; Jozefowicz et al. 2015), all other biases zero.

    Keras's `unit_forget_bias` is the value 1 for LSTM alone. For GRU the gate is the update gate, which carries the
    state over.

    Args:
        units: The layer's. It tells the layouts apart.
        value: Of LSTM's b_f, or GRU's b_z.

    Raises:
        ValueError: When called: the shape is not a bias of LSTM or GRU with so many units. LSTM asks for other shapes
            unless it is made with `unit_forget_bias=False`.

    Example:
        >>> ForgetBias(2, value=3.0)((8,)).numpy().tolist()
        [0.0, 0.0, 3.0, 3.0, 0.0, 0.0, 0.0, 0.0]
    """

    def __init__(self, units: int, value: float = 1.0):
        self.units = units
        self.value = value

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        """Returns the bias, of a shape that the layouts have."""
        return _bias(shape, ops.full((self.units,), self.value, dtype or keras.config.floatx()))

    def get_config(self) -> dict[str, Any]:
        """See `keras.initializers.Initializer`."""
        return {"units": self.units, "value": self.value}


@keras.saving.register_keras_serializable("recur")
class BlockOrthogonal(keras.initializers.Initializer):
    """A recurrent kernel in which each gate has a random orthogonal matrix of its own (Saxe et al. 2014).

    Keras's `orthogonal` makes the rows of the whole `[units, gates * units]` orthonormal, so that a gate's block
    shrinks the state by about 1 / sqrt(gates); here every block keeps its length.

    Args:
        gain: Factor of every block.
        seed: Of the draw.

    Raises:
        ValueError: When called: the shape is not `[units, gates * units]`.

    Example:
        >>> kernel = BlockOrthogonal(seed=0)((2, 8))
        >>> bool(abs(kernel[:, 2:4] @ keras.ops.transpose(kernel[:, 2:4]) - keras.ops.eye(2)).numpy().max() < 1e-6)
        True
    """

    def __init__(self, gain: float = 1.0, seed: Seed = None):
        self.gain = gain
        self._normal = keras.initializers.RandomNormal(0.0, 1.0, seed=seed)

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        """Returns a kernel, `[units, gates * units]`."""
        units, gates = _blocks(shape)
        dtype = dtype or keras.config.floatx()
        # One draw for all gates: an integer seed would give each the same matrix. There is no QR in half precision.
        q, r = ops.qr(self._normal((gates, units, units), keras.backend.result_type(dtype, "float32")))
        # QR is unique, and its Q uniformly distributed, if the diagonal of R is positive (Mezzadri 2007).
        q = q * ops.sign(ops.diagonal(r, axis1=1, axis2=2))[:, None, :]
        kernel = ops.reshape(ops.transpose(q, (1, 0, 2)), (units, gates * units))
        return ops.cast(self.gain * kernel, dtype)

    def get_config(self) -> dict[str, Any]:
        """See `keras.initializers.Initializer`."""
        return {"gain": self.gain, "seed": self._normal.get_config()["seed"]}


@keras.saving.register_keras_serializable("recur")
class BlockIdentity(keras.initializers.Initializer):
    """A recurrent kernel in which each gate has a scaled identity matrix.

    With gain 1 and ReLU in a plain network this is IRNN (Le et al. 2015), which also takes smaller gains where only
    short memory is wanted. Keras's `identity` fills the first gate alone.

    Args:
        gain: The diagonal.

    Raises:
        ValueError: When called: the shape is not `[units, gates * units]`.

    Example:
        >>> BlockIdentity(0.5)((2, 4)).numpy().tolist()
        [[0.5, 0.0, 0.5, 0.0], [0.0, 0.5, 0.0, 0.5]]
    """

    def __init__(self, gain: float = 1.0):
        self.gain = gain

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        """Returns a kernel, `[units, gates * units]`."""
        units, gates = _blocks(shape)
        return self.gain * ops.tile(ops.eye(units, dtype=dtype or keras.config.floatx()), (1, gates))

    def get_config(self) -> dict[str, Any]:
        """See `keras.initializers.Initializer`."""
        return {"gain": self.gain}


INITIALIZERS: dict[str, Callable[..., keras.initializers.Initializer]] = {
    "chrono": ChronoBias,
    "forget_bias": ForgetBias,
    "block_orthogonal": BlockOrthogonal,
    "block_identity": BlockIdentity,
}


def initializer(name: str, **options: Any) -> keras.initializers.Initializer:
    """Makes an initializer of `INITIALIZERS`, or one of Keras's, by its name.

    Args:
        name: `chrono`, `block_orthogonal`, …, or Keras's `orthogonal`, `glorot_uniform`, ….
        **options: Arguments of the initializer.

    Raises:
        ValueError: There is no such initializer; the message lists those there are.

    Example:
        >>> initializer("block_identity", gain=0.5)((1, 4)).numpy().tolist()
        [[0.5, 0.5, 0.5, 0.5]]
    """
    known = INITIALIZERS | {
        key: value
        for key, value in vars(keras.initializers).items()
        if key.islower() and isinstance(value, type) and issubclass(value, keras.initializers.Initializer)
    }
    if name not in known:
        raise ValueError(f"unknown initializer {name!r}; the initializers are: {', '.join(known)}")
    return known[name](**options)


def _bias(shape: Sequence[int], remember: Tensor, write: Tensor | None = None) -> Tensor:
    """Lays a bias out.

    Args:
        shape: `[4 * units]` (LSTM), `[3 * units]` or `[2, 3 * units]` (GRU).
        remember: For LSTM's forget gate or GRU's update gate, `[units]`.
        write: For LSTM's input gate, `[units]`; zeros by default.
    """
    units = int(remember.shape[0])
    zeros = ops.zeros_like(remember)
    shape = tuple(shape)
    if shape == (4 * units,):
        return ops.concatenate([zeros if write is None else write, remember, zeros, zeros])
    bias = ops.concatenate([remember, zeros, zeros])
    if shape == (3 * units,):
        return bias
    if shape == (2, 3 * units):
        # The inputs' bias and the recurrent one are added in the gate: one of them holds the value.
        return ops.stack([bias, ops.zeros_like(bias)])
    raise ValueError(
        f"{list(shape)} is no bias of an LSTM or GRU of {units} units; an LSTM must be made with unit_forget_bias=False"
    )


def _blocks(shape: Sequence[int]) -> tuple[int, int]:
    """Returns the units and the number of gates of a recurrent kernel's shape."""
    if len(shape) != 2 or shape[1] % shape[0]:
        raise ValueError(f"{list(shape)} is not the shape of a recurrent kernel, [units, gates * units]")
    return shape[0], shape[1] // shape[0]
