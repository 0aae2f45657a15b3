import threading
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfserving_dev.batching import BatchQueue, BatchScheduler, concatenate, form_of, padded_size, rows_of, split
from tfserving_dev.configuration import BatchingParameters
from tfserving_dev.errors import Code, ServingError, invalid

DIVIDED = BatchingParameters(
    max_batch_size=8, max_execution_batch_size=4, enable_large_batch_splitting=True, max_enqueued_batches=24
)


def floats(*values: float) -> dict[str, np.ndarray]:
    return {"x": np.array(values, np.float32)}


class Doubler:
    """A signature that doubles, refuses 13, and notes the sizes of its batches."""

    def __init__(self):
        self.sizes, self.gate, self.begun = [], threading.Event(), 0
        self.gate.set()

    def __call__(self, inputs):
        self.begun += 1
        self.gate.wait()
        self.sizes.append(inputs["x"].size)
        if 13 in inputs["x"]:
            raise invalid("13")
        return {"y": inputs["x"] * 2}


@pytest.fixture
def scheduler():
    scheduler = BatchScheduler(1)
    yield scheduler
    scheduler.close()


def held_up(scheduler, run, parameters, requests, most_waiting=1000):
    """The futures of requests that all wait before the first is run, without the one that held them up."""
    queue = BatchQueue(run, parameters, most_waiting)
    run.gate.clear()
    first = scheduler.submit(queue, floats(0))
    while queue:
        time.sleep(0.001)
    try:
        return [scheduler.submit(queue, request) for request in requests]
    finally:
        run.gate.set()
        first.result()


def test_rows_and_forms():
    assert rows_of(floats(1, 2)) == 2
    assert rows_of({"x": np.zeros((2, 3)), "y": np.zeros(2)}) == 2
    assert rows_of({"x": np.zeros(2), "y": np.zeros(3)}) is None
    assert rows_of({"x": np.zeros(())}) is None
    assert rows_of({"x": np.zeros(0)}) is None
    assert rows_of({}) is None
    assert form_of(floats(1)) == form_of(floats(1, 2))
    assert form_of({"x": np.zeros((1, 2))}) != form_of({"x": np.zeros((1, 3))})
    assert form_of(floats(1)) != form_of({"x": np.zeros(1, np.int32)})


def test_put_together_and_taken_apart():
    batch = concatenate([floats(1, 2), floats(3)], 5)
    assert batch["x"].tolist() == [1, 2, 3, 3, 3]
    assert [each["x"].tolist() for each in split(batch, [2, 1], 5)] == [[1, 2], [3]]
    assert split({"x": np.zeros(())}, [2, 1], 3) is None
    assert split({"x": np.zeros(4)}, [2, 1], 3) is None
    assert [padded_size(rows, (4, 8)) for rows in (1, 4, 5, 9)] == [4, 4, 8, 9]


def test_what_waits_runs_together(scheduler):
    run = Doubler()
    futures = held_up(scheduler, run, BatchingParameters(max_batch_size=4), [floats(n) for n in range(6)])
    assert [future.result()["y"].tolist() for future in futures] == [[2 * n] for n in range(6)]
    assert run.sizes == [1, 4, 2]


def test_batches_are_filled_up(scheduler):
    run = Doubler()
    parameters = BatchingParameters(max_batch_size=8, allowed_batch_sizes=(4, 8))
    futures = held_up(scheduler, run, parameters, [floats(1), floats(2, 3)])
    assert [future.result()["y"].tolist() for future in futures] == [[2], [4, 6]]
    assert run.sizes == [4, 4]


def test_only_the_culprit_fails(scheduler):
    run = Doubler()
    futures = held_up(scheduler, run, BatchingParameters(), [floats(1), floats(13), floats(2)])
    assert futures[0].result()["y"].tolist() == [2]
    assert futures[2].result()["y"].tolist() == [4]
    with pytest.raises(ServingError, match="13"):
        futures[1].result()


def test_other_forms_run_apart(scheduler):
    run = Doubler()
    requests = [floats(1), {"x": np.ones((1, 2))}, {"x": np.array(3)}, floats(2)]
    futures = held_up(scheduler, run, BatchingParameters(), requests)
    assert [future.result()["y"].tolist() for future in futures] == [[2], [[2, 2]], 6, [4]]
    assert run.sizes == [1, 2, 2, 1]


def test_outputs_that_are_no_batch(scheduler):
    class Summer(Doubler):
        def __call__(self, inputs):
            return {"total": super().__call__(inputs)["y"].sum()}

    run = Summer()
    queue_of_two = [floats(1, 2), floats(3, 4)]
    futures = held_up(scheduler, run, BatchingParameters(), queue_of_two)
    assert [future.result()["total"] for future in futures] == [6, 14]
    assert run.sizes == [1, 4, 2, 2]


def test_kept_apart_without_parameters(scheduler):
    run = Doubler()
    futures = held_up(scheduler, run, None, [floats(1), floats(2)])
    assert [future.result()["y"].tolist() for future in futures] == [[2], [4]]
    assert run.sizes == [1, 1, 1]


@pytest.mark.parametrize("parameters", [None, BatchingParameters(max_batch_size=1, max_enqueued_batches=3)])
def test_a_full_queue(scheduler, parameters):
    run = Doubler()
    with pytest.raises(ServingError, match="queue to which this task was submitted is full") as failure:
        held_up(scheduler, run, parameters, [floats(n) for n in range(4)], most_waiting=3)
    assert failure.value.code is Code.UNAVAILABLE


