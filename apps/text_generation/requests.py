"""Requests to the signatures: arrays, without TensorFlow."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def sample_request(prompts: Sequence[str], options: Any) -> dict[str, np.ndarray]:
    """Rows of the signature `sample` from `predict`'s options."""
    rows = len(prompts)
    return {
        "prompt": np.array([prompt.encode("utf-8", "surrogateescape") for prompt in prompts], dtype=object),
        "length": np.full(rows, options.length, np.int32),
        "temperature": np.full(rows, options.temperature, np.float32),
        "top_k": np.full(rows, options.top_k, np.int32),
        "top_p": np.full(rows, options.top_p, np.float32),
        "seed": np.full(rows, options.seed, np.int64),
    }


def warmup_requests(prompts: Sequence[str], options: Any) -> Mapping[str, Mapping[str, np.ndarray]]:
    """A typical request for each signature."""
    request = sample_request(prompts, options)
    return {"serving_default": {"prompt": request["prompt"]}, "sample": request}
