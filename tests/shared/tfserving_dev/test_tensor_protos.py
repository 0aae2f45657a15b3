import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from tfserving_dev.serving_error import ServingError
from tfserving_dev.tensor_protos import from_proto, to_proto

TYPES = ["float32", "float64", "float16", "bool", "complex64", "complex128"]
TYPES += [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3)])
def test_numbers_as_tensorflow_reads_and_writes_them(name, shape):
    array = np.asarray(np.random.default_rng(0).uniform(0, 100, shape)).astype(name)
    np.testing.assert_array_equal(from_proto("x", tf.make_tensor_proto(array)), array)
    np.testing.assert_array_equal(tf.make_ndarray(to_proto(array)), array)
    read = from_proto("x", to_proto(array))
    assert (read.dtype, read.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(read, array)


def test_strings():
    array = np.array([[b"a", b""], [b"\x00", "żółw".encode()]], object)
    np.testing.assert_array_equal(from_proto("x", tf.make_tensor_proto(array, tf.string)), array)
    np.testing.assert_array_equal(tf.make_ndarray(to_proto(array)), array)


def test_values_are_where_clients_look_for_them():
    assert list(to_proto(np.array([1, 2], np.float32)).float_val) == [1, 2]
    assert list(to_proto(np.array([1, 2], np.int32)).int_val) == [1, 2]
    assert list(to_proto(np.array([b"a"], object)).string_val) == [b"a"]


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
