"""Reviews a second of sentiment analysis, raw text in, beside Keras's own bidirectional example.

    python -m benchmarks.serving.sentiment [RUN] [--data SOURCE] [--reviews 256] [--rounds 5] [--json]

SavedModels that take raw strings answer the same reviews of the test part, in the same order, each in turn in every
round; the rates are medians over the rounds. They are called through Python (the signature of `tf.saved_model.load`)
and through the C++ loader, as TensorFlow Serving would.

* Recur: the run's export, which reads as many words of a review as it was trained on;
* Recur, 200 words: the same weights, told to read no more than Keras's example does (where that is less);
* Keras's example: `bidirectional_lstm_imdb` of keras-io (20,000 words, the first 200 of a review, an embedding of 128,
  two bidirectional LSTMs of 64, a sigmoid) behind a `TextVectorization` that is adapted on the train part. Its weights
  are not trained, which changes its answers and not its speed.
"""

import dataclasses
import json as json_format
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import keras
import numpy as np
import tensorflow as tf
import tqdm
import tyro
from keras import layers

from apps.sentiment_analysis.application import APPLICATION
from recur.errors import InputError
from recur.serving.export import export_run
from recur.text.words import clip_length, normalise, split_words
from recur.training import loading
from recur.training.runs import Run, open_run
from recur.training.task import Trained
from tfserving_dev.session import NativeSavedModel

BATCHES = (1, 64)
VOCABULARY, LONGEST = 20_000, 200  # of Keras's example
EXAMPLE = "Keras's example"

Answer = Callable[[Sequence[bytes]], Any]


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measure the speed of sentiment analysis."""

    run: tyro.conf.Positional[str] = "latest"
    """A run of sentiment analysis, or `latest`."""
    data: str | None = None
    """Where the reviews come from; by default what the run was trained on."""
    reviews: int = 256
    """How many reviews of the test part are answered in a round."""
    rounds: int = 5
    """Rounds, in each of which every model answers every review once for each batch size."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main(arguments: Arguments) -> None:
    """Measures, and prints a table."""
    if min(arguments.reviews, arguments.rounds) < 1:
        sys.exit("error: there must be at least one review and one round")
    try:
        run = open_run(APPLICATION.name, arguments.run)
        trained = loading.load(APPLICATION, run)
        log("reading the reviews")
        source = arguments.data
        corpus = (
            APPLICATION.task.read(source, trained.config)
            if source
            else loading.read_again(APPLICATION, run, trained.config)
        )
    except InputError as error:
        sys.exit(f"error: {error}")
    texts = random.Random(0).sample(corpus.test.texts, min(arguments.reviews, len(corpus.test.texts)))
    example = keras_example(corpus.train.texts)
    ours = competitors(trained)
    words = words_read(texts, ours, example)
    with tempfile.TemporaryDirectory() as folder:
        exported = export(run, ours, example, Path(folder))
        rates = measure(exported, texts, arguments.rounds)
    rows = [
        {
            "called_through": loader,
            "batch": batch,
            "model": name,
            "reviews_per_second": rate,
            "words_per_second": rate * words[name],
            "times_example": rate / rates[loader, batch, EXAMPLE],
        }
        for (loader, batch, name), rate in rates.items()
    ]
    report = {"run": run.label, "data": corpus.source, "reviews": len(texts), "rounds": arguments.rounds}
    report |= {"cores": os.cpu_count(), "words_per_review": words, "rows": rows}
    print(json_format.dumps(report) if arguments.json else table(report))


