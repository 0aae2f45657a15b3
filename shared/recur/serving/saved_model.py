"""SavedModels read from their files, not loaded; and which operations a stock TensorFlow Serving has for them.

Those are the operations of TensorFlow's C++ library and those of TF.Text. TensorFlow is asked itself, in a process of
its own that loads the C++ library of the wheel and nothing of Python's TensorFlow, which would register more
(`EagerPyFunc` for one). An operation counts where it is registered and has a kernel for the CPU. Then the libraries of
TF.Text are loaded, which TensorFlow Serving is linked with (its `SUPPORTED_TENSORFLOW_OPS`), and what has come is
TF.Text's. The lists are those of the installed version: a much older server may lack one of them.

Protocol buffers are TensorBoard's copies of TensorFlow's: the same bytes without the import of all of TensorFlow.
"""

import ctypes
import functools
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message
from tensorboard.compat.proto import attr_value_pb2, meta_graph_pb2, op_def_pb2

GRAPH = "saved_model.pb"
"""The file of a SavedModel that makes a folder one."""
_PLACES = ("CPU", "DEFAULT")  # of a kernel; DEFAULT is for any device that has none of its own


def meta_graphs(path: str | Path) -> list[meta_graph_pb2.MetaGraphDef]:
    """The graphs of a SavedModel by their tags, read from the file and not loaded.

    Raises:
        FileNotFoundError: There is no `saved_model.pb`.
        ValueError: It is no SavedModel.
    """
    file = Path(path, GRAPH)
    if not file.is_file():
        raise FileNotFoundError(f"no SavedModel in '{path}': it has no {GRAPH}")
    try:
        # A SavedModel is a list of graphs in field 2. TensorBoard has no copy of it, but of a list of bytes in field 2.
        graphs = attr_value_pb2.AttrValue.ListValue.FromString(file.read_bytes()).s
        return [meta_graph_pb2.MetaGraphDef.FromString(graph) for graph in graphs]
    except DecodeError as error:
        raise ValueError(f"'{file}' is no SavedModel: {error}") from error


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


class StockOperations(NamedTuple):
    """Names of operations that run on a CPU.

    Attributes:
        tensorflow: Of TensorFlow's C++ library.
        text: Those that TF.Text adds.
    """

    tensorflow: frozenset[str]
    text: frozenset[str]

    def foreign(self, operations: Collection[str]) -> list[str]:
        """Those of some operations that a stock server lacks, in order."""
        return sorted(set(operations) - self.tensorflow - self.text)


@functools.cache
def stock_operations() -> StockOperations:
    """Asks TensorFlow in a new process, once.

    Raises:
        RuntimeError: It could not be asked.
    """
    done = subprocess.run([sys.executable, "-P", __file__], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise RuntimeError(f"TensorFlow could not be asked for its operations: {last}")
    names = json.loads(done.stdout)
    return StockOperations(frozenset(names["tensorflow"]), frozenset(names["text"]))


class _Buffer(ctypes.Structure):
    """TF_Buffer: bytes, how many, and who frees them."""

    _fields_ = (("data", ctypes.c_void_p), ("length", ctypes.c_size_t), ("free", ctypes.c_void_p))


def _library() -> ctypes.CDLL:
    """The C interface of the wheel's C++ library."""
    paths = _libraries("tensorflow", "libtensorflow_cc.*")
    if not paths:
        raise OSError("no libtensorflow_cc: install the `tensorflow` wheel for Linux or macOS")
    library = ctypes.CDLL(str(paths[0]))
    for name in ("TF_GetAllOpList", "TF_GetAllRegisteredKernels"):
        getattr(library, name).restype = ctypes.POINTER(_Buffer)
    library.TF_NewStatus.restype = ctypes.c_void_p
    return library


def _libraries(package: str, pattern: str) -> list[Path]:
    """Files of a package, which is found without importing it; none where it is not installed."""
    spec = importlib.util.find_spec(package)
    return sorted(Path(spec.origin).parent.glob(pattern)) if spec and spec.origin else []


def _runnable(library: ctypes.CDLL) -> set[str]:
    """What this process has registered with a kernel for the CPU."""
    status = ctypes.c_void_p(library.TF_NewStatus())
    buffers = library.TF_GetAllOpList().contents, library.TF_GetAllRegisteredKernels(status).contents
    registered, kernels = (ctypes.string_at(buffer.data, buffer.length) for buffer in buffers)
    with_kernel = {kernel.op for kernel in _kernel_list().FromString(kernels).kernel if kernel.device_type in _PLACES}
    return {operation.name for operation in op_def_pb2.OpList.FromString(registered).op} & with_kernel


def _load_text(library: ctypes.CDLL) -> None:
    """Registers the operations of TF.Text, which keeps their libraries below `python`."""
    for path in _libraries("tensorflow_text", "python/**/_*"):
        if path.suffix in (".so", ".dylib"):
            status = ctypes.c_void_p(library.TF_NewStatus())
            library.TF_LoadLibrary(os.fsencode(path), status)
            if library.TF_GetCode(status):
                raise OSError(f"{path} cannot be loaded")


def _kernel_list() -> type[Message]:
    """TensorFlow's message `KernelList`, of which TensorBoard has no copy; only what is read of it."""
    field = descriptor_pb2.FieldDescriptorProto
    kernel = descriptor_pb2.DescriptorProto(name="KernelDef")
    kernel.field.add(name="op", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    kernel.field.add(name="device_type", number=2, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    several = descriptor_pb2.DescriptorProto(name="KernelList")
    several.field.add(
        name="kernel", number=1, type=field.TYPE_MESSAGE, type_name=".recur.KernelDef", label=field.LABEL_REPEATED
    )
    file = descriptor_pb2.FileDescriptorProto(name="recur/kernels.proto", package="recur")
    file.message_type.extend([kernel, several])
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("recur.KernelList"))


if __name__ == "__main__":
    tensorflow = _library()
    stock = _runnable(tensorflow)
    _load_text(tensorflow)
    json.dump({"tensorflow": sorted(stock), "text": sorted(_runnable(tensorflow) - stock)}, sys.stdout)
