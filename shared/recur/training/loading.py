"""What a run holds, read back."""

import dataclasses
import filecmp
import math
import zipfile
from collections.abc import Sequence
from typing import Any

import keras

from recur.errors import InputError
from recur.training.application import Application
from recur.training.config import TrainingConfig, config_from_dict
from recur.training.runs import Run, open_run
from recur.training.task import Trained


def run_config(application: Application, name: str) -> TrainingConfig:
    """The settings that a run was trained with."""
    run = open_run(application.name, name)
    try:
        return config_from_dict(type(application.presets["default"]), run.read_record()["config"])
    except InputError as error:
        raise InputError(f"{run.path / 'config.json'}: {error}") from None


def read_again(application: Application, run: Run, config: TrainingConfig) -> Any:
    """The data that a run was trained on."""
    data = run.read_record()["data"]
    corpus = application.task.read(data["source"], config)
    if corpus.fingerprint != data["fingerprint"]:
        raise InputError(
            f"the data at {data['source']} is not what {run.path} was trained on; "
            f"train anew, or evaluate on it by naming it: `data` {data['source']}"
        )
    return corpus


def load(application: Application, run: Run) -> Trained:
    """The best model of a run, with its configuration and assets."""
    config, assets = run_config(application, run.label), read_assets(application, run)
    if not run.model.exists():
        raise InputError(f"{run.path} has no trained model yet; continue it with train `resume` {run.label}")
    model = application.task.build(config, assets)
    try:
        model.load_weights(run.model)
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].split(" Example error message")[0]
        raise InputError(f"{run.model} is damaged ({reason}); copy the run again, or train another") from None
    return Trained(config, assets, model)


def load_ensemble(application: Application, run: Run, others: Sequence[str]) -> Trained:
    """The best model of a run, and those of others to be averaged with it.

    Raises:
        InputError: Another run has other assets, or cannot be read.
    """
    trained, models = load(application, run), []
    for name in others:
        other = open_run(application.name, name)
        if other.read_record()["data"]["fingerprint"] != run.read_record()["data"]["fingerprint"]:
            raise InputError(f"{other.path} was trained on other data than {run.path}, or on another division of it")
        files = sorted(path.name for path in run.assets.iterdir())
        matching, _, _ = filecmp.cmpfiles(run.assets, other.assets, files, shallow=False)
        if sorted(matching) != files:
            named = ", ".join(sorted({*files} - {*matching}))
            raise InputError(
                f"{other.path} has another {named} than {run.path}; an ensemble is of runs that were trained on the "
                f"same data with the same settings of it, and with different seeds say"
            )
        models.append(load(application, other).model)
    return dataclasses.replace(trained, others=tuple(models))


def read_assets(application: Application, run: Run) -> Any:
    """What was fitted beside the model of a run."""
    try:
        return application.task.assets.read(run.assets)
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, OSError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{run.assets} is damaged ({reason}); copy the run again, or train another") from None


def parameters(model: keras.Model) -> int:
    """Weights that training sets."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)
