"""How captions are written down and printed."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from recur.errors import InputError


def records(inputs: Sequence[str], outputs: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """A record an image.

    Args:
        inputs: Paths.
        outputs: Of the signature `serving_default` or `n_best`.

    Returns:
        `image`, `caption` and `score`; of `n_best` `image`, `captions` and `scores`.

    Raises:
        InputError: An image cannot be decoded, so that its score is NaN.
    """
    scores = outputs["scores"][:, 0] if "scores" in outputs else outputs["score"]
    for image, score in zip(inputs, scores, strict=True):
        if math.isnan(score):
            _refuse(Path(image))
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


def _refuse(path: Path) -> NoReturn:
    from apps.image_captioning.image_files import read_image  # TensorFlow knows what is wrong

    read_image(path)
    raise InputError(f"{path} was no image when it was read; try it again")


def shown(answer: Mapping[str, Any]) -> str:
    """The image and its caption; several captions with their scores."""
    if "caption" in answer:
        return f"{answer['image']}: {answer['caption']}"
    rows = zip(answer["scores"], answer["captions"], strict=True)
    return "\n".join([answer["image"], *(f"{score:8.3f}  {caption}" for score, caption in rows)])
