"""Recurrent layers for Keras 3, and the attentions, decoders, poolings, initializers and builders around them.

`LSTM`, `GRU` and `SimpleRNN` are Keras's, only faster. The builders make layers, stacks and networks by the names that
the literature uses, `recurrent_network("many_to_one", "gru", 8)` say; an attention by its name is
`recur.layers.attention.attention`, a pooling `recur.layers.pooling.pooling`.

Example:
    >>> import keras
    >>> LSTM(8, return_sequences=True)(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 5, 8])
"""

from recur.layers.attention import (
    BahdanauAttention,
    LuongDotAttention,
    LuongGeneralAttention,
    MemoryAttention,
    MultiHeadAttention,
    ProjectedMemory,
)
from recur.layers.builders import (
    attention_decoder,
    encoder_decoder,
    many_to_many,
    many_to_one,
    one_to_many,
    one_to_one,
    recurrent_encoder,
    recurrent_layer,
    recurrent_network,
    recurrent_stack,
)
from recur.layers.decoders import (
    AttentionDecoder,
    BahdanauDecoder,
    ConditionalDecoder,
    Decoder,
    LuongDecoder,
    StateBridge,
)
from recur.layers.initializers import BlockIdentity, BlockOrthogonal, ChronoBias, ForgetBias, initializer
from recur.layers.networks import EncoderDecoder, ManyToOne, OneToOne, RecurrentEncoder
from recur.layers.pooling import AttentionPooling, ConcatPooling, LastPooling, MaxPooling, MeanPooling, SequencePooling
from recur.layers.recurrent import GRU, LSTM, SimpleRNN
from recur.layers.regularization import (
    CellLayer,
    DropoutEmbedding,
    LayerNormLSTM,
    LayerNormLSTMCell,
    WeightDrop,
    WeightDropGRU,
    WeightDropLSTM,
    WeightDropSimpleRNN,
    ZoneoutLSTM,
    ZoneoutLSTMCell,
)
from recur.layers.stack import RecurrentStack

__all__ = [
    "BahdanauAttention",
    "LuongDotAttention",
    "LuongGeneralAttention",
    "MemoryAttention",
    "MultiHeadAttention",
    "ProjectedMemory",
    "attention_decoder",
    "encoder_decoder",
    "many_to_many",
    "many_to_one",
    "one_to_many",
    "one_to_one",
    "recurrent_encoder",
    "recurrent_layer",
    "recurrent_network",
    "recurrent_stack",
    "AttentionDecoder",
    "BahdanauDecoder",
    "ConditionalDecoder",
    "Decoder",
    "LuongDecoder",
    "StateBridge",
    "BlockIdentity",
    "BlockOrthogonal",
    "ChronoBias",
    "ForgetBias",
    "initializer",
    "EncoderDecoder",
    "ManyToOne",
    "OneToOne",
    "RecurrentEncoder",
    "AttentionPooling",
    "ConcatPooling",
    "LastPooling",
    "MaxPooling",
    "MeanPooling",
    "SequencePooling",
    "GRU",
    "LSTM",
    "SimpleRNN",
    "CellLayer",
    "DropoutEmbedding",
    "LayerNormLSTM",
    "LayerNormLSTMCell",
    "WeightDrop",
    "WeightDropGRU",
    "WeightDropLSTM",
    "WeightDropSimpleRNN",
    "ZoneoutLSTM",
    "ZoneoutLSTMCell",
    "RecurrentStack",
]
