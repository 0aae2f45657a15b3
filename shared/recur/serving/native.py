"""Run a SavedModel as TensorFlow Serving does: its C++ loader, through the C interface, with no graph built by Python.

What `tf.saved_model.load` accepts may still fail in a server, because Python registers operations and keeps objects
alive that a server does not have. Here the shared libraries of the TensorFlow wheel are loaded and nothing else of it:
protocol buffers are TensorBoard's copies of TensorFlow's, the same bytes without the import of all of TensorFlow.
"""

import contextlib
import ctypes
import os
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from tensorboard.compat.proto import attr_value_pb2, meta_graph_pb2, tensor_pb2

from recur.serving.c_interface import NativeError, Pointer, checked, tensorflow_with_text

# TensorFlow's numbers of the types that NumPy has too. Strings are Python objects, for NumPy's own drop trailing NULs.
_DTYPES = {
    **{1: np.float32, 2: np.float64, 3: np.int32, 4: np.uint8, 5: np.int16, 6: np.int8, 7: np.object_, 8: np.complex64},
    **{9: np.int64, 10: np.bool_, 17: np.uint16, 18: np.complex128, 19: np.float16, 22: np.uint32, 23: np.uint64},
}
_NUMBERS = {np.dtype(dtype): number for number, dtype in _DTYPES.items()}


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
        graphs, tags, tf = meta_graphs(path), (ctypes.c_char_p * 1)(tag.encode()), tensorflow_with_text()
        self._tf, self.signatures, self._edges = tf, {}, {}
        with contextlib.ExitStack() as undo:
            graph, options = tf.TF_NewGraph(), tf.TF_NewSessionOptions()
            undo.callback(tf.TF_DeleteGraph, graph)
            undo.callback(tf.TF_DeleteSessionOptions, options)
            arguments = (options, None, os.fsencode(path), tags, 1, graph, None)
            self._session = checked(tf, tf.TF_LoadSessionFromSavedModel, *arguments)
            undo.callback(checked, tf, tf.TF_DeleteSession, self._session)
            definitions = next(each for each in graphs if set(each.meta_info_def.tags) == {tag}).signature_def
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
                checked(self._tf, self._tf.TF_SessionRun, self._session, None, *ends, None, 0, None)
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
            if info.dtype not in _DTYPES or not edges[-1].operation:
                raise ValueError(f"tensor '{name}' of a signature is sparse, ragged or of a type that NumPy lacks")
            shape = tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)
            specs[name] = np.dtype(_DTYPES[info.dtype]), None if info.tensor_shape.unknown_rank else shape
        return specs, (_Edge * len(edges))(*edges)

    def _to_tensor(self, array: np.ndarray, stack: contextlib.ExitStack) -> Pointer:
        """A new tensor, which `stack` deletes."""
        # Made from a TensorProto, as a server does: TensorFlow then owns the strings. Written in place by TF_StringCopy
        # they would be ours to free, and we cannot know when: a graph may keep what it was fed, in a variable for one.
        content = {"string_val": array.ravel()} if array.dtype.kind == "O" else {"tensor_content": array.tobytes()}
        shape = {"dim": [{"size": size} for size in array.shape]}
        data = tensor_pb2.TensorProto(dtype=_NUMBERS[array.dtype], tensor_shape=shape, **content).SerializeToString()
        tensor = self._tf.TF_AllocateTensor(_NUMBERS[np.dtype(np.uint8)], None, 0, ctypes.c_size_t(1))  # to be replaced
        stack.callback(self._tf.TF_DeleteTensor, tensor)
        buffer = self._tf.TF_NewBufferFromString(data, ctypes.c_size_t(len(data)))
        stack.callback(self._tf.TF_DeleteBuffer, buffer)
        checked(self._tf, self._tf.TF_TensorFromProto, buffer, tensor)
        return tensor

    def _from_tensor(self, tensor: Pointer) -> np.ndarray:
        """A copy of what a tensor holds."""
        tf, data = self._tf, self._tf.TF_TensorData(tensor)
        shape = [tf.TF_Dim(tensor, axis) for axis in range(tf.TF_NumDims(tensor))]
        array = np.empty(shape, _DTYPES[tf.TF_TensorType(tensor)])
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
        casting = "equiv" if typed else "unsafe" if integers or array.size == 0 else "same_kind"
        with np.errstate(over="raise"):
            cast = array.astype(dtype, casting=casting, copy=False)
        if integers and (cast != array).any():
            raise ValueError("a number is out of range")
        return cast
    except (TypeError, ValueError, FloatingPointError) as error:  # also: lists of unequal lengths, broken surrogates
        raise ValueError(f"input '{name}' takes {'strings' if dtype.kind == 'O' else dtype}: {error}") from None


def meta_graphs(path: str | Path) -> list[meta_graph_pb2.MetaGraphDef]:
    """The graphs of a SavedModel by their tags, read from the file and not loaded.

    Raises:
        FileNotFoundError: There is no `saved_model.pb`.
        NativeError: It is no SavedModel.
    """
    file = Path(path, "saved_model.pb")
    if not file.is_file():
        raise FileNotFoundError(f"no SavedModel in '{path}': it has no saved_model.pb")
    try:
        # A SavedModel is a list of graphs in field 2. TensorBoard has no copy of it, but of a list of bytes in field 2.
        graphs = attr_value_pb2.AttrValue.ListValue.FromString(file.read_bytes()).s
        return [meta_graph_pb2.MetaGraphDef.FromString(graph) for graph in graphs]
    except DecodeError as error:
        raise NativeError(f"'{file}' is no SavedModel: {error}", 15) from error


def operations(path: str | Path) -> set[str]:
    """The types of all operations in a SavedModel and its functions, read from the file; raises as loading does."""
    graphs = [meta_graph.graph_def for meta_graph in meta_graphs(path)]
    functions = [function for graph in graphs for function in graph.library.function]
    return {node.op for nodes in (*(g.node for g in graphs), *(f.node_def for f in functions)) for node in nodes}


def must_compile_functions(path: str | Path) -> list[str]:
    """What XLA must compile: names of functions, and of nodes as `node` or `function/node`; raises as loading does."""
    graphs = [meta_graph.graph_def for meta_graph in meta_graphs(path)]
    functions = [(function.signature.name, function) for graph in graphs for function in graph.library.function]
    nodes = [(node.name, node) for graph in graphs for node in graph.node]
    nodes += [(f"{name}/{node.name}", node) for name, function in functions for node in function.node_def]
    return sorted({name for name, item in functions + nodes if item.attr["_XlaMustCompile"].b})
