"""What the commands do: the same for every application."""

import csv
import dataclasses
import datetime
import importlib.metadata
import io
import json
import math
import platform
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import rich.console
import rich.markup
import rich.table
import tqdm

from shared import optimization, plots, training
from shared.answers import answers, ask_module
from shared.application import Application, Datasets, PresetName, Stage, Trained
from shared.config import TrainingConfig, checked, config_from_dict
from shared.errors import InputError
from shared.runs import Run, atomically, being_trained, create_run, open_run, write_json

PACKAGES = ("tensorflow", "keras", "numpy")


def note(text: str) -> None:
    """Progress and logs go to standard error."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def run_config(application: Application, name: str) -> TrainingConfig:
    """The settings that a run was trained with."""
    run = open_run(application.name, name)
    try:
        return config_from_dict(type(application.presets["default"]), run.read_record()["config"])
    except InputError as error:
        raise InputError(f"{run.path / 'config.json'}: {error}") from None


def train(
    application: Application, source: str, config: TrainingConfig, preset: PresetName, out: Path | None = None
) -> Run:
    """Trains from the start; nothing is written before the data is known to be good."""
    corpus = application.read(source, config)
    assets = application.fit_assets(corpus, config)
    models = _build_twice(lambda: application.build(config, assets), config)
    record = {
        "application": application.name,
        "preset": preset,
        "config": dataclasses.asdict(config),
        "data": {"source": source, "fingerprint": corpus.fingerprint},
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
        "started": datetime.datetime.now().isoformat(timespec="seconds"),
        "finished": None,
    }
    run = create_run(application.name, out)
    try:
        application.write_assets(assets, run.assets)
        run.write_record(record)
    except OSError:  # a folder that cannot be resumed would only be in the way
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    with being_trained(run):
        _fit(application, run, config, corpus, assets, models)
    return run


def resume(application: Application, name: str) -> Run:
    """Continues a run from its checkpoint."""
    run = open_run(application.name, name)
    record, config = run.read_record(), run_config(application, name)
    if record["finished"]:
        raise InputError(f"{run.path} is finished; evaluate it, or train another run")
    corpus = _read_again(application, run, config)
    assets = _read_assets(application, run)
    models = _build_twice(lambda: application.build(config, assets), config)
    with being_trained(run):
        _fit(application, run, config, corpus, assets, models)
    return run


def _read_again(application: Application, run: Run, config: TrainingConfig) -> Any:
    """The data that a run was trained on."""
    data = run.read_record()["data"]
    corpus = application.read(data["source"], config)
    if corpus.fingerprint != data["fingerprint"]:
        raise InputError(
            f"the data at {data['source']} is not what {run.path} was trained on; "
            f"train anew, or evaluate on it by naming it: --data {data['source']}"
        )
    return corpus


def _build_twice(build: Callable[[], keras.Model], config: TrainingConfig) -> tuple[keras.Model, keras.Model]:
    """The model that learns, and the one that keeps the best weights."""
    keras.utils.set_random_seed(config.seed)
    best = build()
    return build(), best


def _fit(
    application: Application,
    run: Run,
    config: TrainingConfig,
    corpus: Any,
    assets: Any,
    models: tuple[keras.Model, keras.Model],
) -> None:
    for stage in application.stages(corpus, assets, config):
        _fit_stage(application, run, stage)
    data = application.datasets(corpus, assets, config)
    if not run.checkpoint.exists():
        application.begin(models[0], config, run)
    trainer = _train(application, run, run, config, data, models, application.objective(config), application.monitor)
    application.finish(Trained(config, assets, trainer.best), corpus, run)
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
    note(
        f"trained in {(earlier + trainer.progress.seconds) / 60:.1f} minutes; "
        f"next: python -m apps.{application.name} evaluate {run.label}"
    )


def _fit_stage(application: Application, run: Run, stage: Stage) -> None:
    """Trains an earlier stage, unless that is done."""
    record = run.read_record()
    done = record.get("stages", {})
    if stage.name in done:
        return
    folder = run.stage(stage.name)
    folder.make_folders()
    models = _build_twice(stage.build, stage.config)
    trainer = _train(application, run, folder, stage.config, stage.datasets(), models, stage.objective(), stage.monitor)
    found = {"train_seconds": round(trainer.progress.seconds, 1), "best": trainer.progress.best}
    run.write_record(record | {"stages": done | {stage.name: found | {"gradients": trainer.clipping.report()}}})


def _train(
    application: Application,
    run: Run,
    folder: Run,
    config: TrainingConfig,
    data: Datasets,
    models: tuple[keras.Model, keras.Model],
    objective: Mapping[str, Any],
    monitor: str,
) -> training.Trainer:
    """Trains a model, from its checkpoint where there is one; the results go to a folder of the run."""
    model, best = models
    total = training.steps_per_epoch(config, data) * config.epochs
    model.compile(optimization.build_optimizer(config, total), jit_compile=False, **objective)
    logger = keras.callbacks.TensorBoard(str(folder.logs), write_graph=False)
    trainer = training.Trainer(model, best, data, config, folder, monitor, [logger])
    if folder.checkpoint.exists():
        trainer.restore_checkpoint()
        note(f"continuing {folder.label} after step {trainer.progress.step:,} of {total:,}")
    seconds = trainer.seconds_per_step()
    left = total - trainer.progress.step
    note(
        f"{folder.label}: {parameters(model):,} parameters, {left:,} steps of about {seconds * 1000:.0f} ms: "
        f"about {seconds * left / 60:.1f} minutes, and validation"
    )
    try:
        with tqdm.tqdm(total=total, initial=trainer.progress.step, unit="step", file=sys.stderr, disable=None) as bar:
            trainer.train(bar)
    except (training.TrainingStoppedError, OSError) as stop:
        again = f"python -m apps.{application.name} train --resume {run.label}"
        note(f"stopped at step {trainer.progress.step:,}; continue: {again}")
        if isinstance(stop, OSError):
            raise
        raise KeyboardInterrupt from None
    plots.training_curves(folder)
    return trainer


def parameters(model: keras.Model) -> int:
    """Weights that training sets."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def load(application: Application, run: Run) -> Trained:
    """The best model of a run, with its configuration and assets."""
    config, assets = run_config(application, run.label), _read_assets(application, run)
    if not run.model.exists():
        raise InputError(f"{run.path} has no trained model yet; continue it with train --resume {run.label}")
    model = application.build(config, assets)
    try:
        model.load_weights(run.model)
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].split(" Example error message")[0]
        raise InputError(f"{run.model} is damaged ({reason}); copy the run again, or train another") from None
    return Trained(config, assets, model)


