"""Requests to one batch and its answers back to each, as pure functions on arrays by name.

The first dimension of every input and output is the batch. What has no such dimension, or differs in another, cannot be
put together and runs by itself.
"""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

Arrays = Mapping[str, np.ndarray]


def rows_of(inputs: Arrays) -> int | None:
    """The size of the batch dimension that all inputs share; `None` where they do not, or have no element."""
    sizes = {array.shape[0] if array.ndim else None for array in inputs.values()}
    if len(sizes) != 1:
        return None
    return sizes.pop() or None


def form_of(inputs: Arrays) -> Hashable:
    """Equal for requests that can be put together: names, types, and shapes without the batch dimension."""
    return tuple((name, array.dtype.str, array.shape[1:]) for name, array in sorted(inputs.items()))


def padded_size(rows: int, allowed: Sequence[int]) -> int:
    """The first of the allowed sizes that holds so many rows; `rows` where none does.

    Example:
        >>> padded_size(5, (4, 8, 16))
        8
    """
    return next((size for size in allowed if size >= rows), rows)


def concatenate(requests: Sequence[Arrays], size: int) -> dict[str, np.ndarray]:
    """One batch of `size` rows: the requests' in order, then copies of a row that is known to be a row.

    As in TensorFlow Serving, that is the first row of the last request.
    """
    missing = size - sum(len(next(iter(request.values()))) for request in requests)
    batch = {}
    for name in requests[0]:
        parts = [request[name] for request in requests]
        if missing > 0:
            parts.append(np.repeat(parts[-1][:1], missing, axis=0))
        batch[name] = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return batch


def split(outputs: Arrays, sizes: Sequence[int], size: int) -> list[dict[str, np.ndarray]] | None:
    """Each request's rows of a batch's outputs.

    Args:
        outputs: Arrays of the whole batch.
        sizes: Rows of each request.
        size: Rows of the batch, with those it was filled up with.

    Returns:
        Arrays for each request; `None` where an output's first dimension is not the batch.
    """
    if any(array.ndim == 0 or array.shape[0] != size for array in outputs.values()):
        return None
    ends = np.cumsum(sizes).tolist()
    return [
        {name: array[end - rows : end] for name, array in outputs.items()}
        for rows, end in zip(sizes, ends, strict=True)
    ]
