"""Builders: recurrent layers, stacks, encoders, decoders and whole networks by the names that the literature uses.

Applications name a cell and never a class, so that a faster implementation takes its place in `CELLS` alone. Networks
come in the shapes of Karpathy 2015 (`recurrent_network("many_to_one", …)`). They take and give features,
[batch, time, features]; embeddings, heads and losses are the application's.
"""

from collections.abc import Callable
from typing import Any

import keras

from recur.errors import lookup
from recur.layers.attention import attention as build_attention
from recur.layers.decoders import AttentionDecoder, BahdanauDecoder, ConditionalDecoder, Decoder, LuongDecoder
from recur.layers.initializers import initializer
from recur.layers.networks import EncoderDecoder, ManyToOne, OneToOne, RecurrentEncoder
from recur.layers.pooling import pooling as build_pooling
from recur.layers.recurrent import GRU, LSTM, SimpleRNN
from recur.layers.regularization import LayerNormLSTM, WeightDropGRU, WeightDropLSTM, WeightDropSimpleRNN, ZoneoutLSTM
from recur.layers.stack import RecurrentStack

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
    layer = lookup("cell", cell, CELLS)(units, **options)
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
    decoder = lookup("decoder", kind, ATTENTION_DECODERS)
    attention = attention or ("luong_general" if kind == "luong" else "bahdanau")
    stack = recurrent_stack(cell, units, layers, dropout=dropout)
    return decoder(stack, build_attention(attention, units), **options)


def one_to_one(cell: str, units: int, layers: int = 1, **options: Any) -> OneToOne:
    """From a vector [batch, features] to a vector; options of `recurrent_stack`."""
    return OneToOne(recurrent_stack(cell, units, layers, **options))


def one_to_many(cell: str, units: int, layers: int = 1, **options: Any) -> Decoder:
    """From a vector to the sequence that it conditions; options of `recurrent_stack`.

    Where there is more than a vector to look at, as in the regions of an image, take `attention_decoder`.
    """
    return Decoder(recurrent_stack(cell, units, layers, **options))


def many_to_one(cell: str, units: int, layers: int = 1, *, pooling: str = "last", **options: Any) -> ManyToOne:
    """From a sequence to one vector.

    Args:
        cell: A name in `recur.layers.builders.CELLS`.
        units: Dimension of every layer's state, in each direction, and of the attention's query.
        layers: How many.
        pooling: `last`, `max`, `mean`, `attention` or `concat`.
        **options: Of `recurrent_encoder`.

    Raises:
        ValueError: There is no such cell or pooling.
    """
    encoder = recurrent_encoder(cell, units, layers, **options)
    directions = {"bidirectional": encoder.bidirectional}
    settings: dict[str, dict[str, Any]] = {"last": directions, "concat": directions, "attention": {"units": units}}
    return ManyToOne(encoder, build_pooling(pooling, **settings.get(pooling, {})))


def many_to_many(
    cell: str, units: int, layers: int = 1, *, bidirectional: bool = False, **options: Any
) -> RecurrentStack | RecurrentEncoder:
    """From a sequence to one as long: outputs [batch, time, units] and the states after the last step.

    Forward only, it is a stack, which goes on from its states; in both directions, an encoder, whose output at a step
    knows what follows. Options are those of `recurrent_stack` and `recurrent_encoder`.
    """
    return (recurrent_encoder if bidirectional else recurrent_stack)(cell, units, layers, **options)


def encoder_decoder(
    cell: str,
    units: int,
    layers: int = 1,
    *,
    decoder: str = "bahdanau",
    merge_mode: str = "concat",
    dropout: float = 0.0,
    **options: Any,
) -> EncoderDecoder:
    """From a sequence to one of another length, by an encoder in both directions and a decoder with attention.

    Args:
        cell: A name in `recur.layers.builders.CELLS`.
        units: Dimension of every state, in each direction.
        layers: How many, on each side.
        decoder: `bahdanau`, `conditional` or `luong`.
        merge_mode: Of the encoder's two directions: `concat` or `sum`.
        dropout: Rate between one layer and the next.
        **options: Of `attention_decoder`.

    Raises:
        ValueError: There is no such cell, decoder or attention.
    """
    encoder = recurrent_encoder(cell, units, layers, merge_mode=merge_mode, dropout=dropout)
    return EncoderDecoder(encoder, attention_decoder(decoder, cell, units, layers, dropout=dropout, **options))


NETWORKS: dict[str, Callable[..., keras.layers.Layer]] = {
    "one_to_one": one_to_one,
    "one_to_many": one_to_many,
    "many_to_one": many_to_one,
    "many_to_many": many_to_many,
    "encoder_decoder": encoder_decoder,
}


def recurrent_network(shape: str, cell: str, units: int, layers: int = 1, **options: Any) -> keras.layers.Layer:
    """A recurrent network of one of the shapes.

    Args:
        shape: `one_to_one`, `one_to_many`, `many_to_one`, `many_to_many` or `encoder_decoder`.
        cell: A name in `recur.layers.builders.CELLS`.
        units: Dimension of every state.
        layers: How many recurrent layers.
        **options: Of the function that goes by the shape's name.

    Raises:
        ValueError: There is no such shape; the message lists those there are.

    Example:
        >>> recurrent_network("many_to_one", "gru", 8, pooling="max")(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 16])
    """
    return lookup("shape", shape, NETWORKS)(cell, units, layers, **options)
