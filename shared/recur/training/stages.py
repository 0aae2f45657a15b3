"""The command `train`: a run from the start, or on from its checkpoint."""

import dataclasses
import datetime
import importlib.metadata
import logging
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tqdm

from recur.errors import InputError
from recur.training import optimization, plots
from recur.training.application import Application, PresetName
from recur.training.config import TrainingConfig
from recur.training.loading import load, parameters, read_again, read_assets, run_config
from recur.training.runs import Run, being_trained, create_run, open_run
from recur.training.task import Datasets, Stage
from recur.training.trainer import Trainer, TrainingStoppedError, steps_per_epoch

logger = logging.getLogger(__name__)


PACKAGES = ("tensorflow", "keras", "numpy")
Bar = Callable[..., Any]
"""Makes a progress bar from tqdm's arguments; the result is used as tqdm's is."""


def versions() -> dict[str, str]:
    """Versions of what a run depends on."""
    return {name: importlib.metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()}


def train(
    application: Application,
    source: str,
    config: TrainingConfig,
    preset: PresetName,
    out: Path | None = None,
    corpus: Any = None,
    bar: Bar = tqdm.tqdm,
) -> Run:
    """Trains from the start; nothing is written before the data is known to be good.

    Args:
        application: What is trained.
        source: The data.
        config: Settings.
        preset: The preset that they started from.
        out: Run directory to make.
        corpus: What `application.task.read(source, config)` gave, where that is known already.
        bar: Makes the progress bar over the steps of each stage.
    """
    corpus = application.task.read(source, config) if corpus is None else corpus
    assets = application.task.fit_assets(corpus, config)
    main = application.task.main(corpus, assets, config)
    models = _build_twice(main)
    record = {
        "application": application.name,
        "preset": preset,
        "config": dataclasses.asdict(config),
        "data": {"source": source, "fingerprint": corpus.fingerprint},
        "versions": versions(),
        "started": datetime.datetime.now().isoformat(timespec="seconds"),
        "finished": None,
    }
    run = create_run(application.name, out)
    try:
        assets.write(run.assets)
        run.write_record(record)
    except OSError:  # a folder that cannot be resumed would only be in the way
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    with being_trained(run):
        _fit(application, run, config, corpus, assets, main, models, bar)
    return run


def resume(application: Application, name: str, bar: Bar = tqdm.tqdm) -> Run:
    """Continues a run from its checkpoint."""
    run = open_run(application.name, name)
    record, config = run.read_record(), run_config(application, name)
    if record["finished"]:
        raise InputError(f"{run.path} is finished; evaluate it, or train another run")
    corpus = read_again(application, run, config)
    assets = read_assets(application, run)
    main = application.task.main(corpus, assets, config)
    models = _build_twice(main)
    with being_trained(run):
        _fit(application, run, config, corpus, assets, main, models, bar)
    return run


def _build_twice(stage: Stage) -> tuple[keras.Model, keras.Model]:
    """The model that learns, and the one that keeps the best weights."""
    keras.utils.set_random_seed(stage.config.seed)
    best = (stage.kept or stage.build)()
    return stage.build(), best


def _fit(
    application: Application,
    run: Run,
    config: TrainingConfig,
    corpus: Any,
    assets: Any,
    main: Stage,
    models: tuple[keras.Model, keras.Model],
    bar: Bar,
) -> None:
    for stage in application.task.stages(corpus, assets, config):
        _fit_stage(application, run, stage, bar)
    data = main.datasets()
    if not run.checkpoint.exists():
        application.task.begin(models[0], config, run)
    trainer = _train(application, run, run, main, data, models, bar)
    trained = load(application, run)  # read back: the best weights may be of an earlier process
    application.task.finish(trained, corpus).write(run.assets)
    record = run.read_record()
    earlier = sum(stage["train_seconds"] for stage in record.get("stages", {}).values())
    run.write_record(
        record
        | {
            "finished": datetime.datetime.now().isoformat(timespec="seconds"),
            "train_seconds": round(earlier + trainer.progress.seconds, 1),
            "gradients": trainer.clipping.report(),
            "parameters": parameters(trainer.best),
        }
    )
    logger.info(
        f"trained in {(earlier + trainer.progress.seconds) / 60:.1f} minutes; "
        f"next: python -m apps.{application.name} evaluate {run.label}"
    )


def _fit_stage(application: Application, run: Run, stage: Stage, bar: Bar) -> None:
    """Trains an earlier stage, unless that is done."""
    record = run.read_record()
    done = record.get("stages", {})
    if stage.name in done:
        return
    folder = run.stage(stage.name)
    folder.make_folders()
    models = _build_twice(stage)
    trainer = _train(application, run, folder, stage, stage.datasets(), models, bar)
    result = {"train_seconds": round(trainer.progress.seconds, 1), "best": trainer.progress.best}
    run.write_record(record | {"stages": done | {stage.name: result | {"gradients": trainer.clipping.report()}}})


def _train(
    application: Application,
    run: Run,
    folder: Run,
    stage: Stage,
    data: Datasets,
    models: tuple[keras.Model, keras.Model],
    bar: Bar,
) -> Trainer:
    """Trains a model, from its checkpoint where there is one; the results go to a folder of the run."""
    (model, best), config = models, stage.config
    total = steps_per_epoch(config, data) * config.epochs
    model.compile(optimization.build_optimizer(config, total), jit_compile=False, **stage.objective())
    board = keras.callbacks.TensorBoard(str(folder.logs), write_graph=False)
    trainer = Trainer(model, best, data, config, folder, stage.monitor, [board])
    if folder.checkpoint.exists():
        trainer.restore_checkpoint()
        logger.info(f"continuing {folder.label} after step {trainer.progress.step:,} of {total:,}")
    seconds = trainer.seconds_per_step()
    left = total - trainer.progress.step
    logger.info(
        f"{folder.label}: {parameters(model):,} parameters, {left:,} steps of about {seconds * 1000:.0f} ms: "
        f"about {seconds * left / 60:.1f} minutes, and validation"
    )
    try:
        with bar(total=total, initial=trainer.progress.step, unit="step", file=sys.stderr, disable=None) as progress:
            trainer.train(progress)
    except (TrainingStoppedError, OSError) as stop:
        again = f"python -m {application.package} train --resume {run.label}"
        logger.info(f"stopped at step {trainer.progress.step:,}; continue: {again}")
        if isinstance(stop, OSError):
            raise
        raise KeyboardInterrupt from None
    plots.training_curves(folder)
    return trainer
