"""Logits of many reviews, in batches of similar length."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tqdm

from apps.sentiment_analysis.batches import ordered_batches, read_part
from apps.sentiment_analysis.data import encode_all
from recur.training.task import Trained


def logits(trained: Trained, texts: Sequence[bytes]) -> np.ndarray:
    """Logits before the temperature: float32 [texts, classes], a row the same whatever is beside it."""
    reviews = read_part(encode_all(texts, trained.assets.vocabulary), trained.config)
    order = np.argsort([len(review) for review in reviews], kind="stable")
    call = tf.function(
        lambda ids: trained.model(ids, training=False), input_signature=[tf.TensorSpec([None, None], tf.int32)]
    )
    found = np.empty((len(reviews), len(trained.assets.labels)), np.float32)
    done = 0
    with tqdm.tqdm(total=len(reviews), desc="reading", unit="review", delay=2, leave=False, disable=None) as bar:
        for ids, _ in ordered_batches(reviews, np.zeros((len(reviews), 1), np.float32)):
            found[order[done : done + len(ids)]] = call(ids).numpy()
            done += len(ids)
            bar.update(len(ids))
    return found
