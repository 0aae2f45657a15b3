"""The networks that look at images, by name."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import keras

from apps.image_captioning.efficientnet_lite import SIZE, efficientnet_lite0, pretrained_encoder
from recur.errors import InputError, suggestion


class Encoder(NamedTuple):
    """How to make a network from pixels uint8 [N, height, width, 3] to features [N, rows, columns, channels].

    Attributes:
        build: With random weights: what a run is read into.
        pretrained: With the weights to begin from.
    """

    build: Callable[[], keras.Model]
    pretrained: Callable[[], keras.Model]


# How `preprocess_input` of each network's module treats pixels, as a layer that is saved with the network.
_SYMMETRIC = partial(keras.layers.Rescaling, 1 / 127.5, -1.0)
_CAFFE = partial(keras.layers.Normalization, mean=(103.939, 116.779, 123.68), variance=(1.0, 1.0, 1.0))
_TORCH = partial(
    keras.layers.Normalization,
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
    variance=((0.229 * 255) ** 2, (0.224 * 255) ** 2, (0.225 * 255) ** 2),
)
_WITHIN = partial(keras.layers.Rescaling, 1.0)  # the network does it itself
PREPROCESSING = {
    **dict.fromkeys(("MobileNet", "MobileNetV2", "NASNetMobile", "Xception"), _SYMMETRIC),
    **dict.fromkeys(("InceptionV3", "InceptionResNetV2", "ResNet50V2", "ResNet101V2", "ResNet152V2"), _SYMMETRIC),
    **dict.fromkeys(("VGG16", "VGG19", "ResNet50", "ResNet101", "ResNet152"), _CAFFE),
    **dict.fromkeys(("DenseNet121", "DenseNet169", "DenseNet201"), _TORCH),
    **dict.fromkeys((f"EfficientNetB{size}" for size in range(8)), _WITHIN),
    **dict.fromkeys((f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")), _WITHIN),
    **dict.fromkeys((f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")), _WITHIN),
    **dict.fromkeys(("MobileNetV3Small", "MobileNetV3Large"), _WITHIN),
}
"""Of the networks of `keras.applications`, which come without weights: those are downloaded when training begins."""

ENCODERS = {"efficientnet_lite0": Encoder(efficientnet_lite0, pretrained_encoder)}


def encoder(name: str) -> Encoder:
    """An encoder by its name.

    Args:
        name: One of `ENCODERS`, or a network of `keras.applications` as it is called there, `MobileNetV2` say.

    Raises:
        InputError: There is none of this name.
    """
    if name in ENCODERS:
        return ENCODERS[name]
    if name in PREPROCESSING:
        return Encoder(partial(keras_network, name, None), partial(downloaded_network, name))
    known = [*ENCODERS, *PREPROCESSING]
    hint = suggestion(name, known, f"the encoders are: {', '.join(known)}")
    raise InputError(f"unknown `encoder` {name!r}; {hint}")


def keras_network(name: str, weights: str | None) -> keras.Model:
    """A network of `keras.applications` without its classes, and what is done to pixels before it.

    Args:
        name: A key of `PREPROCESSING`.
        weights: `imagenet`, or none for random ones.
    """
    shape = (SIZE, SIZE, 3)
    network = getattr(keras.applications, name)(include_top=False, weights=weights, input_shape=shape)
    pixels, preprocessing = keras.Input(shape, dtype="uint8", name="pixels"), PREPROCESSING[name]
    ordered = keras.ops.flip(pixels, axis=-1) if preprocessing is _CAFFE else pixels  # blue comes first there
    return keras.Model(pixels, network(preprocessing(name="preprocessing")(ordered)), name=name.lower())


def downloaded_network(name: str) -> keras.Model:
    """The same with the weights that it learnt on ImageNet, from Keras's cache or the network.

    Raises:
        InputError: They cannot be had.
    """
    try:
        return keras_network(name, "imagenet")
    except Exception as error:  # noqa: BLE001 (Keras raises nothing more special where a download fails)
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"cannot get the ImageNet weights of {name} ({reason}); connect to the network, or leave out `encoder`"
        ) from None
