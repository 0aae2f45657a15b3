"""What waits for a batch: a request, or a part of one."""

import dataclasses

from tfserving_dev.batching import Arrays
from tfserving_dev.divided_request import DividedRequest


@dataclasses.dataclass(frozen=True)
class Task:
    """A request that waits, or a part of one."""

    inputs: Arrays
    rows: int
    """Rows that it takes in a batch; 1 for one that runs by itself."""
    added: float
    """When, in seconds of a clock."""
    request: DividedRequest
    """Of which it is a part."""
    part: int = 0
    """Which."""

    def begin(self) -> bool:
        """Whether it shall run."""
        return self.request.begin()

    def finish(self, outputs: Arrays | None, error: Exception | None = None) -> None:
        """Says what it came to."""
        self.request.finish(self.part, outputs, error)
