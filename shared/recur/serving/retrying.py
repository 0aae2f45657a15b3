"""Asking again, later and later, while a server is not there."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
"""Seconds."""


class Unavailable(Exception):  # noqa: N818 - it is caught as what it says
    """There is no server yet, it has too much to do, or it is about to stop: the same request may do better later."""


def retried(
    call: Callable[[float], T],
    deadline: float,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Calls until it succeeds, after each `Unavailable` waiting twice as long as before (of which half is chance).

    Chance keeps many clients that failed together from coming back together (Brooker, "Exponential Backoff And
    Jitter", AWS Architecture Blog, 2015).

    Args:
        call: From the seconds that are left to the answer.
        deadline: Seconds for everything: no call begins later, and none is told that it has longer.
        sleep: For tests.
        clock: For tests; seconds.

    Raises:
        Unavailable: The last one, when waiting on would pass the deadline.
    """
    end, wait = clock() + deadline, FIRST_WAIT
    while True:
        try:
            return call(max(end - clock(), 0.001))
        except Unavailable:
            pause = wait * random.uniform(0.5, 1.0)
            if clock() + pause >= end:
                raise
        sleep(pause)
        wait = min(2 * wait, LONGEST_WAIT)
