"""Cross-entropy first, then self-critical training: the stages of a run, and what the second reads."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from apps.image_captioning.assets import CaptioningAssets
from apps.image_captioning.model import CaptioningModel
from apps.image_captioning.pictures import Album
from apps.image_captioning.reward import CaptionReward, with_endings
from apps.image_captioning.self_critical import Rewards, SelfCriticalModel
from recur.training.task import Datasets, Stage

if TYPE_CHECKING:
    from apps.image_captioning.config import CaptioningConfig

FIRST_STAGE = "cross_entropy"


def refinement(
    corpus: Album,
    assets: CaptioningAssets,
    config: "CaptioningConfig",
    settings: dict,
    build: Callable[[], CaptioningModel],
    features: Callable[[], Sequence[np.ndarray]],
) -> Stage:
    """Self-critical training as the main one of a run.

    Args:
        corpus: The data.
        assets: Its words.
        config: `self_critical_epochs` passes over images, in batches that draw about
            `self_critical_batch_size` captions.
        settings: Of the `CaptioningModel`.
        build: Makes the model that is kept.
        features: Gives those of the train and of the validation images.
    """
    samples = config.self_critical_samples
    images = min(max(1, config.self_critical_batch_size // samples), len(corpus.train))
    changed = {"word_dropout": 0.0, "embedding_dropout": 0.0, "output_dropout": 0.0, "scheduled_sampling": 0.0}

    def build_learner() -> keras.Model:
        reward = CaptionReward(assets.vocabulary, corpus.train.captions)
        parts = (rewards_of(reward, part.captions) for part in (corpus.train, corpus.validation))
        model = SelfCriticalModel(*parts, samples, config.self_critical_longest, **settings | changed)
        model.build()
        return model

    return Stage(
        "main",
        dataclasses.replace(
            config,
            epochs=config.self_critical_epochs,
            steps_per_epoch=0,
            batch_size=images,
            learning_rate=config.self_critical_learning_rate,
        ),
        build_learner,
        lambda: image_datasets(*features(), images, config.seed),
        dict,
        "val_loss",
        build,
    )


def rewards_of(reward: CaptionReward, captions: Sequence[Sequence[str]]) -> Rewards:
    """What captions of the images of a part are worth, beside its captions."""
    references = with_endings(captions)
    return lambda images, written: reward(written, [references[image] for image in images])


def image_datasets(features: np.ndarray, validation_features: np.ndarray, size: int, seed: int) -> Datasets:
    """An image a row: train in another order each pass, those left over in none; validation in order.

    Args:
        features: Of the train images, float16 [images, rows, columns, channels].
        validation_features: Of the validation images.
        size: Images in a batch.
        seed: Of the order.
    """
    steps = len(features) // size
    signature = {
        "features": tf.TensorSpec([None, *features.shape[1:]], tf.float16),
        "image": tf.TensorSpec([None], tf.int32),
    }

    def batches(part: np.ndarray, rows: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        for begin in range(0, len(rows), size):
            chosen = rows[begin : begin + size]
            yield {"features": part[chosen], "image": chosen.astype(np.int32)}

    def train(first: int) -> tf.data.Dataset:
        def endless() -> Iterator[dict[str, np.ndarray]]:
            turn, skipped = divmod(first, steps)
            while True:
                order = np.random.default_rng(seed + 10_007 * turn).permutation(len(features))
                yield from batches(features, order[skipped * size : steps * size])
                turn, skipped = turn + 1, 0

        return tf.data.Dataset.from_generator(endless, output_signature=signature).prefetch(4)

    everything = np.arange(len(validation_features))
    validation = tf.data.Dataset.from_generator(
        lambda: batches(validation_features, everything), output_signature=signature
    )
    cardinality = tf.data.experimental.assert_cardinality(-(-len(everything) // size))
    return Datasets(train, steps, validation.apply(cardinality).prefetch(4))
