"""Translations of many sentences, in batches of similar length."""

import sys
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tqdm

from apps.translation.serving import Translator

BATCH = 64


def translate_all(translator: Translator, texts: Sequence[str]) -> list[str]:
    """Translations, as `predict` gives them.

    Args:
        translator: The serving module of a run.
        texts: Sentences.
    """
    order = np.argsort([len(text) for text in texts], kind="stable")
    found: list[str] = [""] * len(texts)
    with tqdm.tqdm(
        total=len(texts), desc="translating", unit="sentence", file=sys.stderr, delay=2, disable=None
    ) as bar:
        for begin in range(0, len(texts), BATCH):
            index = order[begin : begin + BATCH]
            answers = translator.translate(tf.constant([texts[i].encode() for i in index]))["translation"]
            for place, answer in zip(index, answers.numpy(), strict=True):
                found[place] = answer.decode()
            bar.update(len(index))
    return found


def attended(translator: Translator, texts: Sequence[str]) -> list[tuple[list[str], list[str], np.ndarray]]:
    """Source tokens, tokens and weights [tokens, source tokens] of sentences, to draw; none of what is empty."""
    found = {name: value.numpy() for name, value in translator.attention(tf.constant(list(texts))).items()}
    drawn = []
    for source, target, weights in zip(found["source_tokens"], found["tokens"], found["weights"], strict=True):
        read, written = ([token.decode() for token in tokens if token] for tokens in (source, target))
        if read and written:
            drawn.append((read, written, weights[: len(written), : len(read)]))
    return drawn
