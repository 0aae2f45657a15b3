"""Runs a SavedModel as TensorFlow Serving does: its C++ loader, through the C interface, with no graph built by Python.

What `tf.saved_model.load` accepts may still fail in a server, because Python registers operations and keeps objects
alive that a server does not have. Here the shared libraries of the TensorFlow wheel are loaded by ctypes and nothing
else of it: protocol buffers are TensorBoard's copies of TensorFlow's, the same bytes without the import of all of
TensorFlow.
"""

import contextlib
import ctypes
import functools
import importlib.util
import os
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from tensorboard.compat.proto import attr_value_pb2, meta_graph_pb2, tensor_pb2

from tfserving_dev.codec import DTYPES, NUMBERS

GRAPH = "saved_model.pb"
"""The file of a SavedModel that makes a folder one."""


class NativeError(RuntimeError):
    """TensorFlow could not load or run a SavedModel: its own message and `code` (gRPC's: 3 is a bad argument)."""

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code


class Pointer(ctypes.c_void_p):
    """A handle of TensorFlow's. As a subclass it stays a pointer, where ctypes turns a plain `c_void_p` into an int."""


class Signature(NamedTuple):
    """What goes in and out: name -> (type, `object` for strings; shape, `None` where a size or the rank may vary)."""

    inputs: dict[str, tuple[np.dtype, tuple[int | None, ...] | None]]
    outputs: dict[str, tuple[np.dtype, tuple[int | None, ...] | None]]


class _Edge(ctypes.Structure):
    _fields_ = (("operation", Pointer), ("index", ctypes.c_int))


