"""The work of an application, as training, evaluation and export ask for it; everything else is derived from it."""

import abc
import dataclasses
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self, TypeVar

from recur.training.config import TrainingConfig

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from recur.serving.module import ServingModule
    from recur.training.runs import Run


class Corpus(Protocol):
    """Data with fixed, documented splits."""

    @property
    def source(self) -> str:
        """What it was read from."""

    @property
    def fingerprint(self) -> str:
        """A digest of all its parts: a run is continued and evaluated on the data that it was trained on."""


class Assets(Protocol):
    """All that is fitted beside the weights: vocabulary, scaler, calibration. It owns the files of a run's `assets`."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads what `write` wrote."""

    def write(self, folder: Path) -> None:
        """Writes all of it."""


ConfigT = TypeVar("ConfigT", bound=TrainingConfig)
CorpusT = TypeVar("CorpusT", bound=Corpus)
AssetsT = TypeVar("AssetsT", bound=Assets)


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
    """What `evaluate` measured. `metrics` and each baseline are flat and finite; everything else is in `details`."""

    split: str
    examples: int
    metrics: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)


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


class Task(abc.ABC, Generic[ConfigT, CorpusT, AssetsT]):
    """Data, assets, model, objective, evaluation beside baselines, and a serving module."""

    assets: type[AssetsT]
    """What is fitted beside the model."""
    datasets: Callable[[CorpusT, AssetsT, ConfigT], Datasets]
    """Of a corpus, what was fitted on it, and a configuration: the batches to train on."""
    serving_module: "Callable[[Trained[ConfigT, AssetsT]], ServingModule]"
    """The class of the module that answers raw requests, or what else makes one of a trained model."""
    monitor: ClassVar[str] = "val_loss"
    """The validation metric, lower is better, by which the best weights are chosen."""

    @abc.abstractmethod
    def read(self, source: str, config: ConfigT) -> CorpusT:
        """Reads and splits the data.

        Raises:
            InputError: The data is missing, unreadable or too little.
        """

    @abc.abstractmethod
    def fit_assets(self, corpus: CorpusT, config: ConfigT) -> AssetsT:
        """Fits vocabulary, tokenizer or scaler, on the training part alone."""

    @abc.abstractmethod
    def build(self, config: ConfigT, assets: AssetsT) -> "keras.Model":
        """The model, built but not compiled."""

    @abc.abstractmethod
    def objective(self, config: ConfigT) -> dict[str, Any]:
        """Loss and metrics: arguments of `keras.Model.compile`."""

    def evaluate(self, trained: Trained[ConfigT, AssetsT], corpus: CorpusT, run: "Run") -> Evaluation:
        """Measures the model and its baselines on the same split, and draws what belongs to the result.

        By default as the function `evaluate` of the module of that name beside this one, which is imported only now:
        an answer need not wait for what fits baselines and draws.
        """
        package = type(self).__module__.rpartition(".")[0]
        return importlib.import_module(f"{package}.evaluate").evaluate(trained, corpus, run)

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

    def finish(self, trained: Trained[ConfigT, AssetsT], corpus: CorpusT) -> AssetsT:
        """The assets with what can only be fitted, on validation, once the model is trained, such as a calibration."""
        return trained.assets

    def stream(
        self, trained: Trained[ConfigT, AssetsT], module: "ServingModule", inputs: Iterable[str], options: Any
    ) -> Iterator[str] | None:
        """Answers for a person in pieces as they come, or None where the options do not ask for that."""
        return None
