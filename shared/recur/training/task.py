"""The contract that an application fills in; everything else is derived from it."""

import abc
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from recur.training.config import TrainingConfig

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from recur.training.runs import Run

ConfigT = TypeVar("ConfigT", bound=TrainingConfig)
CorpusT = TypeVar("CorpusT")
AssetsT = TypeVar("AssetsT")

Shapes = Mapping[str, Mapping[str, tuple[int | None, ...]]]
"""Of the inputs of each signature, by name; None where a size may vary."""
PresetName = Literal["quick", "default", "best"]


@dataclasses.dataclass(frozen=True)
class Datasets:
    """What training reads."""

    train: "Callable[[int], tf.data.Dataset]"
    """From the number of a step, the endless batches from that step on: the same ones however often it is asked."""
    steps_per_pass: int
    """Steps in one pass over the training data."""
    validation: "tf.data.Dataset"
    """Finite, the same at every pass."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """A training: the main one, or one before it, in a folder of its own in the run and resumed as that is."""

    name: str
    """Of the folder, `stages/NAME`, of one before the main one."""
    config: TrainingConfig
    """Its settings: epochs, batches, learning rate."""
    build: "Callable[[], keras.Model]"
    """Its model, built but not compiled."""
    datasets: Callable[[], Datasets]
    """What it reads."""
    objective: Callable[[], dict[str, Any]]
    """Loss and metrics: arguments of `keras.Model.compile`."""
    monitor: str = "val_loss"
    """The validation metric, lower is better, by which its best weights are chosen."""
    kept: "Callable[[], keras.Model] | None" = None
    """Builds the model that takes the best weights and is saved, where its class is not that of the one that learns."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found. `metrics` and each baseline are flat and finite; everything else is in `details`."""

    split: str
    examples: int
    metrics: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)


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
class Trained(Generic[ConfigT, AssetsT]):
    """A model with what was fitted beside it."""

    config: ConfigT
    assets: AssetsT
    model: "keras.Model"
    others: "Sequence[keras.Model]" = ()
    """Of more runs with the same assets, to be averaged with it; only where the application has ensembles."""

    @property
    def models(self) -> "list[keras.Model]":
        """The model and the others."""
        return [self.model, *self.others]


class Application(abc.ABC, Generic[ConfigT, CorpusT, AssetsT]):
    """Five things: configuration, data, model, evaluation beside baselines, and a serving module."""

    name: ClassVar[str]
    """Name of the folder under `apps/`."""
    summary: ClassVar[str]
    """One line: what goes in, what comes out."""
    presets: Mapping[PresetName, ConfigT]
    """The same configuration class in three sizes."""
    options: ClassVar[type]
    """Frozen dataclass of what `predict` can be told besides its inputs."""
    needs_run: ClassVar[Sequence[str]] = ()
    """Of the options, what only `predict` can do, because it has the model: a server's answer comes all at once."""
    monitor: ClassVar[str] = "val_loss"
    """The validation metric, lower is better, by which the best weights are chosen."""
    ensembles: ClassVar[bool] = False
    """Whether several runs can answer as one (`--ensemble`): `serving_module` then averages `Trained.models`."""
    answer_batch: ClassVar[int] = 32
    """Inputs that are answered together."""
    batching: ClassVar[Batching] = Batching()
    """How a server puts requests together."""
    headline: ClassVar[Headline]
    """What the demo's page compares with the strongest baseline."""
    demo_inputs: ClassVar[Sequence[str]]
    """Inputs that `demo` predicts and asks of the export."""
    demo_seconds: ClassVar[float] = 200.0
    """Roughly how long `demo` takes for this application on one core, to plan by and to estimate from."""

    @abc.abstractmethod
    def read(self, source: str, config: ConfigT) -> CorpusT:
        """Reads and splits the data; the corpus says its `source` and `fingerprint`.

        Raises:
            InputError: The data is missing, unreadable or too little.
        """

    @abc.abstractmethod
    def fit_assets(self, corpus: CorpusT, config: ConfigT) -> AssetsT:
        """Fits vocabulary, tokenizer or scaler, on the training part alone."""

    @abc.abstractmethod
    def write_assets(self, assets: AssetsT, folder: Path) -> None:
        """Writes the assets into a run's folder."""

    @abc.abstractmethod
    def read_assets(self, folder: Path) -> AssetsT:
        """Reads what `write_assets` wrote."""

    @abc.abstractmethod
    def datasets(self, corpus: CorpusT, assets: AssetsT, config: ConfigT) -> Datasets:
        """The batches to train on."""

    @abc.abstractmethod
    def build(self, config: ConfigT, assets: AssetsT) -> "keras.Model":
        """The model, built but not compiled."""

    @abc.abstractmethod
    def objective(self, config: ConfigT) -> dict[str, Any]:
        """Loss and metrics: arguments of `keras.Model.compile`."""

    @abc.abstractmethod
    def evaluate(self, trained: Trained[ConfigT, AssetsT], corpus: CorpusT, run: "Run") -> Evaluation:
        """Measures the model and its baselines on the same split, and draws what belongs to the result."""

    @abc.abstractmethod
    def serving_module(self, trained: Trained[ConfigT, AssetsT]) -> "tf.Module":
        """A module that owns its variables; its `signatures` maps names to `tf.function`s on raw inputs."""

    @abc.abstractmethod
    def warmup_requests(self, shapes: Shapes) -> Mapping[str, Mapping[str, Any]]:
        """For each signature, one typical request: input names and arrays.

        Args:
            shapes: What the signatures of the export take.
        """

    @abc.abstractmethod
    def request(self, inputs: Sequence[str], options: Any, shapes: Shapes) -> "tuple[str, Mapping[str, np.ndarray]]":
        """The signature to ask, and its inputs, a row for each raw input.

        Args:
            inputs: Raw inputs.
            options: An instance of `options`.
            shapes: What the model that is asked takes: what of an input it reads may depend on the run.

        Raises:
            InputError: An input cannot be used.
        """

    @abc.abstractmethod
    def records(self, inputs: Sequence[str], outputs: "Mapping[str, np.ndarray]", options: Any) -> list[dict[str, Any]]:
        """The signature's outputs as one record an input, of plain Python values.

        Raises:
            InputError: An answer says that its input could not be used.
        """

    @abc.abstractmethod
    def show(self, answer: dict[str, Any]) -> str:
        """How a record is printed for a person."""

    def stages(self, corpus: CorpusT, assets: AssetsT, config: ConfigT) -> Sequence[Stage]:
        """Trainings before the main one, in their order; none by default."""
        return ()

    def main(self, corpus: CorpusT, assets: AssetsT, config: ConfigT) -> Stage:
        """The training whose best weights are the run's: by default of `build`, `datasets` and `objective`."""
        return Stage(
            "main",
            config,
            lambda: self.build(config, assets),
            lambda: self.datasets(corpus, assets, config),
            lambda: self.objective(config),
            self.monitor,
        )

    def begin(self, model: "keras.Model", config: ConfigT, run: "Run") -> None:
        """Gives a model that is about to be trained what earlier stages have learnt; see `Run.stage`."""

    def finish(self, trained: Trained[ConfigT, AssetsT], corpus: CorpusT, run: "Run") -> None:
        """Fits on validation what can only be fitted once the model is trained, such as a calibration."""

    def stream(self, module: "tf.Module", inputs: Iterable[str], options: Any) -> Iterator[str] | None:
        """Answers for a person in pieces as they come, or None where the options do not ask for that."""
        return None