class NativeSavedModel(contextlib.AbstractContextManager):
    """A SavedModel in a C++ session: variables restored and tables initialised as in a server. Close it after use.

    Args:
        path: The folder that holds `saved_model.pb`: one version of a model, not the folder of its versions.
        tag: The tag of the graph to load.

    Attributes:
        signatures: What each signature takes and returns: a dictionary of `Signature` by name.

    Raises:
        FileNotFoundError: There is no `saved_model.pb`.
        ValueError: A signature has a tensor that is sparse, ragged or of a type that NumPy lacks.
        NativeError: TensorFlow cannot load it, for want of an operation for example.
    """

    def __init__(self, path: str | Path, tag: str = "serve"):
        graphs, tags, tf = _meta_graphs(path), (ctypes.c_char_p * 1)(tag.encode()), _tensorflow_with_text()
        self._tf, self.signatures, self._edges = tf, {}, {}
        with contextlib.ExitStack() as undo:
            graph, options = tf.TF_NewGraph(), tf.TF_NewSessionOptions()
            undo.callback(tf.TF_DeleteGraph, graph)
            undo.callback(tf.TF_DeleteSessionOptions, options)
            arguments = (options, None, os.fsencode(path), tags, 1, graph, None)
            self._session = _checked(tf, tf.TF_LoadSessionFromSavedModel, *arguments)
            undo.callback(_checked, tf, tf.TF_DeleteSession, self._session)
            definitions = next(one for one in graphs if set(one.meta_info_def.tags) == {tag}).signature_def
            for name, definition in sorted(definitions.items()):
                if not name.startswith("__saved_model"):  # the initialising operation is listed like a signature
                    inputs, feeds = self._endpoints(graph, definition.inputs)
                    outputs, fetches = self._endpoints(graph, definition.outputs)
                    self.signatures[name], self._edges[name] = Signature(inputs, outputs), (feeds, fetches)
            self._undo = undo.pop_all()  # for `close`, when the model is collected, or when the interpreter ends
            self._finalizer = weakref.finalize(self, self._undo.close)

    def run(self, inputs: Mapping[str, np.ndarray | list], signature: str = "serving_default") -> dict[str, np.ndarray]:
        """Answer a request. Threads may call it at once. As in a server, it is the graph that checks shapes.

        Args:
            inputs: An array, list or scalar for each input, of any shape. An array must have the input's type; Python
                numbers are converted where none is out of range. Strings are `bytes`, or `str` to be sent as UTF-8.
            signature: The name of the signature.

        Returns:
            An array for each output; strings are arrays of `bytes` objects.

        Raises:
            ValueError: The model has no such signature or input, a value has the wrong type, or the model is closed.
            NativeError: TensorFlow failed while running.
        """
        if not self._finalizer.alive:
            raise ValueError("the model is closed")
        if signature not in self.signatures:
            raise ValueError(f"no signature '{signature}': the model has {sorted(self.signatures)}")
        takes, returns = self.signatures[signature]
        if inputs.keys() != takes.keys():
            raise ValueError(f"signature '{signature}' takes {sorted(takes)}, not {sorted(inputs)}")
        arrays = [_to_array(name, inputs[name], dtype) for name, (dtype, _) in takes.items()]
        feeds, fetches = self._edges[signature]
        with contextlib.ExitStack() as stack:
            values = (Pointer * len(feeds))(*[self._to_tensor(array, stack) for array in arrays])
            results = (Pointer * len(fetches))()
            ends = (feeds, values, len(feeds), fetches, results, len(fetches))
            try:
                _checked(self._tf, self._tf.TF_SessionRun, self._session, None, *ends, None, 0, None)
            except NativeError:
                # TensorFlow reports a function that it cannot instantiate before its thread has released a lock in the
                # session. To delete that session can abort the process, so one that failed is never deleted.
                self._undo.pop_all()
                raise
            for result in results:
                stack.callback(self._tf.TF_DeleteTensor, result)
            return {name: self._from_tensor(result) for name, result in zip(returns, results, strict=True)}

    def close(self) -> None:
        """Free the session with its variables and tables, unless a run failed; closing twice is no error."""
        self._finalizer()

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _endpoints(self, graph: Pointer, infos: Mapping) -> tuple[dict[str, tuple], ctypes.Array]:
        """Type and shape of each `TensorInfo` by name, and the graph's edges in the same order."""
        specs, edges = {}, []
        for name, info in sorted(infos.items()):
            operation, _, index = info.name.partition(":")
            edges.append(_Edge(self._tf.TF_GraphOperationByName(graph, operation.encode()), int(index or 0)))
            if info.dtype not in DTYPES or not edges[-1].operation:
                raise ValueError(f"tensor '{name}' of a signature is sparse, ragged or of a type that NumPy lacks")
            shape = tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)
            specs[name] = DTYPES[info.dtype], None if info.tensor_shape.unknown_rank else shape
        return specs, (_Edge * len(edges))(*edges)

    def _to_tensor(self, array: np.ndarray, stack: contextlib.ExitStack) -> Pointer:
        """A new tensor, which `stack` deletes."""
        # Made from a TensorProto, as a server does: TensorFlow then owns the strings. Written in place by TF_StringCopy
        # they would be ours to free, and we cannot know when: a graph may keep what it was fed, in a variable for one.
        content = {"string_val": array.ravel()} if array.dtype.kind == "O" else {"tensor_content": array.tobytes()}
        shape = {"dim": [{"size": size} for size in array.shape]}
        data = tensor_pb2.TensorProto(dtype=NUMBERS[array.dtype], tensor_shape=shape, **content).SerializeToString()
        tensor = self._tf.TF_AllocateTensor(NUMBERS[np.dtype(np.uint8)], None, 0, ctypes.c_size_t(1))  # to be replaced
        stack.callback(self._tf.TF_DeleteTensor, tensor)
        buffer = self._tf.TF_NewBufferFromString(data, ctypes.c_size_t(len(data)))
        stack.callback(self._tf.TF_DeleteBuffer, buffer)
        _checked(self._tf, self._tf.TF_TensorFromProto, buffer, tensor)
        return tensor

    def _from_tensor(self, tensor: Pointer) -> np.ndarray:
        """A copy of what a tensor holds."""
        tf, data = self._tf, self._tf.TF_TensorData(tensor)
        shape = [tf.TF_Dim(tensor, axis) for axis in range(tf.TF_NumDims(tensor))]
        array = np.empty(shape, DTYPES[tf.TF_TensorType(tensor)])
        if array.dtype.kind != "O":
            ctypes.memmove(array.ctypes.data, data, array.nbytes)
            return array
        strings = [Pointer(data.value + 24 * index) for index in range(array.size)]  # sizeof(TF_TString)
        items = (ctypes.string_at(tf.TF_StringGetDataPointer(s), tf.TF_StringGetSize(s)) for s in strings)
        return np.fromiter(items, array.dtype, array.size).reshape(shape)