def keras_example(texts: Sequence[bytes]) -> keras.Model:
    """Keras's example model with raw strings as its input, untrained; its vocabulary is that of some texts."""
    log("adapting the vocabulary of Keras's example")
    vectorize = layers.TextVectorization(VOCABULARY, output_sequence_length=LONGEST)
    vectorize.adapt(tf.data.Dataset.from_tensor_slices(tf.constant(texts)).batch(256))
    return keras.Sequential(
        [
            keras.Input((), dtype="string"),
            vectorize,
            layers.Embedding(VOCABULARY, 128),
            layers.Bidirectional(layers.LSTM(64, return_sequences=True)),
            layers.Bidirectional(layers.LSTM(64)),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def competitors(trained: Trained) -> dict[str, Trained]:
    """The run's model, and the same one when it reads no more words of a review than Keras's example."""
    models = {"Recur": trained}
    if trained.config.longest > LONGEST:
        shorter = dataclasses.replace(trained.config, longest=LONGEST)
        models[f"Recur, {LONGEST} words"] = dataclasses.replace(trained, config=shorter)
    return models


def words_read(texts: Sequence[bytes], ours: dict[str, Trained], example: keras.Model) -> dict[str, float]:
    """Words of a review that each model reads, in the mean: padding is none."""
    words = split_words(normalise(tf.constant(texts)))
    lengths = {
        name: clip_length(words, trained.config.longest, trained.config.keep).row_lengths()
        for name, trained in ours.items()
    }
    lengths[EXAMPLE] = np.count_nonzero(example.layers[0](tf.constant(texts)), axis=1)
    return {name: float(np.mean(of_reviews)) for name, of_reviews in lengths.items()}


def export(run: Run, ours: dict[str, Trained], example: keras.Model, folder: Path) -> dict[str, Path]:
    """Writes a SavedModel of each into a folder."""
    log("exporting")
    paths = {name: export_run(APPLICATION, run, trained, folder) for name, trained in ours.items()}
    example.export(folder / "example", verbose=False)
    return paths | {EXAMPLE: folder / "example"}


def through_python(path: Path) -> Answer:
    """How Python calls a SavedModel."""
    loaded = tf.saved_model.load(str(path))
    signature = loaded.signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]

    def answer(texts: Sequence[bytes]) -> list[np.ndarray]:
        return [value.numpy() for value in signature(**{name: tf.constant(texts)}).values()]

    answer.owner = loaded  # which keeps the variables of the signature
    return answer


def through_native(path: Path) -> Answer:
    """How a server calls a SavedModel."""
    model = NativeSavedModel(path)
    (name,) = model.signatures["serving_default"].inputs
    return lambda texts: model.run({name: np.array(texts, dtype=object)})


def measure(exported: dict[str, Path], texts: Sequence[bytes], rounds: int) -> dict[tuple[str, int, str], float]:
    """Median reviews a second by loader, batch and model."""
    loaders = {"Python": through_python, "C++": through_native}
    answers = {loader: {name: load(path) for name, path in exported.items()} for loader, load in loaders.items()}
    rates: dict[tuple[str, int, str], list[float]] = {
        (loader, batch, name): [] for loader in loaders for batch in BATCHES for name in exported
    }
    for loader, batch, name in rates:  # the first calls of a graph are slow
        for begin in range(0, len(texts), batch)[:3]:
            answers[loader][name](texts[begin : begin + batch])
    total = rounds * len(rates)
    with tqdm.tqdm(total=total, unit="turn", file=sys.stderr, disable=None) as bar:
        for _ in range(rounds):
            for (loader, batch, name), values in rates.items():
                answer, begin = answers[loader][name], time.perf_counter()
                for first in range(0, len(texts), batch):
                    answer(texts[first : first + batch])
                values.append(len(texts) / (time.perf_counter() - begin))
                bar.update()
    return {key: statistics.median(values) for key, values in rates.items()}


def table(report: dict[str, Any]) -> str:
    """The rates in Markdown."""
    lines = [
        f"{report['run']} on {report['reviews']:,} reviews of {report['data']}, medians of {report['rounds']} rounds; "
        f"words read of a review: " + ", ".join(f"{n} {v:.0f}" for n, v in report["words_per_review"].items()),
        "",
        f"| called through | batch | model | reviews a second | words read a second | × {EXAMPLE} |",
        "|---|---:|---|---:|---:|---:|",
    ]
    lines += [
        f"| {row['called_through']} | {row['batch']} | {row['model']} | {row['reviews_per_second']:,.1f} "
        f"| {row['words_per_second']:,.0f} | {row['times_example']:.2f} |"
        for row in report["rows"]
    ]
    return "\n".join(lines)


def log(line: str) -> None:
    """Prints a line to standard error."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
