"""Divisions of data that depend on nothing but a seed and the examples themselves."""

import hashlib
from collections.abc import Iterable


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
