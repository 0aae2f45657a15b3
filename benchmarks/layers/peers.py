"""What the recurrent layers are measured beside: one training step and one forward pass of each competitor."""

import dataclasses
import importlib.metadata
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from recur.layers import recurrent

OUTPUTS = 64
GATES = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}

Pair = tuple[Callable[[], object], Callable[[], object]]


@dataclasses.dataclass(frozen=True)
class Case:
    """One cell of the grid; the inputs are as wide as the layer."""

    layer: str
    batch: int
    length: int
    units: int
    masked: bool = False
    bidirectional: bool = False

    @property
    def name(self) -> str:
        """A name such as `LSTM batch 32 length 200 units 256 masked`."""
        kind = " masked" * self.masked + " bidirectional" * self.bidirectional
        return f"{self.layer} batch {self.batch} length {self.length} units {self.units}{kind}"

    def lengths(self) -> np.ndarray:
        """Lengths of the sequences."""
        if not self.masked:
            return np.full(self.batch, self.length)
        return review_lengths(self.batch, self.length)

    def training_operations(self) -> int:
        """Floating-point operations of the products of a training step; no gradient by the inputs is asked for."""
        directions = 2 if self.bidirectional else 1
        recurrent_layer = GATES[self.layer] * self.units * (2 * self.units + 3 * self.units) * directions
        return 2 * int(self.lengths().sum()) * (recurrent_layer + 3 * directions * self.units * OUTPUTS)


def review_lengths(count: int, longest: int) -> np.ndarray:
    """Draws lengths in words like those of IMDB's reviews: close to log-normal, median 174."""
    drawn = np.random.default_rng(0).lognormal(np.log(174), 0.65, count)
    return np.clip(drawn, 1, longest).astype(int)


def competitors(case: Case) -> tuple[dict[str, Pair], dict[str, str]]:
    """Returns a training step and a forward pass of each competitor, and why others are missing."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(case.batch, case.length, case.units)).astype("float32")
    y = generator.normal(size=(case.batch, case.length, OUTPUTS)).astype("float32")
    pairs = {
        "ours": _keras(case, getattr(recurrent, case.layer), x, y),
        "ours, jit_compile": _keras(case, getattr(recurrent, case.layer), x, y, jit_compile=True),
        "Keras": _keras(case, getattr(keras.layers, case.layer), x, y),
        "Keras, jit_compile": _keras(case, getattr(keras.layers, case.layer), x, y, jit_compile=True),
    }
    if case.layer == "LSTM" and not (case.masked or case.bidirectional):
        pairs["BlockLSTMV2"] = _keras(case, BlockLSTM, x, y)
    try:
        import torch
    except ImportError as error:
        return pairs, {"PyTorch": f"{error}; pip install -r requirements-bench.txt"}
    return pairs | {"PyTorch": _pytorch(torch, case, x, y)}, {}


def versions() -> dict[str, str]:
    """Returns the versions of the competitors that are installed."""
    installed = {}
    for name in ("tensorflow", "keras", "torch"):
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def _keras(case: Case, layer: type, x: np.ndarray, y: np.ndarray, jit_compile: bool | None = None) -> Pair:
    """Returns the functions of a Keras model, compiled once and called with the same tensors."""
    recurrent_layer = layer(case.units, return_sequences=True)
    if case.bidirectional:
        recurrent_layer = keras.layers.Bidirectional(recurrent_layer)
    dense = keras.layers.Dense(OUTPUTS)
    mask = tf.sequence_mask(case.lengths(), case.length) if case.masked else None
    x, y = tf.constant(x), tf.constant(y)
    dense(recurrent_layer(x, mask=mask))
    variables = recurrent_layer.trainable_variables + dense.trainable_variables
    optimizer = keras.optimizers.Adam()
    optimizer.build(variables)

    @tf.function(jit_compile=jit_compile)
    def train(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((dense(recurrent_layer(x, mask=mask, training=True)) - y) ** 2)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    @tf.function(jit_compile=jit_compile)
    def forward(x):
        return dense(recurrent_layer(x, mask=mask, training=False))

    return lambda: train(x, y).numpy(), lambda: forward(x).numpy()


class BlockLSTM(keras.layers.LSTM):
    """Keras's LSTM by way of TensorFlow's fused operation, which has the same order of gates."""

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Runs the loop through time; see `keras.layers.RNN`."""
        from tensorflow.python.ops import rnn_grad  # noqa: F401  (registers the gradient)

        h, c = initial_state
        cell, unused = self.cell, tf.zeros([self.units])
        outputs = tf.raw_ops.BlockLSTMV2(
            seq_len_max=tf.shape(sequences, out_type=tf.int64)[1],
            x=tf.transpose(sequences, [1, 0, 2]),
            cs_prev=c,
            h_prev=h,
            w=tf.concat([cell.kernel.value, cell.recurrent_kernel.value], axis=0),
            wci=unused,
            wcf=unused,
            wco=unused,
            b=cell.bias.value,
            cell_clip=0.0,
            use_peephole=False,
        )
        h = tf.transpose(outputs.h, [1, 0, 2])
        return h[:, -1], h, [h[:, -1], outputs.cs[-1]]


def _pytorch(torch, case: Case, x: np.ndarray, y: np.ndarray) -> Pair:
    """Returns the functions of the same model in PyTorch; masked batches are packed."""
    layer = getattr(torch.nn, {"SimpleRNN": "RNN"}.get(case.layer, case.layer))(
        case.units, case.units, batch_first=True, bidirectional=case.bidirectional
    )
    dense = torch.nn.Linear(case.units * (1 + case.bidirectional), OUTPUTS)
    parameters = [*layer.parameters(), *dense.parameters()]
    optimizer = torch.optim.Adam(parameters, 1e-3)
    x, y, lengths = torch.tensor(x), torch.tensor(y), torch.tensor(case.lengths())

    def model():
        if not case.masked:
            return dense(layer(x)[0])
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return dense(torch.nn.utils.rnn.pad_packed_sequence(layer(packed)[0], True, 0.0, case.length)[0])

    def train():
        optimizer.zero_grad()
        loss = ((model() - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    def forward():
        with torch.inference_mode():
            return model().numpy()

    return train, forward
