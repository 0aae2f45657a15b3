"""`batching_parameters.txt`: the text form of `tensorflow.serving.BatchingParameters`."""

import dataclasses
import functools
import os
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2

from recur.errors import InputError

FILE_OF_A_MODEL = "batching_params.pbtxt"
"""The file in a version's folder that stands above the server's own parameters."""


@dataclasses.dataclass(frozen=True)
class BatchingParameters:
    """How requests that wait are put together. The defaults are TensorFlow Serving's."""

    max_batch_size: int = 1000
    """Rows of a request, and of a batch where requests are not divided; a request of more is refused."""
    batch_timeout_micros: int = 0
    """How long a request waits for others, when a thread is free to run it."""
    max_enqueued_batches: int = 10
    """Batches of a signature that may wait; further requests are refused as UNAVAILABLE."""
    num_batch_threads: int = dataclasses.field(default_factory=lambda: os.cpu_count() or 1)
    """Batches, of all models, that run at a time."""
    allowed_batch_sizes: tuple[int, ...] = ()
    """Where there are any, a batch is filled up to the next of them."""
    enable_large_batch_splitting: bool = False
    """Divide requests, so that batches are full and no larger than `max_execution_batch_size`."""
    max_execution_batch_size: int = 0
    """Rows of a batch where requests are divided; 0 is `max_batch_size`."""

    @property
    def execution_rows(self) -> int:
        """Rows of a batch."""
        divided = self.max_execution_batch_size if self.enable_large_batch_splitting else 0
        return divided or self.max_batch_size


def read_batching_parameters(path: Path) -> BatchingParameters:
    """Reads a parameter file.

    Raises:
        InputError: It cannot be read, or says what cannot be.
    """
    try:
        message = text_format.Parse(path.read_text(encoding="utf-8"), _message_class()())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise InputError(f"cannot read the batching parameters {path}: {error}; mend or remove the file") from None
    given: dict[str, Any] = {}
    for field, value in message.ListFields():
        given[field.name] = getattr(value, "value", value)
    given["allowed_batch_sizes"] = tuple(given.get("allowed_batch_sizes", ()))
    known = {field.name for field in dataclasses.fields(BatchingParameters)}
    parameters = BatchingParameters(**{name: value for name, value in given.items() if name in known})
    if fault := _fault(parameters):
        raise InputError(f"{path}: {fault}")
    return parameters


def _fault(parameters: BatchingParameters) -> str | None:
    for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
        if getattr(parameters, name) < 1:
            return f"{name} should be at least 1, not {getattr(parameters, name)}"
    sizes = parameters.allowed_batch_sizes
    if sizes and (list(sizes) != sorted(set(sizes)) or sizes[0] < 1):
        return f"allowed_batch_sizes should increase, not {list(sizes)}"
    if sizes and sizes[-1] != parameters.max_batch_size:
        return (
            f"the last of allowed_batch_sizes should be max_batch_size ({parameters.max_batch_size}), not {sizes[-1]}"
        )
    if parameters.execution_rows > parameters.max_batch_size:
        return f"max_execution_batch_size should be at most max_batch_size ({parameters.max_batch_size})"
    if parameters.batch_timeout_micros < 0:
        return f"batch_timeout_micros should be at least 0, not {parameters.batch_timeout_micros}"
    return None


@functools.cache
def _message_class() -> Any:
    """The message's class: the stubs of `tensorflow-serving-api` lack it, so it is described here."""
    types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="batching_parameters.proto", package="tensorflow.serving")
    file.syntax = "proto3"
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    message = file.message_type.add(name="BatchingParameters")
    numbers = {"max_batch_size": 1, "batch_timeout_micros": 2, "max_enqueued_batches": 3, "num_batch_threads": 4}
    wrapped = {name: (number, "Int64Value") for name, number in numbers.items()}
    wrapped |= {"thread_pool_name": (5, "StringValue"), "enable_large_batch_splitting": (8, "BoolValue")}
    wrapped |= {"max_execution_batch_size": (9, "Int64Value")}
    for name, (number, kind) in wrapped.items():
        type_name = f".google.protobuf.{kind}"
        message.field.add(
            name=name, number=number, type=types.TYPE_MESSAGE, type_name=type_name, label=types.LABEL_OPTIONAL
        )
    message.field.add(name="allowed_batch_sizes", number=6, type=types.TYPE_INT64, label=types.LABEL_REPEATED)
    message.field.add(name="pad_variable_length_inputs", number=7, type=types.TYPE_BOOL, label=types.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.serving.BatchingParameters"))
