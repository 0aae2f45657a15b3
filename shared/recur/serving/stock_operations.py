"""Which operations a stock TensorFlow Serving has: those of TensorFlow's C++ library, and those of TF.Text.

TensorFlow is asked itself, in a process of its own that loads the C++ library of the wheel and nothing of Python's
TensorFlow, which would register more (`EagerPyFunc` for one). An operation counts where it is registered and has a
kernel for the CPU. Then the libraries of TF.Text are loaded, which TensorFlow Serving is linked with (its
`SUPPORTED_TENSORFLOW_OPS`), and what has come is TF.Text's. The lists are those of the installed version: a much older
server may lack one of them.
"""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorboard.compat.proto import op_def_pb2

from recur.serving.c_interface import NativeError, checked, content_of, stock_tensorflow, tensorflow_with_text

_PLACES = ("CPU", "DEFAULT")  # of a kernel; DEFAULT is for any device that has none of its own


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
        NativeError: It could not be asked.
    """
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
    command = [sys.executable, "-P", "-m", "recur.serving.stock_operations"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise NativeError(f"TensorFlow could not be asked for its operations: {last}")
    found = json.loads(done.stdout)
    return StockOperations(frozenset(found["tensorflow"]), frozenset(found["text"]))


def _runnable() -> set[str]:
    """What this process has registered with a kernel for the CPU."""
    tf = stock_tensorflow()
    operations = op_def_pb2.OpList.FromString(content_of(tf, tf.TF_GetAllOpList()))
    kernels = _kernel_list().FromString(content_of(tf, checked(tf, tf.TF_GetAllRegisteredKernels)))
    with_kernel = {kernel.op for kernel in kernels.kernel if kernel.device_type in _PLACES}
    return {operation.name for operation in operations.op} & with_kernel


def _kernel_list() -> type:
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
    stock = _runnable()
    tensorflow_with_text()
    json.dump({"tensorflow": sorted(stock), "text": sorted(_runnable() - stock)}, sys.stdout)
