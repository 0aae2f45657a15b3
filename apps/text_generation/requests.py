"""Prompts to rows of the signature `sample`, and texts back. Loads no TensorFlow."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apps.text_generation.config import SamplingOptions
from recur.training.application import Request, Shapes


def examples() -> Sequence[str]:
    """Prompts in the style of the sample."""
    return "ROMEO:\n", "To be, or not to be", "First Citizen:\nBefore we proceed"


def parse(inputs: Sequence[str], options: SamplingOptions, shapes: Shapes) -> Request:
    """Rows of the signature `sample`; bytes of a prompt that are not UTF-8 are sent as they are."""
    rows = len(inputs)
    arrays = {
        "prompt": np.array([prompt.encode("utf-8", "surrogateescape") for prompt in inputs], dtype=object),
        "length": np.full(rows, options.length, np.int32),
        "temperature": np.full(rows, options.temperature, np.float32),
        "top_k": np.full(rows, options.top_k, np.int32),
        "top_p": np.full(rows, options.top_p, np.float32),
        "seed": np.full(rows, options.seed, np.int64),
    }
    return Request("sample", arrays, inputs, options)


def records(request: Request, outputs: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Prompt and text."""
    prompts = [prompt.decode("utf-8", "replace") for prompt in request.arrays["prompt"]]
    return [{"prompt": prompt, "text": text.decode()} for prompt, text in zip(prompts, outputs["text"], strict=True)]


def show(record: dict[str, Any]) -> str:
    """The text."""
    return record["text"]


def warmup(shapes: Shapes) -> Mapping[str, Mapping[str, np.ndarray]]:
    """A short prompt for each signature."""
    request = parse(examples()[:1], SamplingOptions(), shapes)
    return {"serving_default": {"prompt": request.arrays["prompt"]}, "sample": request.arrays}
