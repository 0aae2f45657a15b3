"""Requests and answers of `Predict` in JSON; in rows, in columns and by gRPC they say the same."""

import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2

from tfserving_dev.codec import fill_proto, from_proto, parse_document
from tfserving_dev.errors import Code, ServingError
from tfserving_dev.predict import error_body, predict_body, read_tensors, signature_name

FLOAT, STRING = np.dtype(np.float32), np.dtype(object)
ONE, TWO = {"x": FLOAT}, {"tag": STRING, "signal": FLOAT}
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


def as_proto(array: np.ndarray) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto()
    fill_proto(proto, array)
    return proto


def refused(function, *arguments) -> str:
    with pytest.raises(ServingError) as failure:
        function(*arguments)
    assert failure.value.code is Code.INVALID_ARGUMENT
    return failure.value.message


def test_nan_is_a_number():
    inputs, _ = read_tensors(parse_document(b'{"instances": [NaN, Infinity, -Infinity, 1e40, -NaN]}'), ONE)
    np.testing.assert_array_equal(inputs["x"], np.array([np.nan, np.inf, -np.inf, np.inf, np.nan], np.float32))


def test_rows_and_columns_of_the_documentation():
    rows = [{"tag": "foo", "signal": [1, 2, 3]}, {"tag": "bar", "signal": [3, 4, 1]}]
    columns = {"tag": ["foo", "bar"], "signal": [[1, 2, 3], [3, 4, 1]], "ignored": 1}
    by_row, is_row = read_tensors({"instances": rows}, TWO)
    by_column, is_column = read_tensors({"inputs": columns}, TWO)
    assert (is_row, is_column) == (True, False)
    for name in TWO:
        np.testing.assert_array_equal(by_row[name], by_column[name])
    assert read_tensors({"instances": ["a", {"b64": "YQ=="}]}, {"s": STRING})[0]["s"].tolist() == [b"a", b"a"]
    assert read_tensors({"inputs": {"b64": "YQ=="}}, {"s": STRING})[0]["s"].tolist() == b"a"
    assert read_tensors({"instances": [{"x": 1}, {"x": 2}]}, ONE)[0]["x"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("document", "types", "message"),
    [
        ({}, ONE, "Missing 'inputs' or 'instances' key"),
        ({"instances": [1], "inputs": [1]}, ONE, "expecting only one of 'inputs' or 'instances' keys to exist"),
        ({"instances": 1}, ONE, "Expecting 'instances' to be an list/array"),
        ({"instances": []}, ONE, "No values in 'instances' array"),
        ({"instances": [1]}, TWO, "instances is a plain list, but expecting list of objects"),
        ({"inputs": [1]}, TWO, "inputs is a plain value/list, but expecting an object"),
        ({"inputs": {"tag": ["a"]}}, TWO, "Missing named input: signal in 'inputs' object."),
        ({"inputs": {}}, {}, "Failed to get input map for signature"),
        (
            {"instances": ["x", 1]},
            ONE,
            "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: JSON",
        ),
        (
            {"instances": [[1, 2], [1]]},
            ONE,
            "element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor",
        ),
        ({"instances": [[[1, 2]], [[1], [2]]]}, ONE, "Expecting shape [1,2] but got: [2,1]"),
        ({"instances": [1, {"x": 1}]}, ONE, "Expecting value/list but got object at item 1 of input list"),
        ({"instances": [{"x": 1}, 1]}, ONE, "Expecting object but got list at item 1 of input list"),
        ({"instances": [{"tag": "a"}]}, TWO, "keys must be equal to: signal,tag"),
        (
            {"instances": [{"tag": "a", "z": 1}]},
            TWO,
            "key: z of 'instances' list. Error: INVALID_ARGUMENT: JSON object",
        ),
        ({"instances": [{"tag": 1, "signal": 1}]}, TWO, "element: 0 key: tag of 'instances' list"),
    ],
)
def test_refused_requests(document, types, message):
    assert message in refused(read_tensors, document, types)


