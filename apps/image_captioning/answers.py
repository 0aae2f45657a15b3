"""How captions are written down and printed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def records(inputs: Sequence[str], outputs: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """A record an image.

    Args:
        inputs: Paths.
        outputs: Of the signature `serving_default` or `n_best`.

    Returns:
        `image`, `caption` and `score`; of `n_best` `image`, `captions` and `scores`.
    """
    if "captions" not in outputs:
        rows = zip(inputs, outputs["caption"], outputs["score"], strict=True)
        return [{"image": image, "caption": caption.decode(), "score": float(score)} for image, caption, score in rows]
    return [
        {
            "image": image,
            "captions": [caption.decode() for caption in captions],
            "scores": [float(score) for score in scores],
        }
        for image, captions, scores in zip(inputs, outputs["captions"], outputs["scores"], strict=True)
    ]


def shown(answer: Mapping[str, Any]) -> str:
    """The image and its caption; several captions with their scores."""
    if "caption" in answer:
        return f"{answer['image']}: {answer['caption']}"
    rows = zip(answer["scores"], answer["captions"], strict=True)
    return "\n".join([answer["image"], *(f"{score:8.3f}  {caption}" for score, caption in rows)])
