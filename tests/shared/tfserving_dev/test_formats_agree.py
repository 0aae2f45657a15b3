import json

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfserving_dev.json_answers import predict_body
from tfserving_dev.json_document import parse_document
from tfserving_dev.json_requests import read_tensors
from tfserving_dev.tensor_protos import from_proto, to_proto

LEAVES = {
    "float32": st.floats(width=32),
    "float64": st.floats(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint8": st.integers(0, 255),
    "bool": st.booleans(),
    "object": st.text(),
}


@st.composite
def tensors(draw):
    """Some tensors with the same number of rows."""
    rows = draw(st.integers(1, 4))
    made = {}
    for number in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(sorted(LEAVES)))
        shape = (rows, *draw(st.lists(st.integers(1, 3), max_size=2)))
        size = int(np.prod(shape))
        leaves = draw(st.lists(LEAVES[kind], min_size=size, max_size=size))
        array = np.empty(size, kind)
        array[:] = [leaf.encode() for leaf in leaves] if kind == "object" else leaves
        made[f"tensor{number}"] = array.reshape(shape)
    return made


def as_json(array: np.ndarray) -> list:
    return json.loads(predict_body({"x": array}, rows=False))["outputs"]


@settings(deadline=None)
@given(tensors())
def test_rows_columns_and_grpc_say_the_same(arrays):
    types = {name: array.dtype for name, array in arrays.items()}
    columns = {name: as_json(array) for name, array in arrays.items()}
    rows = [{name: column[row] for name, column in columns.items()} for row in range(len(arrays["tensor0"]))]
    by_row, _ = read_tensors(parse_document(json.dumps({"instances": rows}).encode()), types)
    by_column, _ = read_tensors(parse_document(json.dumps({"inputs": columns}).encode()), types)
    for name, array in arrays.items():
        kind = tf.string if array.dtype == object else array.dtype
        by_grpc = from_proto(name, tf.make_tensor_proto(array, kind))
        for read in (by_row[name], by_column[name], by_grpc, from_proto(name, to_proto(array))):
            assert (read.dtype, read.shape) == (array.dtype, array.shape)
            np.testing.assert_array_equal(read, array)


@settings(deadline=None)
@given(tensors())
def test_an_answer_in_rows_is_the_one_in_columns(arrays):
    answer, columns = (json.loads(predict_body(arrays, rows)) for rows in (True, False))
    names = list(arrays)
    for number, row in enumerate(answer["predictions"]):
        for name in names:
            column = columns["outputs"] if len(names) == 1 else columns["outputs"][name]
            value = row if len(names) == 1 else row[name]
            np.testing.assert_array_equal(value, column[number])
