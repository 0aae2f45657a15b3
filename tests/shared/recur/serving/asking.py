"""An export behind a server answers what `predict` does, whichever way it is asked."""

import contextlib
import json
import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import urllib3

from recur.cli.application import main
from recur.serving.answers import Asked, answers, ask_module
from recur.serving.client import connect
from recur.serving.codec import to_json
from recur.serving.inspection import inspection
from recur.serving.repository import VERSION_BATCHING, version_batching
from recur.training.application import Application, Batching
from tfserving_dev.server import DevelopmentServer
from tfserving_dev.settings import ServerSettings


@contextlib.contextmanager
def served(models: Path) -> Iterator[dict[str, str]]:
    """Serves a folder of exports; gives the URLs by protocol."""
    settings = ServerSettings(models=models, rest_port=0, grpc_port=0, last_seconds=0.02)
    server = DevelopmentServer(settings)
    server.start()
    try:
        yield {"REST": f"http://127.0.0.1:{server.rest_port}", "gRPC": f"grpc://127.0.0.1:{server.grpc_port}"}
    finally:
        server.stop()


@contextlib.contextmanager
def divided(path: Path) -> Iterator[Path]:
    """A folder with a copy of an export whose requests are computed two rows at a time."""
    with tempfile.TemporaryDirectory() as models:
        copy = shutil.copytree(path, Path(models, path.parent.name, path.name))
        (copy / VERSION_BATCHING).write_text(version_batching(Batching(rows=2)))
        yield Path(models)


def assert_parts_are_the_whole(url: str, application: Application, module: Asked, given: Any) -> None:
    """Asserts that requests of five rows, which the server divides, are answered as if they were not.

    Every signature that takes what is given is asked that, for rows should differ; others their warm-up requests.
    """
    warmup = application.requests.warmup(module.shapes)
    with connect(url, application.name) as client:
        for signature, sizes in module.shapes.items():
            inputs = given if given.keys() == sizes.keys() else warmup[signature]
            rows = {name: np.take(array, range(5), axis=0, mode="wrap") for name, array in inputs.items()}
            found, expected = client.ask(signature, rows), module.ask(signature, rows)
            for name, array in expected.items():
                if array.dtype.kind == "f":
                    np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-5)
                else:
                    np.testing.assert_array_equal(found[name], array)


def assert_asked_as_predicted(
    application: Application, module: Any, path: Path, inputs: list[str], capsys: Any, *words: str, **options: Any
) -> None:
    """Asserts that `ask` answers by both protocols what the serving module does, and rows in JSON what columns do.

    Args:
        application: The application.
        module: Its serving module.
        path: A version of its export.
        inputs: Raw inputs.
        capsys: pytest's.
        *words: Options of `ask`.
        **options: The same, as fields.
    """
    predicted = list(answers(application, ask_module(module), inputs, application.options(**options)))
    assert inspection(path)["varying"] == []
    with divided(path) as models, served(models) as urls:
        given = application.requests.parse(inputs, application.options(**options), ask_module(module).shapes).arrays
        assert_parts_are_the_whole(urls["gRPC"], application, ask_module(module), given)
        assert_rows_are_columns(urls["REST"], application, ask_module(module).shapes, inputs, options)
        for url in urls.values():
            capsys.readouterr()
            assert main(application, ["ask", "--server", url, "--json", *words, "--debug", "--", *inputs]) == 0
            asked = json.loads(capsys.readouterr().out)["answers"]
            assert len(asked) == len(inputs)
            assert_same(asked, predicted)


def assert_rows_are_columns(url: str, application: Application, shapes: Any, inputs: list[str], options: Any) -> None:
    """Asserts that a request in REST's row format is answered with the rows of the answer in columns."""
    request = application.requests.parse(inputs, application.options(**options), shapes)
    signature, arrays = request.signature, request.arrays
    columns = {name: to_json(name, array) for name, array in arrays.items()}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def asked(**body: Any) -> dict[str, Any]:
        body["signature_name"] = signature
        path = f"{url}/v1/models/{application.name}:predict"
        answer = urllib3.request("POST", path, body=json.dumps(body).encode(), timeout=60, retries=False)
        assert answer.status == 200, answer.data
        return json.loads(answer.data.decode("utf-8", "surrogateescape"))

    by_row, by_column = asked(instances=rows)["predictions"], asked(inputs=columns)["outputs"]
    if not isinstance(by_row[0], dict):  # of one output the name is left out
        assert_same(by_row, by_column)
        return
    for place, row in enumerate(by_row):
        assert_same(row, {name: values[place] for name, values in by_column.items()})


def assert_same(found: Any, expected: Any) -> None:
    """Asserts that two answers are equal, numbers up to rounding."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert_same(found[name], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for each, value in zip(found, expected, strict=True):
            assert_same(each, value)
    elif isinstance(expected, float):
        assert math.isclose(found, expected, rel_tol=1e-5, abs_tol=1e-5), (found, expected)
    else:
        assert found == expected
