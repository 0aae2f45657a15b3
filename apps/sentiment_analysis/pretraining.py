"""The stage before: language models on all reviews but those of validation and test."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from apps.sentiment_analysis.assets import SentimentAssets
from apps.sentiment_analysis.data import Corpus, encode_all
from apps.sentiment_analysis.language_model import ReviewLanguageModel, give
from apps.sentiment_analysis.model import SentimentClassifier
from recur.data.batches import steps_in_pass, stream_batches, validation_batches
from recur.errors import InputError
from recur.text.words import PADDING
from recur.training.runs import Run
from recur.training.task import Datasets, Stage

if TYPE_CHECKING:
    from apps.sentiment_analysis.application import SentimentConfig

EPOCHS = 5
VALIDATED = 60_000  # words of validation that each epoch's softmax over all words is computed for


def stage(name: str, corpus: Corpus, assets: SentimentAssets, config: "SentimentConfig") -> Stage:
    """The language models of both directions, on train and unlabelled reviews."""
    settings = dataclasses.replace(
        config,
        epochs=EPOCHS,
        steps_per_epoch=max(config.pretraining_steps // EPOCHS, 1),
        batch_size=config.pretraining_batch_size,
        learning_rate=config.pretraining_learning_rate,
        ema_momentum=0.0,
        patience=0,
        weight_decay=0.0,
    )
    return Stage(
        name=name,
        config=settings,
        build=lambda: language_model(assets, config),
        datasets=lambda: datasets(corpus, assets, settings),
        objective=dict,
    )


def language_model(assets: SentimentAssets, config: "SentimentConfig") -> ReviewLanguageModel:
    """The language models that fit a classifier of the same settings."""
    model = ReviewLanguageModel(
        vocabulary_size=len(assets.vocabulary),
        embedding_units=config.embedding_units,
        cell=config.cell,
        units=config.units,
        bidirectional=config.bidirectional,
        dropout=config.pretraining_dropout,
        sampled=min(config.sampled, len(assets.vocabulary)),
        streams=config.pretraining_batch_size,
    )
    model.build()
    return model


def datasets(corpus: Corpus, assets: SentimentAssets, config: "SentimentConfig") -> Datasets:
    """Streams of all reviews, one after the other, forward and backward."""
    shape = (config.batch_size, config.pretraining_window)
    train = as_stream(encode_all([*corpus.train.texts, *corpus.unlabelled], assets.vocabulary), config.seed)
    validation = as_stream(encode_all(corpus.validation.texts, assets.vocabulary), config.seed)[:VALIDATED]
    for part, words in (("train", train), ("validation", validation)):
        if steps_in_pass(len(words), *shape) < 1:
            raise InputError(
                f"the {part} part has {len(words):,} words, too few to pre-train on; lower --pretraining-batch-size "
                f"and --pretraining-window, or say --pretraining-steps 0"
            )

    def both(make: Any, words: np.ndarray) -> list[Any]:
        return [make(words), make(words[::-1].copy())][: 1 + config.bidirectional]

    streams = both(lambda words: stream_batches(words, *shape, config.seed), train)
    return Datasets(
        train=lambda first: joined([make(first) for make in streams]),
        steps_per_pass=steps_in_pass(len(train), *shape),
        validation=joined(both(lambda words: validation_batches(words, *shape), validation)),
    )


def as_stream(reviews: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """Reviews in random order, each followed by the id of padding: int32 [words]."""
    order = np.random.default_rng(seed).permutation(len(reviews))
    end = np.array([PADDING], np.int32)
    return np.concatenate([part for i in order for part in (reviews[i], end)])


def joined(directions: Sequence[tf.data.Dataset]) -> tf.data.Dataset:
    """Batches of one direction or two as one: inputs by name, targets [directions, streams, window]."""

    def join(*batches: tuple[dict[str, tf.Tensor], tf.Tensor]) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        named = {name: x["symbols"] for name, (x, _) in zip(("forward", "backward"), batches, strict=False)}
        return named | {"carry": batches[0][0]["carry"]}, tf.stack([y for _, y in batches])

    return tf.data.Dataset.zip(*directions).map(join).prefetch(2)


def hand_over(folder: Run, classifier: SentimentClassifier) -> None:
    """Gives a classifier the layers of the best language model of a stage.

    Raises:
        InputError: There is none, or it is of another size.
    """
    if not folder.model.exists():
        raise InputError(f"{folder.path} has no language model; choose a run with --pretraining-steps for --pretrained")
    try:
        give(keras.saving.load_model(folder.model), classifier)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"the language model of {folder.path} does not fit ({reason}); say its --cell, --units, "
            f"--embedding-units and --bidirectional"
        ) from None
