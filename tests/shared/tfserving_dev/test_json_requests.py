import contextlib
import json
import time

import numpy as np
import pytest

from tfserving_dev.json_document import parse_document
from tfserving_dev.json_requests import read_tensors, signature_name
from tfserving_dev.json_tensors import to_array
from tfserving_dev.serving_error import ServingError
from tfserving_dev.status import Code

FLOAT, INT, STRING = np.dtype(np.float32), np.dtype(np.int32), np.dtype(object)
ONE, TWO = {"x": FLOAT}, {"tag": STRING, "signal": FLOAT}


def refused(function, *arguments) -> str:
    with pytest.raises(ServingError) as failure:
        function(*arguments)
    assert failure.value.code is Code.INVALID_ARGUMENT
    return failure.value.message


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
    import re

    assert re.search(message, refused(parse_document, body))


@pytest.mark.parametrize("body", [b'{"a": "' + b'\\"' * 500_000, b'{"a": [NaN], "b": "' + b"x" * 10_000_000 + b'"}'])
def test_long_strings_take_no_time(body):
    begun = time.monotonic()
    with contextlib.suppress(ServingError):
        parse_document(body)
    assert time.monotonic() - begun < 5


def test_nan_is_a_number():
    inputs, _ = read_tensors(parse_document(b'{"instances": [NaN, Infinity, -Infinity, 1e40, -NaN]}'), ONE)
    np.testing.assert_array_equal(inputs["x"], np.array([np.nan, np.inf, -np.inf, np.inf, np.nan], np.float32))


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
    assert len(refused(to_array, ["x" * 100_000], FLOAT)) < 400
    assert json.dumps(refused(read_tensors, {"instances": "\udcff"}, ONE))
