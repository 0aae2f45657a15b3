"""Recurrent networks in the shapes of Karpathy 2015: `recurrent_network("many_to_one", …)`.

They take and give features, [batch, time, features]; embeddings, heads and losses are the application's.
"""

from collections.abc import Callable
from typing import Any

import keras

from recur.layers.builders import attention_decoder, recurrent_encoder, recurrent_stack
from recur.layers.decoder import Decoder
from recur.layers.encoder import RecurrentEncoder
from recur.layers.encoder_decoder import EncoderDecoder
from recur.layers.many_to_one import ManyToOne
from recur.layers.one_to_one import OneToOne
from recur.layers.pooling import pooling as build_pooling
from recur.layers.registry import find
from recur.layers.stack import RecurrentStack


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
    settings = {"last": directions, "concat": directions, "attention": {"units": units}}
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
    return find("shape", shape, NETWORKS)(cell, units, layers, **options)
