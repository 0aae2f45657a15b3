"""What is counted, under the names that TensorFlow Serving exports to Prometheus."""

import collections
import threading
from collections.abc import Iterable

import prometheus_client
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from tfserving_dev.errors import Code

_COUNT = ":tensorflow:serving:request_count"
_MICROSECONDS = [10 * 1.8**step for step in range(32)]


class Metrics:
    """Counts requests and runs. Threads may use it at once."""

    def __init__(self) -> None:
        self._registry = prometheus_client.CollectorRegistry()
        self._registry.register(prometheus_client.ProcessCollector(registry=None))
        self._counts = _Counts()
        self._registry.register(self._counts)
        self._requests = self._histogram(
            "request_latency", "wall time of a request", ("model_name", "API", "entrypoint")
        )
        self._runs = self._histogram(
            "runtime_latency", "wall time of TensorFlow's run", ("model_name", "API", "runtime")
        )

    def _histogram(self, name: str, what: str, labels: Iterable[str]) -> prometheus_client.Histogram:
        documentation = f"Distribution of {what}, in microseconds."
        return prometheus_client.Histogram(
            f":tensorflow:serving:{name}", documentation, labels, buckets=_MICROSECONDS, registry=self._registry
        )

    def answered(self, model: str, api: str, entrypoint: str, code: Code, seconds: float) -> None:
        """Counts a request.

        Args:
            model: The model's name; "" where the client named none that is served, for clients' words make no labels.
            api: `Predict`, `Classify` and so on by gRPC; by REST `predict` and so on, and "" for what is not run.
            entrypoint: `REST` or `GRPC`.
            code: What it came to.
            seconds: From when it was read until it was answered.
        """
        self._counts.add(model, code.name)
        if code is Code.OK:
            self._requests.labels(model, api, entrypoint).observe(seconds * 1e6)

    def ran(self, model: str, seconds: float) -> None:
        """Counts a run of a session."""
        self._runs.labels(model, "Predict", "TF1").observe(seconds * 1e6)

    def page(self) -> bytes:
        """Everything, in Prometheus's text format."""
        return prometheus_client.generate_latest(self._registry)


class _Counts(Collector):
    """A counter without the suffix that the library gives its own."""

    def __init__(self) -> None:
        self._values: collections.Counter[tuple[str, str]] = collections.Counter()
        self._lock = threading.Lock()

    def add(self, model: str, status: str) -> None:
        with self._lock:
            self._values[model, status] += 1

    def collect(self) -> Iterable[Metric]:
        metric = Metric(_COUNT, "The total number of requests.", "unknown")
        with self._lock:
            for (model, status), value in sorted(self._values.items()):
                metric.add_sample(_COUNT, {"model_name": model, "status": status}, value)
        yield metric
