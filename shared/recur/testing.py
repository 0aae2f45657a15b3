"""What every application promises, checked on a small run of it: for the tests of an application."""

import dataclasses
import json
import math
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recur.errors import InputError
from recur.serving.answers import Asked, answers, ask_module, ask_saved_model, same_answer
from recur.serving.export import export_run
from recur.serving.session import SavedModelSession
from recur.training import stages
from recur.training.application import Application
from recur.training.config import TrainingConfig, config_from_dict
from recur.training.loading import load, read_assets, run_config
from recur.training.runs import Run
from recur.training.trainer import steps_per_epoch

BATCHES = 3  # that are compared


def check_application(
    application: Application,
    folder: Path,
    config: TrainingConfig,
    source: str = "sample",
    inputs: Sequence[str] = (),
    corpus: Any = None,
) -> Run:
    """Checks an application against its contract; it trains twice, so the configuration should be a small one.

    Configurations survive being written and refuse what they do not know; nothing is fitted on test data; a run that is
    stopped and resumed equals one never stopped; it is measured beside baselines; the run, read back, its export and a
    session of it answer alike; and an answer does not depend on what is asked beside it.

    Args:
        application: The application.
        folder: An empty folder that runs and exports may be written to.
        config: Settings of a training of a few steps: two epochs at least.
        source: What it is trained on.
        inputs: Raw inputs to answer, of different lengths; by default the application's examples.
        corpus: What the task reads from the source with this configuration, where that is known already.

    Returns:
        The run that was never stopped.

    Raises:
        AssertionError: The contract is broken; the message says where.
    """
    check_configurations(application)
    corpus = application.task.read(source, config) if corpus is None else corpus
    check_nothing_is_fitted_on_test(application, corpus, config, folder)
    run = check_resumption(application, corpus, config, source, folder)
    check_evaluation(application, corpus, run)
    check_answers(application, run, inputs or application.requests.examples(), folder)
    return run


def check_configurations(application: Application) -> None:
    """The presets are valid, survive being written as JSON, and an unknown key is refused."""
    for name, preset in application.presets.items():
        written = json.loads(json.dumps(dataclasses.asdict(preset)))
        assert config_from_dict(type(preset), written) == preset, f"the preset {name} is another once it is read back"
        try:
            config_from_dict(type(preset), written | {"learnin_rate": 1.0})
        except InputError:
            continue
        raise AssertionError(f"{type(preset).__name__} takes a setting that it does not know")


def check_nothing_is_fitted_on_test(
    application: Application, corpus: Any, config: TrainingConfig, folder: Path
) -> None:
    """Assets and batches are the same whatever the test part of the corpus is."""
    task, fitted, batches = application.task, [], []
    for number, seen in enumerate((corpus, dataclasses.replace(corpus, test=corpus.validation))):
        assets = task.fit_assets(seen, config)
        place = folder / f"assets-{number}"
        place.mkdir(parents=True)
        assets.write(place)
        fitted.append({path.name: path.read_bytes() for path in sorted(place.iterdir())})
        data = task.main(seen, assets, config).datasets()
        batches.append([*data.train(0).take(BATCHES), *data.validation.take(BATCHES)])
    assert fitted[0] == fitted[1], "what is fitted before training depends on the test part"
    _assert_equal(batches[0], batches[1], "what is trained and validated on depends on the test part")


def check_resumption(application: Application, corpus: Any, config: TrainingConfig, source: str, folder: Path) -> Run:
    """A run that is interrupted in its middle and resumed ends with the weights and history of one never stopped."""
    whole = stages.train(application, source, config, "quick", folder / "whole", corpus)
    data = application.task.main(corpus, read_assets(application, whole), config).datasets()
    middle = steps_per_epoch(config, data) * (config.epochs // 2) + 1
    try:
        stages.train(application, source, config, "quick", folder / "broken", corpus, bar=_interrupting(middle))
    except KeyboardInterrupt:
        broken = stages.resume(application, str(folder / "broken"))
    else:
        raise AssertionError("training went on after an interrupt")
    weights = [load(application, run).model.get_weights() for run in (whole, broken)]
    _assert_equal(weights[0], weights[1], "the weights of a resumed run differ from those of one never stopped")
    assets = [{path.name: path.read_bytes() for path in run.assets.iterdir()} for run in (whole, broken)]
    assert assets[0] == assets[1], "the assets of a resumed run differ from those of one never stopped"
    assert run_config(application, whole.label) == config
    return whole


def check_evaluation(application: Application, corpus: Any, run: Run) -> None:
    """Metrics and baselines are flat and finite, and the headline is among both."""
    run.plots.mkdir(parents=True, exist_ok=True)
    result = application.task.evaluate(load(application, run), corpus, run)
    for name, values in {"the model": result.metrics, **result.baselines}.items():
        wrong = {key: value for key, value in values.items() if type(value) is not float or not math.isfinite(value)}
        assert not wrong, f"metrics of {name} that are no finite numbers: {wrong}"
    assert result.examples > 0
    assert application.headline.metric in result.metrics
    assert application.headline.strongest(result.baselines), f"no baseline has {application.headline.metric}"


def check_answers(application: Application, run: Run, inputs: Sequence[str], folder: Path) -> None:
    """The run, its export in a session and each input by itself are answered alike."""
    trained, options = load(application, run), application.options()
    module = application.task.serving_module(trained)

    def answered(asked: Asked, some: Sequence[str] = inputs) -> list[dict[str, Any]]:
        return list(answers(application, asked, some, options))

    for given in inputs:
        try:
            answered(ask_module(module), [given])
        except Exception as error:
            raise AssertionError(f"{given!r} alone has no answer: {type(error).__name__}: {error}") from error
    together = answered(ask_module(module))
    assert len(together) == len(inputs), f"{len(inputs)} inputs have {len(together)} answers"
    assert all(isinstance(application.requests.show(record), str) for record in together)
    json.dumps(together, allow_nan=False)
    shapes = ask_module(module).shapes
    warm = application.requests.warmup(shapes)
    assert warm, "there is no warm-up request"
    assert warm.keys() <= shapes.keys(), f"the warm-up has {sorted(warm)}, the signatures are {sorted(shapes)}"
    for given, record in zip(inputs, together, strict=True):
        alone = answered(ask_module(module), [given])[0]
        assert same_answer(alone, record), f"{given!r} is answered {alone} alone and {record} beside others"
    again = answered(ask_module(application.task.serving_module(load(application, run))))
    assert same_answer(again, together), "a run that is read again answers otherwise"
    with SavedModelSession(export_run(application, run, trained, folder / "saved_models", module=module)) as session:
        exported = answered(ask_saved_model(session))
    assert same_answer(exported, together), f"the export answers {exported}, the run {together}"
    read_assets(application, run).write(folder / "assets-0")  # what is read can be written again


def _interrupting(step: int) -> Callable[..., Any]:
    """Makes a bar that interrupts training once, after a step."""

    class Bar:
        def __init__(self, initial: int = 0, **_: Any):
            self.step = initial

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self) -> None:
            self.step += 1
            if self.step == step:
                signal.raise_signal(signal.SIGINT)

        def set_postfix(self, **_: Any) -> None:
            pass

        def write(self, text: str, **_: Any) -> None:
            pass

    return Bar


def _assert_equal(first: Any, second: Any, message: str) -> None:
    import keras

    pairs = zip(keras.tree.flatten(first), keras.tree.flatten(second), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs), message
