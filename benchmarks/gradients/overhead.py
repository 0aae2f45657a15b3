"""What clipping and watching gradients costs: training steps of text generation with both callbacks and without.

    python -m benchmarks.gradients.overhead [--preset default] [--seconds S] [--every N] [--json]

Three copies of one model take turns, a block of steps each: without callbacks, with Keras's own `global_clipnorm`, and
with `GradientClipping` and `GradientMonitor` at their defaults, writing `gradients.csv` and TensorBoard's logs as a
training run does. A block of `--every` steps has one look of the monitor. The ratios are medians over all turns.
"""

import dataclasses
import json as json_format
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported

import keras
import tqdm
import tyro

from apps.text_generation.application import APPLICATION
from apps.text_generation.config import TextGenerationConfig
from recur.callbacks import GradientClipping, GradientMonitor
from recur.training.optimization import build_optimizer

EVERY = 20  # steps: the default of the monitor


def main(
    preset: Literal["quick", "default", "best"] = "default",
    seconds: float = 300.0,
    every: int = EVERY,
    json: bool = False,
) -> None:
    """Measures the price of the gradient callbacks.

    Args:
        preset: Of text generation, on its packaged sample.
        seconds: How long to measure.
        every: Steps from one look of the monitor to the next.
        json: Print one JSON object and nothing else.
    """
    config = APPLICATION.presets[preset]
    with tempfile.TemporaryDirectory() as folder:
        blocks = competitors(config, every, Path(folder))
        taken: dict[str, list[float]] = {name: [] for name in blocks}
        for block in blocks.values():  # traces, and the first look, which computes spectral radii
            block()
        end = time.perf_counter() + seconds
        with tqdm.tqdm(total=round(seconds), unit="s", file=sys.stderr, disable=None) as bar:
            while time.perf_counter() < end or len(taken["without"]) < 5:
                for name, block in blocks.items():
                    taken[name].append(block())
                bar.update(min(round(seconds - (end - time.perf_counter())), bar.total) - bar.n)
    ratios = {
        name: statistics.median(a / b for a, b in zip(times, taken["without"], strict=True))
        for name, times in taken.items()
    }
    step = statistics.median(taken["without"]) / every
    measured = {"preset": preset, "every": every, "turns": len(taken["without"]), "milliseconds": 1000 * step} | {
        "overhead": {name: ratio - 1 for name, ratio in ratios.items() if name != "without"},
        "settings": dataclasses.asdict(config),
    }
    if json:
        print(json_format.dumps(measured))
        return
    print(f"text generation, {preset}: a step takes {1000 * step:.1f} ms; {measured['turns']} turns of {every} steps")
    for name, ratio in measured["overhead"].items():
        print(f"{name}: {ratio:+.1%}")


def competitors(config: TextGenerationConfig, every: int, folder: Path) -> dict[str, Callable[[], float]]:
    """Returns what makes a block of `every` steps and says how many seconds it took, for each way to train."""
    corpus = APPLICATION.task.read("sample", config)
    assets = APPLICATION.task.fit_assets(corpus, config)
    data = APPLICATION.task.datasets(corpus, assets, config)

    def block(clipnorm: float | None, callbacks: list[keras.callbacks.Callback]) -> Callable[[], float]:
        keras.utils.set_random_seed(config.seed)
        model, optimizer = APPLICATION.task.build(config, assets), build_optimizer(config, 10**6)
        optimizer.global_clipnorm = clipnorm
        model.compile(optimizer, jit_compile=False, **APPLICATION.task.objective(config))
        optimizer.build(model.trainable_variables)
        model.make_train_function()
        calls = keras.callbacks.CallbackList(callbacks, model=model, verbose=0)
        calls.on_train_begin()
        batches = iter(data.train(0))

        def run() -> float:
            begin = time.perf_counter()
            for step in range(every):
                calls.on_train_batch_begin(step)
                logs = model.train_function(batches)
                calls.on_train_batch_end(step, logs)
                float(logs["loss"])  # as the progress bar does
            return time.perf_counter() - begin

        return run

    watched = [GradientClipping("global_norm", 1.0), GradientMonitor(folder, every, tensorboard=folder / "logs")]
    return {
        "without": block(None, []),
        "Keras's global_clipnorm": block(1.0, []),
        "GradientClipping and GradientMonitor": block(None, watched),
    }


if __name__ == "__main__":
    tyro.cli(main)
