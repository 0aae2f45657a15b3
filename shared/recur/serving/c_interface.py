"""TensorFlow's C interface by ctypes: the shared libraries of the wheel, and nothing that Python adds to them."""

import contextlib
import ctypes
import functools
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path


class NativeError(RuntimeError):
    """TensorFlow could not load or run a SavedModel: its own message and `code` (gRPC's: 3 is a bad argument)."""

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code


class Pointer(ctypes.c_void_p):
    """A handle of TensorFlow's. As a subclass it stays a pointer, where ctypes turns a plain `c_void_p` into an int."""


class Buffer(ctypes.Structure):
    """TF_Buffer: bytes, how many, and who frees them."""

    _fields_ = (("data", ctypes.c_void_p), ("length", ctypes.c_size_t), ("free", ctypes.c_void_p))


_RESULTS = {  # of the functions that return more than an int
    **dict.fromkeys(("TF_NewStatus", "TF_NewSessionOptions", "TF_NewGraph", "TF_GraphOperationByName"), Pointer),
    **dict.fromkeys(("TF_LoadSessionFromSavedModel", "TF_LoadLibrary", "TF_AllocateTensor", "TF_TensorData"), Pointer),
    **dict.fromkeys(("TF_NewBufferFromString", "TF_StringGetDataPointer"), Pointer),
    **dict.fromkeys(("TF_GetAllOpList", "TF_GetAllRegisteredKernels"), ctypes.POINTER(Buffer)),
    **{"TF_Message": ctypes.c_char_p, "TF_Dim": ctypes.c_int64, "TF_StringGetSize": ctypes.c_size_t},
}


@functools.cache
def stock_tensorflow() -> ctypes.CDLL:
    """TensorFlow's C interface, which is no second copy where Python has loaded it.

    Raises:
        NativeError: There is no such library.
    """
    folder = _folder("tensorflow")
    libraries = list(folder.glob("libtensorflow_cc.*")) if folder else []
    if not libraries:
        raise NativeError("no libtensorflow_cc: install the `tensorflow` wheel for Linux or macOS", 9)
    tf = ctypes.CDLL(str(libraries[0]))
    for name, result in _RESULTS.items():
        getattr(tf, name).restype = result
    return tf


@functools.cache
def tensorflow_with_text() -> ctypes.CDLL:
    """The same with the operations of TF.Text, as TensorFlow Serving is linked."""
    tf, text = stock_tensorflow(), _folder("tensorflow_text")
    # TF.Text keeps its libraries of operations below `python`, and Python's own extension modules elsewhere.
    for path in sorted(text.glob("python/**/_*")) if text else ():
        if path.suffix in (".so", ".dylib"):  # which stays loaded without its handle
            tf.TF_DeleteLibraryHandle(checked(tf, tf.TF_LoadLibrary, os.fsencode(path)))
    return tf


def _folder(package: str) -> Path | None:
    """Where a package is, found without importing it."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def checked(tf: ctypes.CDLL, function: Callable, *arguments: object) -> object:
    """Calls a function whose last argument is a status, and raises `NativeError` if it reports an error there."""
    status = tf.TF_NewStatus()
    with contextlib.ExitStack() as stack:
        stack.callback(tf.TF_DeleteStatus, status)
        result = function(*arguments, status)
        if code := tf.TF_GetCode(status):
            raise NativeError(tf.TF_Message(status).decode("utf-8", "replace"), code)
        return result


def content_of(tf: ctypes.CDLL, buffer: "ctypes._Pointer[Buffer]") -> bytes:
    """The bytes of a buffer, which is freed."""
    content = ctypes.string_at(buffer.contents.data, buffer.contents.length)
    tf.TF_DeleteBuffer(buffer)
    return content
