"""Sentences to rows of a signature, and translations back. Loads no TensorFlow."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apps.translation.config import AnswerOptions
from recur.training.application import Request, Shapes


def examples() -> Sequence[str]:
    """Sentences in the style of the sample."""
    return (
        "The men went up to the mountain in the morning.",
        "The king gave them food and drink.",
        "Do not be afraid, for I am with you.",
    )


def parse(inputs: Sequence[str], options: AnswerOptions, shapes: Shapes) -> Request:
    """Rows of `serving_default`, or of `n_best`; bytes that are not UTF-8 are sent as they are."""
    texts = np.array([text.encode("utf-8", "surrogateescape") for text in inputs], dtype=object)
    return Request("n_best" if options.n_best else "serving_default", {"text": texts}, inputs, options)


def records(request: Request, outputs: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Text, translation and score; or text, translations and scores."""
    if not request.options.n_best:
        rows = zip(request.parsed, outputs["translation"], outputs["score"], strict=True)
        return [
            {"text": text, "translation": translation.decode(), "score": float(score)}
            for text, translation, score in rows
        ]
    return [
        {
            "text": text,
            "translations": [translation.decode() for translation in translations],
            "scores": [float(score) for score in scores],
        }
        for text, translations, scores in zip(request.parsed, outputs["translations"], outputs["scores"], strict=True)
    ]


def show(record: dict[str, Any]) -> str:
    """The translation alone, so that line by line a file becomes its translation; several with their scores."""
    if "translation" in record:
        return record["translation"]
    rows = zip(record["scores"], record["translations"], strict=True)
    return "\n".join([record["text"], *(f"{score:8.3f}  {translation}" for score, translation in rows)])


def warmup(shapes: Shapes) -> Mapping[str, Mapping[str, np.ndarray]]:
    """A few sentences for `serving_default`, one for each other signature."""
    texts = parse(examples(), AnswerOptions(), shapes).arrays["text"]
    return {"serving_default": {"text": texts}, "n_best": {"text": texts[:1]}, "attention": {"text": texts[:1]}}