def test_too_many_rows_for_a_batch(scheduler):
    run = Doubler()
    queue = BatchQueue(run, BatchingParameters(max_batch_size=2), 10)
    with pytest.raises(ServingError, match="Task size 3 is larger than maximum input batch size 2"):
        scheduler.submit(queue, floats(1, 2, 3))
    queue = BatchQueue(run, DIVIDED, 10)
    with pytest.raises(ServingError, match="Task size 9 is larger than maximum input batch size 8"):
        scheduler.submit(queue, floats(*range(9)))
    assert run.sizes == []


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 8), min_size=1, max_size=12))
def test_divided_requests_fill_batches(scheduler, sizes):
    run = Doubler()
    requests = [floats(*range(20 * n, 20 * n + size)) for n, size in enumerate(sizes)]
    requests = [{"x": request["x"] + 100} for request in requests]  # no 13
    futures = held_up(scheduler, run, DIVIDED, requests)
    for request, future in zip(requests, futures, strict=True):
        np.testing.assert_array_equal(future.result()["y"], 2 * request["x"])
    *full, last = run.sizes[1:]
    assert full == [4] * len(full)
    assert sum(full) + last == sum(sizes)


def test_a_part_that_fails_fails_its_request_and_no_other(scheduler):
    run = Doubler()
    futures = held_up(scheduler, run, DIVIDED, [floats(1, 2, 3), floats(4, 5, 13), floats(6)])
    assert futures[0].result()["y"].tolist() == [2, 4, 6]
    assert futures[2].result()["y"].tolist() == [12]
    with pytest.raises(ServingError, match="13"):
        futures[1].result()


def test_a_divided_request_can_be_cancelled_until_a_part_runs(scheduler):
    run = Doubler()
    queue = BatchQueue(run, DIVIDED, 10)
    run.gate.clear()
    first = scheduler.submit(queue, floats(1, 2, 3, 4, 5, 6))
    while run.begun == 0:
        time.sleep(0.001)
    second = scheduler.submit(queue, floats(*range(8)))
    assert not first.cancel()
    assert second.cancel()
    run.gate.set()
    assert first.result()["y"].tolist() == [2, 4, 6, 8, 10, 12]
    assert sum(run.sizes) == 6


def test_parts_whose_rows_differ_in_size(scheduler):
    class Ragged(Doubler):
        def __call__(self, inputs):
            longest = int(super().__call__(inputs)["y"].max())
            return {"y": np.zeros((inputs["x"].size, longest))}

    with pytest.raises(ServingError, match="the rows of output y differ in size") as failure:
        scheduler.submit(BatchQueue(Ragged(), DIVIDED, 10), floats(1, 1, 1, 1, 2)).result()
    assert failure.value.code is Code.INTERNAL


def test_a_divided_request_whose_outputs_are_no_batch(scheduler):
    def sums(inputs):
        return {"total": inputs["x"].sum()}

    with pytest.raises(ServingError, match="0th dimension") as failure:
        scheduler.submit(BatchQueue(sums, DIVIDED, 10), floats(1, 1, 1, 1, 2)).result()
    assert failure.value.code is Code.FAILED_PRECONDITION


def test_requests_wait_for_others_as_long_as_they_may(scheduler):
    run = Doubler()
    queue = BatchQueue(run, BatchingParameters(max_batch_size=3, batch_timeout_micros=200_000), 10)
    start = time.monotonic()
    futures = [scheduler.submit(queue, floats(n)) for n in range(2)]
    assert [future.result()["y"].tolist() for future in futures] == [[0], [2]]
    assert time.monotonic() - start > 0.19
    start = time.monotonic()
    for future in [scheduler.submit(queue, floats(n)) for n in range(3)]:
        future.result()
    assert time.monotonic() - start < 0.15
    assert run.sizes == [2, 3]


def test_cancelled_requests_do_not_run(scheduler):
    run = Doubler()
    queue = BatchQueue(run, None, 10)
    run.gate.clear()
    first, second = scheduler.submit(queue, floats(1)), None
    while queue:
        time.sleep(0.001)
    second = scheduler.submit(queue, floats(2))
    assert second.cancel()
    run.gate.set()
    assert first.result()["y"].tolist() == [2]
    assert scheduler.submit(queue, floats(3)).result()["y"].tolist() == [6]
    assert len(run.sizes) == 2


def test_closing_finishes_what_waits():
    scheduler, run = BatchScheduler(2), Doubler()
    queue = BatchQueue(run, BatchingParameters(batch_timeout_micros=60_000_000), 10)
    futures = [scheduler.submit(queue, floats(n)) for n in range(5)]
    scheduler.close()
    assert [future.result(0)["y"].tolist() for future in futures] == [[2 * n] for n in range(5)]
    with pytest.raises(ServingError, match="shutting down"):
        scheduler.submit(queue, floats(1))


def test_many_threads_get_each_its_own_answer():
    scheduler, run = BatchScheduler(2), Doubler()
    queue = BatchQueue(run, BatchingParameters(max_batch_size=16, allowed_batch_sizes=(4, 16)), 10)
    wrong = []

    def ask(number: int) -> None:
        for step in range(200):
            values = [1000.0 * number + step + part * 0.25 for part in range(1 + step % 3)]
            if scheduler.submit(queue, floats(*values)).result()["y"].tolist() != [2 * value for value in values]:
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(14, 22)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scheduler.close()
    assert not wrong
