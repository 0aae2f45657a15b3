"""The networks that look at images, by name."""

from collections.abc import Callable
from typing import NamedTuple

import keras

from apps.image_captioning.efficientnet_lite import efficientnet_lite0, pretrained_encoder
from shared.layers.registry import find


class Encoder(NamedTuple):
    """How to make a network from pixels uint8 [N, height, width, 3] to features [N, rows, columns, channels].

    Attributes:
        build: With random weights: what a run is read into.
        pretrained: With the weights to begin from.
    """

    build: Callable[[], keras.Model]
    pretrained: Callable[[], keras.Model]


ENCODERS = {"efficientnet_lite0": Encoder(efficientnet_lite0, pretrained_encoder)}


def encoder(name: str) -> Encoder:
    """An encoder by its name.

    Raises:
        ValueError: There is none of this name; the message lists those there are.
    """
    return find("encoder", name, ENCODERS)
