"""`ask` at the command line: what it prints and what it refuses."""

import csv
import json

import pytest

from tests.shared.recur.serving.tiny_server import TinyServer

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tiny_models):
    with TinyServer(tiny_models / "text_generation" / "1", "text_generation") as server:
        yield server


def test_answers_are_printed_as_predict_prints_them(text_generation, server):
    words = ("--length", "5")
    answer = text_generation("ask", "--server", server.grpc, *words, "the old", "a")
    assert (answer.status, answer.errors) == (0, "")
    first, second = answer.output.splitlines()
    assert (first[:7], len(first), second[:1], len(second)) == ("the old", 12, "a", 6)
    answer = text_generation("ask", "--server", server.rest, *words, "--json", stdin=b"the old\na\n")
    found = json.loads(answer.output)
    assert found["application"] == "text_generation"
    assert [each["text"] for each in found["answers"]] == [first, second]
    answer = text_generation("ask", "--server", server.rest, *words, "--output", "answers.csv", "the old", "a")
    assert answer.output == ""
    with (text_generation.folder / "answers.csv").open(newline="") as file:
        assert [row["text"] for row in csv.DictReader(file)] == [first, second]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--server STR is missing (where it is: http://host:8501 for REST"),
        (["--server", "localhost"], "--server localhost has no scheme and host"),
        (["--server", "http://localhost", "--version", "x"], "--version"),
        (["--server", "http://localhost", "--version", "1", "--label", "a"], "say --version or --label"),
        (["--server", "http://localhost", "--deadline", "0"], "a deadline should be over 0 seconds"),
        (["--server", "http://localhost", "--stream"], "--stream needs the run here; leave it out, or use predict"),
        (["--server", "http://localhost", "--output", "x.txt"], "should end in .csv or .jsonl"),
        (["--server", "http://localhost", "--length", "-1"], "length"),
    ],
)
def test_bad_usage(text_generation, words, message):
    assert message in text_generation.refused("ask", *words, "a")


def test_what_a_server_refuses(text_generation, server):
    for url in (server.rest, server.grpc):
        message = text_generation.refused("ask", "--server", url, "--model", "absent", "a")
        assert "refuses the request for absent" in message
        assert "404" in message or "NOT_FOUND" in message
