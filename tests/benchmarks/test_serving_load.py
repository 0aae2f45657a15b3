"""The benchmark of a server: what a closed loop counts, and one that runs, small."""

import threading
import time

import pytest

from benchmarks.closed_loop import closed_loop, percentiles, typical_request
from benchmarks.serving_load import Arguments, limits, measure, table, wait_available, with_shares
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

    found = closed_loop(ask, 4, 0.3)
    assert found["requests"] == count[0]
    assert found["failed"] == count[0] // 5
    assert found["first_failure"] == "refused"
    assert at_once[1] == 4
    assert 0.3 <= found["seconds"] < 1
    assert found["requests_per_second"] == pytest.approx((found["requests"] - found["failed"]) / found["seconds"])
    assert 10 <= found["p50_ms"] <= found["p95_ms"] <= found["p99_ms"]


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
        found = list(limits(arguments, ["text_generation"]))
        found += measure(arguments, ["text_generation"], {"gRPC": server.grpc}, None)
    assert [each["where"] for each in found] == ["in process"] * 2 + ["gRPC"] * 2
    assert all(each["requests"] > 0 and each["failed"] == 0 for each in found)
    assert ["first_ms" in each for each in found[2:]] == [True, False]
    rows = with_shares(found)
    assert [row["share"] for row in rows[:2]] == [1, 1]
    assert all(row["share"] > 0 for row in rows[2:])
    shown = table({"seconds": 0.2, "cores": 2, "machine": "x", "given": {}, "rows": rows})
    assert shown.count("| text_generation |") == 4
    assert shown.count("first request") == 1


def test_a_server_that_does_not_come():
    with pytest.raises(RuntimeError, match="has no a, b"):
        wait_available("http://127.0.0.1:1", ["a", "b"], seconds=0.1)
