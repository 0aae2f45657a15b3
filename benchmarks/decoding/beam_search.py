"""Sentences a second of beam search: the search in graph, beside a loop in Python that calls a compiled step.

    python -m benchmarks.decoding.beam_search RUN [--sentences 128] [--json]

Both use the weights of a run of translation and translate the same sentences of its test part, in turn within one
process; medians of several rounds. The loop in Python is what tutorials do, written well: the step of the model, its
log-softmax and the gathering of its states are one `tf.function`; NumPy ranks hypotheses. It stops as the graph does,
when no living hypothesis can still win.
"""

import dataclasses
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tyro

from apps.translation.application import APPLICATION
from apps.translation.serving import Translator, longest_translation
from recur.text.subwords import BEGIN, END
from recur.text.words import PADDING
from recur.training import loading
from recur.training.runs import open_run


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measure the speed of beam search."""

    run: tyro.conf.Positional[str] = "latest"
    """A run of translation, or `latest`."""
    sentences: int = 128
    """Sentences of the test part, its first that are not very long."""
    rounds: int = 5
    """Rounds, in each of which both ways are timed once."""
    json: bool = False
    """Print one JSON object."""


class SearchFromPython:
    """Beam search that leaves the graph at every step.

    Args:
        translator: The serving module whose model, subwords and settings are used.
    """

    def __init__(self, translator: Translator):
        self.translator, self.width = translator, translator._beam_width
        self.model = translator.model
        self._step = tf.function(self._advance, reduce_retracing=True)
        self._begin = tf.function(self._repeated, reduce_retracing=True)

    def _repeated(self, ids: tf.Tensor) -> tuple:
        begun = self.model.begin(ids)
        return tf.nest.map_structure(lambda tensor: tf.repeat(tensor, self.width, axis=0), begun)

    def _advance(self, symbols: tf.Tensor, rows: tf.Tensor, states: list, memory: tuple) -> tuple:
        """Takes the states of the hypotheses that go on, and reads their newest symbols."""
        states = [tf.gather(state, rows) for state in states]
        logits, states, _ = self.model.step(symbols, states, memory)
        return tf.nn.log_softmax(logits), states

    def translate(self, texts: Sequence[bytes]) -> list[str]:
        """Translations of sentences, none of them longer than what is read in one part."""
        ids = [np.append(row, END) for row in self.translator._subwords.encode_all([text.decode() for text in texts])]
        source = tf.ragged.constant([row.tolist() for row in ids], dtype=tf.int32).to_tensor(PADDING)
        limits = longest_translation(tf.constant([len(row) for row in ids])).numpy()
        states, memory = self._begin(source)
        symbols = self._search(states, memory, limits)
        decoded = self.translator._subwords.decode(tf.ragged.constant(symbols, tf.int32))
        return [text.decode() for text in decoded.numpy()]

    def _search(self, states: list, memory: tuple, limits: np.ndarray) -> list[list[int]]:
        batch, width = len(limits), self.width
        power = self.translator._length_penalty
        living = np.full((batch, width), -np.inf, np.float32)
        living[:, 0] = 0
        paths = np.zeros((batch, width, 0), np.int32)
        best, answers = np.full(batch, -np.inf), [[] for _ in range(batch)]
        symbols, rows = np.full(batch * width, BEGIN, np.int32), np.arange(batch * width, dtype=np.int32)
        for count in range(limits.max() + 1):
            chances, states = self._step(tf.constant(symbols), tf.constant(rows), states, memory)
            totals = chances.numpy().reshape(batch, width, -1)
            vocabulary = totals.shape[-1]
            totals[:, :, [PADDING, BEGIN]] = -np.inf
            over = limits <= count
            totals[over, :, :END] = totals[over, :, END + 1 :] = -np.inf
            totals = (totals + living[:, :, None]).reshape(batch, -1)
            chosen = np.argpartition(-totals, 2 * width, axis=1)[:, : 2 * width]
            ranked = np.take_along_axis(chosen, np.argsort(-np.take_along_axis(totals, chosen, 1), 1, "stable"), 1)
            values = np.take_along_axis(totals, ranked, 1)
            parents, newest = np.divmod(ranked, vocabulary)
            scores = np.where(newest == END, values, -np.inf)[:, :width] / (count + 1) ** power
            for row in np.flatnonzero(scores.max(axis=1) > best):
                place = scores[row].argmax()
                best[row], answers[row] = scores[row, place], paths[row, parents[row, place]].tolist()
            order = np.argsort(-np.where(newest == END, -np.inf, values), 1, "stable")[:, :width]
            parents, newest = np.take_along_axis(parents, order, 1), np.take_along_axis(newest, order, 1)
            living = np.where(newest == END, -np.inf, np.take_along_axis(values, order, 1))
            living[best >= living[:, 0] / (limits + 1) ** power] = -np.inf
            if not (living > -np.inf).any():
                break
            paths = np.concatenate([np.take_along_axis(paths, parents[..., None], 1), newest[..., None]], 2)
            symbols = newest.astype(np.int32).ravel()
            rows = (np.arange(batch)[:, None] * width + parents).astype(np.int32).ravel()
        return answers


def measure(
    ways: dict[str, Callable[[Sequence[bytes]], list[str]]], texts: Sequence[bytes], batch: int, rounds: int
) -> tuple[dict[str, float], dict[str, list[str]]]:
    """Median sentences a second of each way, and its translations."""
    parts = [texts[begin : begin + batch] for begin in range(0, len(texts), batch)]
    translations = {name: [one for part in parts for one in translate(part)] for name, translate in ways.items()}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, translate in ways.items():
            begin = time.perf_counter()
            for part in parts:
                translate(part)
            rates[name].append(len(texts) / (time.perf_counter() - begin))
    return {name: statistics.median(values) for name, values in rates.items()}, translations


def main() -> None:
    """Measures batches of 1 and 32 and prints a table."""
    arguments = tyro.cli(Arguments)
    run = open_run(APPLICATION.name, arguments.run)
    trained = loading.load(APPLICATION, run)
    translator = APPLICATION.task.serving_module(trained)
    corpus = loading.read_again(APPLICATION, run, trained.config)
    if trained.config.coverage_penalty:
        raise SystemExit("error: the loop in Python has no coverage penalty; take a run without")
    short = [text for text in corpus.test.sources if len(text.split()) < trained.config.longest // 2]  # one part each
    texts = [text.encode() for text in short[: arguments.sentences]]

    def in_graph(part: Sequence[bytes]) -> list[str]:
        return [text.decode() for text in translator.translate(tf.constant(part))["translation"].numpy()]

    ways = {"in graph": in_graph, "from Python": SearchFromPython(translator).translate}
    results = {}
    for batch in (1, 32):
        rates, translations = measure(ways, texts, batch, arguments.rounds)
        same = sum(one == other for one, other in zip(*translations.values(), strict=True))
        results[f"batch {batch}"] = {
            "sentences_per_second": {name: round(rate, 1) for name, rate in rates.items()},
            "in_graph_over_from_python": round(rates["in graph"] / rates["from Python"], 2),
            "same_translations": same,
        }
    width = trained.config.beam_width
    if arguments.json:
        print(json.dumps({"run": run.label, "beam_width": width, "sentences": len(texts)} | results))
        return
    for batch, values in results.items():
        rates = ", ".join(f"{name} {rate:,}" for name, rate in values["sentences_per_second"].items())
        print(
            f"{batch}, beam {width}: sentences a second: {rates}: {values['in_graph_over_from_python']} times; "
            f"{values['same_translations']} of {len(texts)} translations are the same"
        )


if __name__ == "__main__":
    main()
