"""What the classifier goes on from: language models of all reviews, and classes for the reviews that have none.

Sources:
    Blum, A. and Mitchell, T. (1998), "Combining Labeled and Unlabeled Data with Co-Training", COLT: two views of the
    same examples, of which one labels what the other learns from.
    Dai, A. M. and Le, Q. V. (2015), "Semi-supervised Sequence Learning", NeurIPS: a classifier that begins with the
    layers of a language model.
    Hinton, G., Vinyals, O. and Dean, J. (2015), "Distilling the Knowledge in a Neural Network", arXiv:1503.02531: a
    teacher's probabilities say more than its answers.
"""

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from apps.sentiment_analysis.assets import SentimentAssets, encode_all
from apps.sentiment_analysis.config import SentimentConfig
from apps.sentiment_analysis.data import Corpus
from apps.sentiment_analysis.model import ReviewLanguageModel, SentimentClassifier
from recur.data.batches import steps_in_pass, stream_batches, validation_batches
from recur.data.caches import cached_arrays
from recur.errors import InputError
from recur.text.words import PADDING
from recur.training.runs import Run
from recur.training.task import Datasets, Stage

logger = logging.getLogger(__name__)

PRETRAINING = "pretraining"
EPOCHS = 5
VALIDATED = 60_000  # words of validation that each epoch's softmax over all words is computed for
TEACHERS = ("fit_tfidf", "fit_nbsvm")  # of `baselines`


def pretraining(corpus: Corpus, assets: SentimentAssets, config: SentimentConfig) -> Stage:
    """The stage before: language models of both directions, on all reviews but those of validation and test."""
    settings = dataclasses.replace(
        config,
        epochs=EPOCHS,
        steps_per_epoch=max(config.pretraining_steps // EPOCHS, 1),
        batch_size=config.pretraining_batch_size,
        learning_rate=config.pretraining_learning_rate,
        dropout=config.pretraining_dropout,
        sampled=min(config.sampled, len(assets.vocabulary)),
        ema_momentum=0.0,
        patience=0,
        weight_decay=0.0,
    )

    def build() -> ReviewLanguageModel:
        model = ReviewLanguageModel(settings, vocabulary_size=len(assets.vocabulary))
        model.build()
        return model

    return Stage(PRETRAINING, settings, build, lambda: _streams(corpus, assets, settings), objective=dict)


def _streams(corpus: Corpus, assets: SentimentAssets, config: SentimentConfig) -> Datasets:
    """Streams of all reviews, one after the other, forward and backward."""
    shape = (config.batch_size, config.pretraining_window)
    train = as_stream(encode_all([*corpus.train.texts, *corpus.unlabelled], assets.vocabulary), config.seed)
    validation = as_stream(encode_all(corpus.validation.texts, assets.vocabulary), config.seed)[:VALIDATED]
    for part, words in (("train", train), ("validation", validation)):
        if steps_in_pass(len(words), *shape) < 1:
            raise InputError(
                f"the {part} part has {len(words):,} words, too few to pre-train on; lower `pretraining_batch_size` "
                f"and `pretraining_window`, or say `pretraining_steps` 0"
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


def hand_over(run: Run, classifier: SentimentClassifier) -> None:
    """Gives a classifier the layers of the language model that a run was pre-trained with.

    Raises:
        InputError: There is none, or it is of another size.
    """
    folder = run.stage(PRETRAINING)
    if not folder.model.exists():
        raise InputError(f"{folder.path} has no language model; choose a run with `pretraining_steps` for `pretrained`")
    try:
        give(keras.saving.load_model(folder.model), classifier)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"the language model of {folder.path} does not fit ({reason}); say its `cell`, `units`, "
            f"`embedding_units` and `bidirectional`"
        ) from None


def give(language_model: ReviewLanguageModel, classifier: SentimentClassifier) -> None:
    """Sets a classifier's embedding and recurrent layer to those of language models.

    Args:
        language_model: Trained.
        classifier: Of the same vocabulary, cell and units, with one recurrent layer.
    """
    classifier.embedding.set_weights(language_model.embedding.get_weights())
    layer = classifier.reader.encoder.layers[0]
    directions = [getattr(layer, "forward_layer", layer), *filter(None, [getattr(layer, "backward_layer", None)])]
    for target, stack in zip(directions, language_model.directions, strict=True):
        target.set_weights(stack.layers[0].get_weights())


def teacher_probabilities(corpus: Corpus) -> np.ndarray:
    """What the linear models of word pairs, fitted on train alone, take the unlabelled reviews for.

    Computed once for the same corpus.

    Returns:
        float32 [unlabelled, classes], the mean of their probabilities; rows add up to one.
    """
    classes = len(corpus.labels)
    if not corpus.unlabelled:
        logger.info(f"{corpus.source} has no reviews without a class: there is nothing for a teacher to label")
        return np.zeros((0, classes), np.float32)

    def compute() -> dict[str, np.ndarray]:
        from apps.sentiment_analysis import baselines  # scikit-learn's, for which an answer need not wait

        logger.info(f"linear models learn from train and label {len(corpus.unlabelled):,} reviews without a class")
        fits = [getattr(baselines, name) for name in TEACHERS]
        teachers = [fit(corpus.train.texts, corpus.train.labels, classes=classes) for fit in fits]
        mean = np.mean([teacher.probabilities(corpus.unlabelled) for teacher in teachers], axis=0)
        return {"probabilities": mean.astype(np.float32)}

    return cached_arrays(f"taught-1-{corpus.fingerprint}", compute)["probabilities"]
