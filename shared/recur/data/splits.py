"""Divisions of data that depend on nothing but a seed and the examples themselves."""

import hashlib
import math
from collections.abc import Iterable, Mapping

from recur.errors import InputError


def keyed_order(keys: Iterable[str], seed: int) -> list[str]:
    """Distinct keys in an order by chance: that of a keyed hash.

    Which of two keys comes first does not depend on what other keys there are, nor on the order they come in; so what
    is held out of the front stays held out, all but a little, when the data grows.

    Args:
        keys: Names or texts.
        seed: Of the order.
    """

    def keyed(text: str) -> bytes:
        return hashlib.blake2b(text.encode(errors="surrogatepass"), key=str(seed).encode(), digest_size=8).digest()

    return sorted(set(keys), key=lambda text: (keyed(text), text))


def hold_out(
    source: str, rows: Mapping[str, int], fractions: Mapping[str, float], seed: int, examples: str, keys: str
) -> dict[str, str]:
    """Divides keys into train and the parts that fractions name, in the order of `keyed_order`.

    Args:
        source: What is divided, for the message.
        rows: The examples that each key stands for: they are in the same part.
        fractions: Of all examples, by the name of a part; the configuration's field is `PART_fraction`.
        seed: Of the order.
        examples: What the examples are, for the message: `pairs`.
        keys: What the keys are, for the message: `different source sentences`.

    Returns:
        The part of every key that is held out; the others are train's.

    Raises:
        InputError: Shares that leave nothing, or too few keys to hold out any and to leave some.

    Example:
        >>> hold_out("pairs.tsv", {"a": 1, "b": 1, "c": 1, "d": 1}, {"test": 0.25}, 0, "pairs", "sentences")
        {'a': 'test'}
    """
    least, everything = min(fractions.values()), sum(rows.values())
    if least <= 0 or sum(fractions.values()) >= 1:
        shares = " and ".join(f"{fraction:g}" for fraction in fractions.values())
        fields = " and ".join(f"`{part}_fraction`" for part in fractions)
        raise InputError(f"{shares} of the {examples} cannot be held out; give {fields} above 0, below 1 together")
    if len(rows) < (needed := math.ceil(1 / least)):
        raise InputError(
            f"{source} has too few {examples}: {len(rows):,} {keys} to divide, and holding out {100 * least:g}% "
            f"needs {needed:,}; give more, or raise `{min(fractions, key=lambda part: fractions[part])}_fraction`"
        )
    part_of: dict[str, str] = {}
    order = keyed_order(rows, seed)
    for part, fraction in fractions.items():
        left = int(everything * fraction)
        for key in order:
            if key not in part_of and rows[key] <= left:
                part_of[key] = part
                left -= rows[key]
    return part_of
