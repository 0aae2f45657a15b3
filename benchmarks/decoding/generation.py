"""Characters a second of text generation: the loop in graph, beside the same model driven from Python.

    python -m benchmarks.decoding.generation RUN [--json]

Three ways, in turn within one process, medians of several rounds:
* in graph: the exported signature `sample`, one call for a whole text;
* compiled step: one `tf.function` that draws a character and reads it, called once a character;
* eager: the Keras model called once a character, as most tutorials do.
"""

import dataclasses
import json
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tyro

from apps.text_generation.application import APPLICATION
from apps.text_generation.config import SamplingOptions
from apps.text_generation.requests import parse
from recur.decoding.samplers import sample
from recur.training import loading
from recur.training.runs import open_run

PROMPT = "ROMEO:\n"


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measure the speed of text generation."""

    run: tyro.conf.Positional[str] = "latest"
    """A run of text generation, or `latest`."""
    length: int = 400
    """Characters a text."""
    rounds: int = 7
    """Rounds, in each of which every way is timed once."""
    json: bool = False
    """Print one JSON object."""


def ways(module: tf.Module, model: tf.Module, batch: int, length: int) -> dict[str, Callable[[], float]]:
    """Functions that generate and return how many characters they generated."""
    request = parse([PROMPT] * batch, SamplingOptions(length=length), {}).arrays
    tensors = {name: tf.constant(value) for name, value in request.items()}
    settings = [tensors[name] for name in ("temperature", "top_k", "top_p")]
    noise = tf.random.stateless_uniform([length, batch], [0, 0])

    def in_graph() -> float:
        module.sample(**tensors)["text"].numpy()
        return batch * length

    def step(logits: tf.Tensor, states: list[tf.Tensor], noise: tf.Tensor) -> tuple:
        symbols = sample(logits, noise, *settings)
        return symbols, *model.step(symbols, states)

    compiled = tf.function(step, reduce_retracing=True)

    def driven(step: Callable, steps: int) -> float:
        _, logits, states = module._begin_traced(tensors["prompt"])
        written = []
        for t in range(steps):
            symbols, logits, states = step(logits, states, noise[t])
            written.append(symbols)
        np.stack([symbols.numpy() for symbols in written])
        return batch * steps

    def eager_step(logits: tf.Tensor, states: list[tf.Tensor], noise: tf.Tensor) -> tuple:
        symbols = sample(logits, noise, *settings)
        logits, states = model.advance(symbols[:, None], states)
        return symbols, logits[:, 0], states

    return {
        "in graph": in_graph,
        "compiled step": lambda: driven(compiled, length),
        "eager": lambda: driven(eager_step, max(length // 10, 1)),
    }


def measure(module: tf.Module, model: tf.Module, batch: int, length: int, rounds: int) -> dict[str, float]:
    """Median characters a second of each way."""
    timed = ways(module, model, batch, length)
    for generate in timed.values():
        generate()
    rates: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(rounds):
        for name, generate in timed.items():
            begin = time.perf_counter()
            characters = generate()
            rates[name].append(characters / (time.perf_counter() - begin))
    return {name: statistics.median(values) for name, values in rates.items()}


def main() -> None:
    """Measures batches of 1 and 64 and prints a table."""
    arguments = tyro.cli(Arguments)
    run = open_run(APPLICATION.name, arguments.run)
    trained = loading.load(APPLICATION, run)
    module = APPLICATION.task.serving_module(trained)
    results = {}
    for batch in (1, 64):
        rates = measure(module, trained.model, batch, arguments.length, arguments.rounds)
        results[f"batch {batch}"] = {
            "characters_per_second": {name: round(rate) for name, rate in rates.items()},
            "in_graph_over_compiled_step": round(rates["in graph"] / rates["compiled step"], 2),
            "in_graph_over_eager": round(rates["in graph"] / rates["eager"], 2),
        }
    if arguments.json:
        print(json.dumps({"run": run.label, "length": arguments.length} | results))
        return
    for batch, values in results.items():
        rates = "  ".join(f"{name} {rate:,}" for name, rate in values["characters_per_second"].items())
        print(f"{batch}: characters a second: {rates}")
        print(
            f"    in graph: {values['in_graph_over_compiled_step']} × compiled step, "
            f"{values['in_graph_over_eager']} × eager"
        )


if __name__ == "__main__":
    main()
