"""Reviews to rows of the signatures, and answers back. Loads no TensorFlow."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apps.sentiment_analysis.config import AnswerOptions
from apps.sentiment_analysis.explanation import in_terminal, printable
from recur.errors import InputError
from recur.training.application import Request, Shapes


def examples() -> Sequence[str]:
    """Reviews in the manner of the sample's."""
    return (
        "The best coffee I have had in years, and it arrived in two days.",
        "Stale, bitter and far too expensive. I want my money back.",
        "Not bad at all, but I would not buy it again.",
    )


def parse(inputs: Sequence[str], options: AnswerOptions, shapes: Shapes) -> Request:
    """Rows of `serving_default`, or of `explain`; bytes of a review that are not UTF-8 are sent as they are."""
    if options.html is not None and not options.explain:
        raise InputError("`html` writes explanations; say `explain` too")
    texts = np.array([text.encode("utf-8", "surrogateescape") for text in inputs], dtype=object)
    return Request("explain" if options.explain else "serving_default", {"text": texts}, inputs, options)


def records(request: Request, outputs: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Text, label, probability, and tokens with their weights where they were asked for."""
    answers: list[dict[str, Any]] = [
        {"text": text.decode("utf-8", "replace"), "label": label.decode(), "probability": float(probability)}
        for text, label, probability in zip(
            request.arrays["text"], outputs["label"], outputs["probability"], strict=True
        )
    ]
    if request.signature == "explain":
        for answer, tokens, weights in zip(answers, outputs["tokens"], outputs["weights"], strict=True):
            answer["tokens"] = [token.decode("utf-8", "replace") for token in tokens if token]
            answer["weights"] = [float(weight) for weight in weights[: len(answer["tokens"])]]
    return answers


def show(record: dict[str, Any]) -> str:
    """Label, probability and text; its words in colours where they are explained."""
    text = (
        in_terminal(record["tokens"], record["weights"])
        if "tokens" in record
        else printable(" ".join(record["text"].split()))
    )
    return f"{record['label']}  {record['probability']:.3f}  {text}"


def warmup(shapes: Shapes) -> Mapping[str, Mapping[str, np.ndarray]]:
    """A few reviews for `serving_default`, and one to explain."""
    texts = parse(examples(), AnswerOptions(), shapes).arrays["text"]
    return {"serving_default": {"text": texts}, "explain": {"text": texts[:1]}}