def _read_assets(application: Application, run: Run) -> Any:
    try:
        return application.read_assets(run.assets)
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, OSError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{run.assets} is damaged ({reason}); copy the run again, or train another") from None


def evaluate(
    application: Application, name: str, source: str | None = None, *, as_json: bool = False
) -> dict[str, Any]:
    """Measures a run beside its baselines, writes `metrics.json`, and prints."""
    run = open_run(application.name, name)
    record = run.read_record()
    trained = load(application, run)
    corpus = application.read(source, trained.config) if source else _read_again(application, run, trained.config)
    result = application.evaluate(trained, corpus, run)
    metrics = {
        "application": application.name,
        "data": source or record["data"]["source"],
        "split": result.split,
        "examples": result.examples,
        "parameters": parameters(trained.model),
        "train_seconds": record.get("train_seconds", 0.0),
        "metrics": dict(result.metrics),
        "baselines": {name: dict(values) for name, values in result.baselines.items()},
        "details": dict(result.details) | _gradients(record),
    }
    write_json(run.path / "metrics.json", metrics)
    if as_json:
        print(json.dumps(metrics, ensure_ascii=False))  # noqa: T201
    else:
        console = rich.console.Console()
        console.print(metrics_table(metrics))
        for name, value in metrics["details"].items():
            console.print(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}", highlight=False)
        note(f"written: {run.path / 'metrics.json'}, pictures in {run.plots}")
    return metrics


def _gradients(record: Mapping[str, Any]) -> dict[str, float]:
    """The shares of training steps whose gradients were clipped, and that were skipped because they were not finite."""
    report = record.get("gradients")  # a run of an earlier version, or one that has not finished, has none
    if not report:
        return {}
    steps = max(report["updates"] + report["skipped"], 1)
    return {
        "clipped_steps": report["clipped"] * report["updates"] / steps,
        "skipped_steps": report["skipped"] / steps,
    }


def metrics_table(metrics: dict[str, Any]) -> rich.table.Table:
    """The model beside its baselines."""
    title = f"{metrics['application']}: {metrics['data']}, {metrics['split']} ({metrics['examples']:,} examples)"
    table = rich.table.Table(title=rich.markup.escape(title))
    names = list(metrics["metrics"])
    for column in ("", *names):
        table.add_column(column, justify="left" if not column else "right")
    for label, values in {"this model": metrics["metrics"], **metrics["baselines"]}.items():
        table.add_row(label, *(f"{values[name]:.4f}" if name in values else "" for name in names))
    return table


def predict(
    application: Application,
    name: str,
    inputs: Sequence[str] | None,
    options: Any,
    as_json: bool = False,
    output: Path | None = None,
) -> None:
    """Answers inputs through the serving module that `export` writes."""
    if output is not None and output.suffix not in (".csv", ".jsonl"):
        raise InputError(f"--output {output} should end in .csv or .jsonl")
    options = checked(options)
    module = application.serving_module(load(application, open_run(application.name, name)))
    raw = iter(inputs) if inputs else standard_input()
    if not inputs and sys.stdin.isatty():
        note("reading inputs from the terminal, one a line; Ctrl-D ends")
    found = answers(application, ask_module(module), raw, options)
    if as_json:
        found = list(found)
    if output is not None:
        note(f"wrote {_write_answers(output, found)} answers to {output}")
    if as_json:
        print(json.dumps({"application": application.name, "answers": list(found)}, ensure_ascii=False))  # noqa: T201
    elif output is None:
        pieces = application.stream(module, raw, options) or (application.show(answer) + "\n" for answer in found)
        for piece in pieces:
            print(piece, end="", flush=True)  # noqa: T201


def _write_answers(path: Path, answers: Iterable[dict[str, Any]]) -> int:
    count = 0
    with atomically(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for count, answer in enumerate(answers, 1):
            if path.suffix == ".jsonl":
                file.write(json.dumps(answer, ensure_ascii=False) + "\n")
                continue
            writer = csv.DictWriter(file, fieldnames=list(answer))
            if count == 1:
                writer.writeheader()
            writer.writerow(answer)
    return count


def standard_input() -> Iterator[str]:
    """Lines of standard input without their line ends, as they come; bytes that are not UTF-8 are replaced."""
    for line in io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", errors="replace"):
        yield line.rstrip("\r\n")


def export(application: Application, name: str, to: Path) -> Path:
    """Writes the next version of the application's SavedModel."""
    from shared.serving.export import export_run

    run = open_run(application.name, name)
    path = export_run(application, run, load(application, run), to)
    print(path)  # noqa: T201
    return path
