"""The benchmark of a server: what a closed loop counts, and one that runs, small."""

import threading
import time

import pytest

from benchmarks.serving.closed_loop import closed_loop, percentiles, typical_request, wait_available
from benchmarks.serving.load import Arguments, limits, measure, table, with_shares
from tests.shared.recur.serving.tiny_server import TinyServer

pytestmark = pytest.mark.slow


def test_a_closed_loop_counts_answers_and_failures():
    lock, count, at_once = threading.Lock(), [0], [0, 0]

    def ask():
        with lock:
            count[0] += 1
            mine = count[0]
            at_once[0] += 1
            at_once[1] = max(at_once)
        time.sleep(0.01)
        with lock:
            at_once[0] -= 1
        if mine % 5 == 0:
            raise ValueError("refused")

    answered = closed_loop(ask, 4, 0.3)
    assert answered["requests"] == count[0]
    assert answered["failed"] == count[0] // 5
    assert answered["first_failure"] == "refused"
    assert at_once[1] == 4
    assert 0.3 <= answered["seconds"] < 1
    assert answered["requests_per_second"] == pytest.approx(
        (answered["requests"] - answered["failed"]) / answered["seconds"]
    )
    assert 10 <= answered["p50_ms"] <= answered["p95_ms"] <= answered["p99_ms"]


def test_percentiles_are_milliseconds():
    assert percentiles([0.001, 0.002, 0.003]) == {
        "p50_ms": 2,
        "p95_ms": pytest.approx(2.9),
        "p99_ms": pytest.approx(2.98),
    }
    assert percentiles([]) == {"p50_ms": None, "p95_ms": None, "p99_ms": None}


def test_a_server_is_measured_beside_the_model_in_process(tiny_models):
    from apps.text_generation import application

    arguments = Arguments(("text_generation",), tiny_models, clients=(1,), rows=(1, 2), seconds=0.2)
    signature, inputs = typical_request(application.APPLICATION, 5, {})
    assert signature == "sample"
    assert inputs["prompt"][0] == inputs["prompt"][3] != inputs["prompt"][1]
    with TinyServer(tiny_models / "text_generation" / "1", "text_generation") as server:
        measured = list(limits(arguments, ["text_generation"]))
        measured += measure(arguments, ["text_generation"], {"gRPC": server.grpc}, None)
    assert [row["where"] for row in measured] == ["in process"] * 2 + ["gRPC"] * 2
    assert all(row["requests"] > 0 and row["failed"] == 0 for row in measured)
    assert ["first_ms" in row for row in measured[2:]] == [True, False]
    rows = with_shares(measured)
    assert [row["share"] for row in rows[:2]] == [1, 1]
    assert all(row["share"] > 0 for row in rows[2:])
    shown = table({"seconds": 0.2, "cores": 2, "machine": "x", "given": {}, "rows": rows})
    assert shown.count("| text_generation |") == 4
    assert shown.count("first request") == 1


def test_a_server_that_does_not_come():
    with pytest.raises(RuntimeError, match="has no a, b"):
        wait_available("http://127.0.0.1:1", ["a", "b"], seconds=0.1)
