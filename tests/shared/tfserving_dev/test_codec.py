"""Tensors as `TensorProto` and as JSON."""

import contextlib
import re
import time

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from tfserving_dev.codec import fill_proto, from_proto, parse_document, to_array
from tfserving_dev.errors import Code, ServingError

FLOAT, INT, STRING = np.dtype(np.float32), np.dtype(np.int32), np.dtype(object)
TYPES = ["float32", "float64", "float16", "bool", "complex64", "complex128"]
TYPES += [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]


def as_proto(array: np.ndarray) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto()
    fill_proto(proto, array)
    return proto


def refused(function, *arguments) -> str:
    with pytest.raises(ServingError) as failure:
        function(*arguments)
    assert failure.value.code is Code.INVALID_ARGUMENT
    return failure.value.message


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3)])
def test_numbers_as_tensorflow_reads_and_writes_them(name, shape):
    array = np.asarray(np.random.default_rng(0).uniform(0, 100, shape)).astype(name)
    np.testing.assert_array_equal(from_proto("x", tf.make_tensor_proto(array)), array)
    np.testing.assert_array_equal(tf.make_ndarray(as_proto(array)), array)
    read = from_proto("x", as_proto(array))
    assert (read.dtype, read.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(read, array)


def test_strings():
    array = np.array([[b"a", b""], [b"\x00", "żółw".encode()]], object)
    np.testing.assert_array_equal(from_proto("x", tf.make_tensor_proto(array, tf.string)), array)
    np.testing.assert_array_equal(tf.make_ndarray(as_proto(array)), array)


def test_values_are_where_clients_look_for_them():
    assert list(as_proto(np.array([1, 2], np.float32)).float_val) == [1, 2]
    assert list(as_proto(np.array([1, 2], np.int32)).int_val) == [1, 2]
    assert list(as_proto(np.array([b"a"], object)).string_val) == [b"a"]


def test_fewer_values_than_elements():
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape={"dim": [{"size": 4}]}, float_val=[1, 2])
    assert from_proto("x", proto).tolist() == [1, 2, 2, 2]
    del proto.float_val[:]
    assert from_proto("x", proto).tolist() == [0, 0, 0, 0]
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, tensor_shape={"dim": [{"size": 2}]})
    assert from_proto("x", proto).tolist() == [b"", b""]


@pytest.mark.parametrize(
    "proto",
    [
        {"dtype": types_pb2.DT_FLOAT, "tensor_shape": {"dim": [{"size": 2}]}, "tensor_content": b"1234"},
        {"dtype": types_pb2.DT_FLOAT, "tensor_shape": {"dim": [{"size": -1}]}, "float_val": [1]},
        {"dtype": types_pb2.DT_FLOAT, "tensor_shape": {"unknown_rank": True}, "float_val": [1]},
        {"dtype": types_pb2.DT_STRING, "tensor_shape": {"dim": [{"size": 1}]}, "tensor_content": b"\x01a"},
        {"dtype": types_pb2.DT_FLOAT, "tensor_shape": {"dim": [{"size": 10**9}, {"size": 10**9}]}, "float_val": [1]},
        {"dtype": types_pb2.DT_QINT8, "tensor_shape": {}},
        {},
    ],
)
def test_refused(proto):
    with pytest.raises(ServingError, match="x"):
        from_proto("x", tensor_pb2.TensorProto(**proto))