def _to_array(name: str, value: object, dtype: np.dtype) -> np.ndarray:
    """`value` as an array of `dtype`; `ValueError` where that would change what it says."""
    try:
        array = np.asarray(value, dtype=dtype if dtype.kind == "O" else None)
        if dtype.kind == "O":  # the join refuses what is not bytes
            items = (item.encode() if isinstance(item, str) else b"".join((item,)) for item in array.flat)
            return np.fromiter(items, dtype, array.size).reshape(array.shape)
        typed, integers = isinstance(value, np.ndarray | np.generic), {array.dtype.kind, dtype.kind} <= {"i", "u"}
        casting: Literal["equiv", "unsafe", "same_kind"]
        casting = "equiv" if typed else "unsafe" if integers or array.size == 0 else "same_kind"
        with np.errstate(over="raise"):
            cast = array.astype(dtype, casting=casting, copy=False)
        if integers and (cast != array).any():
            raise ValueError("a number is out of range")
        return cast
    except (TypeError, ValueError, FloatingPointError) as error:  # also: lists of unequal lengths, broken surrogates
        raise ValueError(f"input '{name}' takes {'strings' if dtype.kind == 'O' else dtype}: {error}") from None


def _meta_graphs(path: str | Path) -> list[meta_graph_pb2.MetaGraphDef]:
    """The graphs of a SavedModel by their tags, read from the file and not loaded.

    Raises:
        FileNotFoundError: There is no `saved_model.pb`.
        NativeError: It is no SavedModel.
    """
    file = Path(path, GRAPH)
    if not file.is_file():
        raise FileNotFoundError(f"no SavedModel in '{path}': it has no {GRAPH}")
    try:
        # A SavedModel is a list of graphs in field 2. TensorBoard has no copy of it, but of a list of bytes in field 2.
        graphs = attr_value_pb2.AttrValue.ListValue.FromString(file.read_bytes()).s
        return [meta_graph_pb2.MetaGraphDef.FromString(graph) for graph in graphs]
    except DecodeError as error:
        raise NativeError(f"'{file}' is no SavedModel: {error}", 15) from error


_RESULTS = {  # of the functions that return more than an int
    **dict.fromkeys(("TF_NewStatus", "TF_NewSessionOptions", "TF_NewGraph", "TF_GraphOperationByName"), Pointer),
    **dict.fromkeys(("TF_LoadSessionFromSavedModel", "TF_LoadLibrary", "TF_AllocateTensor", "TF_TensorData"), Pointer),
    **dict.fromkeys(("TF_NewBufferFromString", "TF_StringGetDataPointer"), Pointer),
    **{"TF_Message": ctypes.c_char_p, "TF_Dim": ctypes.c_int64, "TF_StringGetSize": ctypes.c_size_t},
}


@functools.cache
def _tensorflow_with_text() -> ctypes.CDLL:
    """TensorFlow's C interface, no second copy where Python has loaded it, with the operations of TF.Text.

    TensorFlow Serving is linked with those.

    Raises:
        NativeError: There is no such library.
    """
    folder, text = _folder("tensorflow"), _folder("tensorflow_text")
    libraries = list(folder.glob("libtensorflow_cc.*")) if folder else []
    if not libraries:
        raise NativeError("no libtensorflow_cc: install the `tensorflow` wheel for Linux or macOS", 9)
    tf = ctypes.CDLL(str(libraries[0]))
    for name, result in _RESULTS.items():
        getattr(tf, name).restype = result
    # TF.Text keeps its libraries of operations below `python`, and Python's own extension modules elsewhere.
    for path in sorted(text.glob("python/**/_*")) if text else ():
        if path.suffix in (".so", ".dylib"):  # which stays loaded without its handle
            tf.TF_DeleteLibraryHandle(_checked(tf, tf.TF_LoadLibrary, os.fsencode(path)))
    return tf


def _folder(package: str) -> Path | None:
    """Where a package is, found without importing it."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def _checked(tf: ctypes.CDLL, function: Callable, *arguments: object) -> object:
    """Calls a function whose last argument is a status, and raises `NativeError` if it reports an error there."""
    status = tf.TF_NewStatus()
    with contextlib.ExitStack() as stack:
        stack.callback(tf.TF_DeleteStatus, status)
        result = function(*arguments, status)
        if code := tf.TF_GetCode(status):
            raise NativeError(tf.TF_Message(status).decode("utf-8", "replace"), code)
        return result
