"""The attentions by name."""

from typing import Any

from recur.layers.bahdanau_attention import BahdanauAttention
from recur.layers.luong_attention import LuongDotAttention, LuongGeneralAttention
from recur.layers.memory_attention import MemoryAttention
from recur.layers.multi_head_attention import MultiHeadAttention
from recur.layers.registry import find

ATTENTIONS: dict[str, type[MemoryAttention]] = {
    "bahdanau": BahdanauAttention,
    "luong_dot": LuongDotAttention,
    "luong_general": LuongGeneralAttention,
    "multi_head": MultiHeadAttention,
}


def attention(kind: str, units: int, **options: Any) -> MemoryAttention:
    """An attention over a recurrent memory.

    Args:
        kind: `bahdanau`, `luong_dot`, `luong_general` or `multi_head`.
        units: Width of the space in which query and memory are compared; for Luong's, the width of the query.
        **options: Of the class: `scaled` for `luong_dot`, `heads` for `multi_head`.

    Raises:
        ValueError: There is no such attention; the message lists those there are.

    Example:
        >>> import keras
        >>> context, weights = attention("bahdanau", 8)(keras.ops.ones((2, 4)), keras.ops.ones((2, 7, 6)))
        >>> context.shape, weights.shape
        (TensorShape([2, 6]), TensorShape([2, 7]))
    """
    return find("attention", kind, ATTENTIONS)(units, **options)