@pytest.mark.parametrize(
    ("body", "document"),
    [
        (b'{"a": [1, 2.5]}', {"a": [1, 2.5]}),
        (b'\xef\xbb\xbf {"a": 1}', {"a": 1}),
        (b'{"a": 1} and what follows', {"a": 1}),
        (b'{"a": [Infinity, -Infinity]}', {"a": [np.inf, -np.inf]}),
        (b'{"a": [Inf, -Inf, "-Inf \\" -NaN"]}', {"a": [np.inf, -np.inf, '-Inf " -NaN']}),
        (b'{"a": "\xff"}', {"a": "\udcff"}),
        (b'{"a": 18446744073709551616}', {"a": 2**64}),
    ],
)
def test_documents(body, document):
    assert parse_document(body) == document


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"instances = [1, 2]", "JSON Parse error: .* at offset: 0"),
        (b'{"a": [1, 2', "JSON Parse error"),
        (b"{\xff}", "JSON Parse error"),
        (b"[1]", r"JSON Value: \[1\] Is not object"),
        (b'"text"', "Is not object"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": [1e400]}', "Number too big to be stored"),
        (b'{"a": 1' + b"0" * 10_000 + b"}", "Number too big|type: float|Is not"),
    ],
)
def test_what_is_no_document(body, message):
    assert re.search(message, refused(parse_document, body))


@pytest.mark.parametrize("body", [b'{"a": "' + b'\\"' * 500_000, b'{"a": [NaN], "b": "' + b"x" * 10_000_000 + b'"}'])
def test_long_strings_take_no_time(body):
    begun = time.monotonic()
    with contextlib.suppress(ServingError):
        parse_document(body)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (5, FLOAT, np.float32(5)),
        ([1, 2.5], FLOAT, np.array([1, 2.5], np.float32)),
        ([[[1, 2]], [[3, 4]]], INT, np.array([[[1, 2]], [[3, 4]]], np.int32)),
        ([], FLOAT, np.zeros(0, np.float32)),
        ([[], []], FLOAT, np.zeros((2, 0), np.float32)),
        ([True, False], np.dtype(bool), np.array([True, False])),
        ([-(2**63), 2**63 - 1], np.dtype(np.int64), np.array([-(2**63), 2**63 - 1])),
        ([2**64 - 1], np.dtype(np.uint64), np.array([2**64 - 1], np.uint64)),
        ([1435774380], FLOAT, np.array([1435774336], np.float32)),
        (["zażółć", {"b64": "AP8="}], STRING, np.array(["zażółć".encode(), b"\x00\xff"], object)),
        ({"b64": "YQ"}, STRING, np.array(b"a", object)),
        ([{"b64": "YWJj\nZGVm"}], STRING, np.array([b"abcdef"], object)),
    ],
)
def test_tensors(value, dtype, expected):
    array = to_array(value, dtype)
    assert (array.dtype, array.shape) == (dtype, expected.shape)
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (["x"], FLOAT, 'JSON Value: "x" Type: String is not of expected type: float'),
        ([1, True], FLOAT, "JSON Value: true Type: True is not of expected type: float"),
        ([None], FLOAT, "JSON Value: null Type: Null is not of expected type: float"),
        ([1.0], INT, "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        ([2**31], INT, "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
        ([1, 256], np.dtype(np.uint8), "JSON Value: 256 Type: Number is not of expected type: uint8"),
        ([1], STRING, "JSON Value: 1 Type: Number is not of expected type: string"),
        ([{"a": 1}], FLOAT, 'JSON Value: {"a": 1} Type: Object is not of expected type: float'),
        ([{"a": 1}], STRING, 'JSON Value: {"a": 1} not formatted correctly for base64 data'),
        ([{"b64": "*"}], STRING, "Unable to base64 decode"),
        ([10**400], FLOAT, "is not of expected type: float"),
        ([[1, 2], [3]], FLOAT, "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        ([[1, 2], 3], FLOAT, "JSON Value: 3 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
        ([1, [2]], FLOAT, "Encountered list at unexpected level: 1 expected < 1"),
        ([["\ud800"]], STRING, "The surrogate pair in string is invalid"),
    ],
)
def test_what_is_no_tensor(value, dtype, message):
    assert message in refused(to_array, value, dtype)


def test_half_precision_has_no_json():
    with pytest.raises(ServingError) as failure:
        to_array([1.0], np.dtype(np.float16))
    assert failure.value.code is Code.UNIMPLEMENTED


def test_long_values_are_cut_in_messages():
    assert len(refused(to_array, ["x" * 100_000], FLOAT)) < 400
