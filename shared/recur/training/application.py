"""What is known of an application before TensorFlow is loaded: name, settings, requests, and where its task is."""

import dataclasses
import functools
import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, cast

from recur.training.config import TrainingConfig

if TYPE_CHECKING:
    import numpy as np

    from recur.training.task import Task

Shapes = Mapping[str, Mapping[str, tuple[int | None, ...]]]
"""Of the inputs of each signature, by name; None where a size may vary."""
PresetName = Literal["quick", "default", "best"]


class Request(NamedTuple):
    """Raw inputs, read once: what a signature is asked, and what its answer is shown with.

    Attributes:
        signature: Name of the signature.
        arrays: Its inputs by name, a row for each raw input.
        parsed: What was read of each raw input, as the application's `records` takes it.
        options: The options that it was read with.
    """

    signature: str
    arrays: "Mapping[str, np.ndarray]"
    parsed: Sequence[Any]
    options: Any


class Requests(Protocol):
    """The module `requests` of an application; it loads no TensorFlow, for a server can be asked without."""

    def examples(self) -> Sequence[str]:
        """Raw inputs that `demo` predicts, and asks of the export."""

    def parse(self, inputs: Sequence[str], options: Any, shapes: Shapes) -> Request:
        """Reads raw inputs.

        Args:
            inputs: Raw inputs; `Application.answer_batch` of them at most.
            options: An instance of the application's `options`.
            shapes: What the model that is asked takes: what of an input it reads may depend on the run.

        Raises:
            InputError: An input cannot be used.
        """

    def records(self, request: Request, outputs: "Mapping[str, np.ndarray]") -> list[dict[str, Any]]:
        """A signature's outputs as one record an input, of plain Python values.

        Raises:
            InputError: An answer says that its input could not be used.
        """

    def show(self, record: dict[str, Any]) -> str:
        """How a record is printed for a person."""

    def warmup(self, shapes: Shapes) -> "Mapping[str, Mapping[str, np.ndarray]]":
        """By signature one typical request, with which an export is warmed up; one for study needs none."""


@dataclasses.dataclass(frozen=True)
class Batching:
    """How a server puts requests of several clients together."""

    rows: int = 32
    """That are computed together, at most; a longer request is divided."""
    wait_microseconds: int = 1_000
    """For which the first row waits for others."""


@dataclasses.dataclass(frozen=True)
class Headline:
    """The metric by which a model is compared with its strongest baseline in one sentence."""

    metric: str
    """Its name in the metrics of an evaluation."""
    higher_is_better: bool
    """Whether more is better."""
    shortfall: str
    """Why the `quick` preset may fall short of a baseline on its sample, and what does not: a sentence."""

    def strongest(self, baselines: Mapping[str, Mapping[str, float]]) -> str | None:
        """Name of the strongest baseline, or None where none has the metric."""
        known = {name: values[self.metric] for name, values in baselines.items() if self.metric in values}
        return max(known, key=lambda name: known[name] if self.higher_is_better else -known[name], default=None)

    def lead(self, value: float, baseline: float) -> float:
        """By how much a value is better than a baseline's; negative where it is worse."""
        return value - baseline if self.higher_is_better else baseline - value


@dataclasses.dataclass(frozen=True)
class Application:
    """An application, as the command line knows it before any work is done."""

    name: str
    """Name of its folder under `apps/`."""
    summary: str
    """One line: what goes in, what comes out."""
    presets: Mapping[PresetName, TrainingConfig]
    """The same configuration class in three sizes."""
    options: type
    """Frozen dataclass of what `predict` can be told besides its inputs."""
    headline: Headline
    """What the demo's page compares with the strongest baseline."""
    needs_run: Sequence[str] = ()
    """Of the options, what only `predict` can do, because it has the model: a server's answer comes all at once."""
    ensembles: bool = False
    """Whether several runs can answer as one (`--ensemble`): the serving module then averages `Trained.models`."""
    answer_batch: int = 32
    """Inputs that are answered together."""
    batching: Batching = Batching()
    """How a server puts requests together."""
    demo_seconds: float = 200.0
    """Roughly how long `demo` takes for this application on one core, to plan by and to estimate from."""
    package: str = ""
    """Its package; `apps.NAME` by default."""

    def __post_init__(self):
        object.__setattr__(self, "package", self.package or f"apps.{self.name}")

    @functools.cached_property
    def task(self) -> "Task[Any, Any, Any]":
        """The work: `TASK` of the package's module `task`, which loads TensorFlow."""
        return importlib.import_module(f"{self.package}.task").TASK

    @functools.cached_property
    def requests(self) -> Requests:
        """The package's module `requests`."""
        return cast(Requests, importlib.import_module(f"{self.package}.requests"))