def test_signature_names():
    assert signature_name({}) == ""
    assert signature_name({"signature_name": "s"}) == "s"
    assert "'signature_name' key must be a string value." in refused(signature_name, {"signature_name": 100})


def test_long_values_are_cut_in_messages():
    assert len(refused(read_tensors, {"instances": ["x" * 100_000]}, ONE)) < 600
    assert json.dumps(refused(read_tensors, {"instances": "\udcff"}, ONE))


def test_one_output_stands_without_its_name():
    y = np.array([[0.1, 1], [2, 1e-7]], np.float32)
    assert predict_body({"y": y}, rows=True) == b'{"predictions":[[0.1,1.0],[2.0,1e-7]]}'
    assert json.loads(predict_body({"y": y}, rows=False)) == {"outputs": [[0.1, 1], [2, 1e-7]]}
    assert json.loads(predict_body({"y": np.float32(0.1).reshape(())}, rows=False)) == {"outputs": 0.1}


def test_several_outputs():
    outputs = {
        "flag": np.array([True, False]),
        "text": np.array(["a", "żółw"], object),
        "n": np.array([[1, -(2**63)], [3, 4]], np.int64),
        "p": np.array([0.1, 0.2], np.float64),
    }
    outputs["text"] = np.array([text.encode() for text in outputs["text"]], object)
    rows = [
        {"flag": True, "text": "a", "n": [1, -(2**63)], "p": 0.1},
        {"flag": False, "text": "żółw", "n": [3, 4], "p": 0.2},
    ]
    assert json.loads(predict_body(outputs, rows=True)) == {"predictions": rows}
    columns = {name: [row[name] for row in rows] for name in outputs}
    assert json.loads(predict_body(outputs, rows=False)) == {"outputs": columns}


@pytest.mark.parametrize("rows", [True, False])
def test_what_json_has_no_word_for(rows):
    y = np.array([np.nan, np.inf, -np.inf, 0.1], np.float32)
    key = b"predictions" if rows else b"outputs"
    assert predict_body({"y": y}, rows) == b'{"%s":[NaN,Infinity,-Infinity,0.1]}' % key


def test_bytes():
    content = np.array([b"\x00\xff", b""], object)
    assert predict_body({"image_bytes": content}, rows=True) == b'{"predictions":[{"b64":"AP8="},{"b64":""}]}'
    # Without the suffix they are written as they are, which is no JSON, as in TensorFlow Serving.
    assert predict_body({"image": content}, rows=True) == b'{"predictions":["\\u0000\xff",""]}'
    nested = np.array([[b"a", b"b"], [b"c", b"d"]], object)
    assert predict_body({"tokens": nested}, rows=False) == b'{"outputs":[["a","b"],["c","d"]]}'
    assert predict_body({"t": np.array(b"a", object)}, rows=False) == b'{"outputs":"a"}'


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "Cannot convert empty tensor map to JSON"),
        ({"y": np.float32(1).reshape(())}, "Tensor name: y has no shape information"),
        ({"a": np.zeros(2), "b": np.zeros(3)}, "Tensor name: b has inconsistent batch size: 3 expecting: 2"),
        ({"y": np.zeros(2, np.float16)}, "Failed to write JSON value for tensor type: half"),
        ({"y": np.zeros(2, np.complex64)}, "Failed to write JSON value for tensor type: complex64"),
    ],
)
def test_what_cannot_be_answered(outputs, message):
    with pytest.raises(ServingError, match=message):
        predict_body(outputs, rows=True)


def test_errors():
    assert json.loads(error_body('with "quotes"\n and żółw')) == {"error": 'with "quotes"\n and żółw'}
    assert json.loads(error_body("half a pair: \ud800"))["error"].startswith("half a pair")


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
        for read in (by_row[name], by_column[name], by_grpc, from_proto(name, as_proto(array))):
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
