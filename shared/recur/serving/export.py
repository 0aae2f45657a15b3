"""Writes a run as the next version of a SavedModel, whole or not at all."""

import json
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from recur.errors import InputError
from recur.serving.answers import ask_module
from recur.serving.repository import VERSION_BATCHING, version_batching, write_checksums
from recur.serving.warmup import write_warmup_requests
from recur.training.application import Application
from recur.training.runs import Run
from recur.training.task import Trained


def export_run(
    application: Application,
    run: Run,
    trained: Trained[Any, Any],
    to: Path,
    others: Sequence[str] = (),
    module: tf.Module | None = None,
) -> Path:
    """Writes `to/NAME/VERSION`: the SavedModel, warm-up records, batching parameters, model card and checksums.

    The folder is made under a name that is no version and renamed when it is complete, so that a server that watches
    `to/NAME` never sees half a version.

    Args:
        application: The application.
        run: The run that is exported.
        trained: Its model.
        to: Folder of all exported models.
        others: The runs that are averaged with it, where `trained` is an ensemble.
        module: Its serving module, where there is one already: what it has traced is not traced again.

    Returns:
        The folder of the new version, one above the highest there.

    Raises:
        InputError: The folder cannot be made.
    """
    folder = to / application.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder} ({error.strerror}); choose another with `to`") from None
    module = module or application.task.serving_module(trained)
    unfinished = folder / f".unfinished-{uuid.uuid4().hex[:8]}"
    try:
        # An export answers and is not trained on: the gradients of its layers need not be traced and written too.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(module, str(unfinished), signatures=dict(module.signatures), options=options)
        write_warmup_requests(unfinished, application.name, application.requests.warmup(ask_module(module).shapes))
        (unfinished / VERSION_BATCHING).write_text(version_batching(application.batching), encoding="utf-8")
        (unfinished / "README.md").write_text(model_card(application, run, others), encoding="utf-8")
        write_checksums(unfinished)
        return _rename_to_next_version(unfinished, folder)
    except tf.errors.OpError as error:  # how TensorFlow says that the disk is full
        raise OSError(f"cannot write to {folder}: {error.message.splitlines()[0]}") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _rename_to_next_version(unfinished: Path, folder: Path) -> Path:
    while True:
        versions = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
        path = folder / str(max(versions, default=0) + 1)
        try:
            return unfinished.rename(path)
        except OSError:
            if not path.exists():  # otherwise another export took this version meanwhile: take the next
                raise


def model_card(application: Application, run: Run, others: Sequence[str] = ()) -> str:
    """The application's model card, followed by what is known of this run, or of its ensemble with others."""
    record, metrics = run.read_record(), (run.stage("ensemble") if others else run).read_metrics()
    if others and metrics and metrics["details"].get("ensemble", [])[1:] != list(others):
        metrics = None  # of another ensemble
    lines = [_card_text(application), "\n## This model\n"]
    facts = {
        "Run": run.path.name + "".join(f", averaged with {Path(name).name}" for name in others),
        "Data": f"{record['data']['source']} (fingerprint {record['data']['fingerprint']})",
        "Preset": record["preset"],
        "Versions": ", ".join(f"{name} {version}" for name, version in record["versions"].items()),
        "Settings": f"`{json.dumps(record['config'])}`",
    }
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    if metrics:
        names = list(metrics["metrics"])
        lines += [f"\nMeasured on {metrics['data']}, {metrics['split']}, {metrics['examples']:,} examples:\n"]
        lines += ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
        for label, values in {"this model": metrics["metrics"], **metrics["baselines"]}.items():
            cells = [f"{values[name]:.4f}" if name in values else "" for name in names]
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
    else:
        lines.append("\nNot evaluated yet.")
    return "\n".join(lines) + "\n"


def _card_text(application: Application) -> str:
    import importlib.resources

    card = importlib.resources.files(application.package) / "README.md"
    return card.read_text(encoding="utf-8").rstrip() if card.is_file() else f"# {application.name}\n"
