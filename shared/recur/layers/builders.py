"""Builders: recurrent layers, stacks, encoders and decoders by the names that the literature uses.

Applications name a cell and never a class, so that a faster implementation takes its place in `CELLS` alone. Whole
networks are in `recur.layers.networks`.
"""

from typing import Any

import keras

from recur.layers.attention import attention as build_attention
from recur.layers.attention_decoder import AttentionDecoder
from recur.layers.bahdanau_decoder import BahdanauDecoder
from recur.layers.conditional_decoder import ConditionalDecoder
from recur.layers.encoder import RecurrentEncoder
from recur.layers.initializers import initializer
from recur.layers.layer_norm_lstm import LayerNormLSTM
from recur.layers.luong_decoder import LuongDecoder
from recur.layers.recurrent import GRU, LSTM, SimpleRNN
from recur.layers.registry import find
from recur.layers.stack import RecurrentStack
from recur.layers.weight_drop import WeightDropGRU, WeightDropLSTM, WeightDropSimpleRNN
from recur.layers.zoneout import ZoneoutLSTM

CELLS: dict[str, type[keras.layers.RNN]] = {
    "simple_rnn": SimpleRNN,
    "lstm": LSTM,
    "gru": GRU,
    "layer_norm_lstm": LayerNormLSTM,
    "zoneout_lstm": ZoneoutLSTM,
    "weight_drop_simple_rnn": WeightDropSimpleRNN,
    "weight_drop_lstm": WeightDropLSTM,
    "weight_drop_gru": WeightDropGRU,
}
ATTENTION_DECODERS: dict[str, type[AttentionDecoder]] = {
    "bahdanau": BahdanauDecoder,
    "conditional": ConditionalDecoder,
    "luong": LuongDecoder,
}


def recurrent_layer(cell: str, units: int, *, bidirectional: bool = False, **options: Any) -> keras.layers.Layer:
    """One recurrent layer.

    Args:
        cell: A name in `CELLS`: `simple_rnn`, `lstm`, `gru`, …
        units: Dimension of the state.
        bidirectional: Whether a second layer reads the sequence backwards; outputs are concatenated.
        **options: Arguments of the Keras layer (`return_sequences`, `recurrent_initializer`, `dropout`, …).

    Returns:
        A layer from [batch, time, features] to [batch, units], or [batch, time, units] with `return_sequences`.

    Raises:
        ValueError: There is no such cell; the message lists those there are.

    Example:
        >>> recurrent_layer("gru", 8, return_sequences=True)(keras.ops.zeros((2, 5, 3))).shape
        TensorShape([2, 5, 8])
    """
    layer = find("cell", cell, CELLS)(units, **options)
    return keras.layers.Bidirectional(layer) if bidirectional else layer


def recurrent_stack(
    cell: str, units: int, layers: int = 1, *, dropout: float = 0.0, recurrent_initializer: str = "orthogonal"
) -> RecurrentStack:
    """Recurrent layers on top of one another, with dropout between them and explicit state.

    Args:
        cell: A name in `CELLS`: `simple_rnn`, `lstm`, `gru`, …
        units: Dimension of every layer's state.
        layers: How many.
        dropout: Rate between one layer and the next.
        recurrent_initializer: Of the recurrent kernels: a name in `recur.layers.initializers` or of Keras.

    Raises:
        ValueError: There is no such cell.
    """
    return RecurrentStack(
        [
            recurrent_layer(
                cell,
                units,
                return_sequences=True,
                return_state=True,
                recurrent_initializer=initializer(recurrent_initializer),
            )
            for _ in range(layers)
        ],
        dropout=dropout,
    )


def recurrent_encoder(
    cell: str,
    units: int,
    layers: int = 1,
    *,
    bidirectional: bool = True,
    merge_mode: str = "concat",
    dropout: float = 0.0,
    recurrent_initializer: str = "orthogonal",
) -> RecurrentEncoder:
    """Recurrent layers on top of one another that read in both directions.

    Args:
        cell: A name in `CELLS`: `simple_rnn`, `lstm`, `gru`, …
        units: Dimension of every layer's state, in each direction.
        layers: How many.
        bidirectional: Whether to read backwards too.
        merge_mode: What becomes of the outputs and states of the two directions: `concat` or `sum`.
        dropout: Rate between one layer and the next.
        recurrent_initializer: Of the recurrent kernels.

    Raises:
        ValueError: There is no such cell.
    """
    built = recurrent_stack(cell, units, layers, recurrent_initializer=recurrent_initializer).layers
    if bidirectional:
        built = [keras.layers.Bidirectional(layer, merge_mode=merge_mode) for layer in built]
    return RecurrentEncoder(built, dropout=dropout)


def attention_decoder(
    kind: str,
    cell: str,
    units: int,
    layers: int = 1,
    *,
    attention: str | None = None,
    dropout: float = 0.0,
    **options: Any,
) -> AttentionDecoder:
    """A decoder that attends to a memory.

    Args:
        kind: `bahdanau`, which attends before the recurrent layers, `conditional`, which attends between two
            transitions of the bottom one, or `luong`, which attends after them.
        cell: A name in `CELLS`: `simple_rnn`, `lstm`, `gru`, …
        units: Dimension of every layer's state, of the attention and of the outputs.
        layers: How many recurrent layers.
        attention: A name in `recur.layers.attention.ATTENTIONS`; that of the same paper by default.
        dropout: Rate between one layer and the next.
        **options: Of the decoder's class: `gate` for `bahdanau`, `input_feeding` for `luong`.

    Raises:
        ValueError: There is no such decoder, cell or attention.
    """
    decoder = find("decoder", kind, ATTENTION_DECODERS)
    attention = attention or ("luong_general" if kind == "luong" else "bahdanau")
    stack = recurrent_stack(cell, units, layers, dropout=dropout)
    return decoder(stack, build_attention(attention, units), **options)
