"""Paths of images to rows of the signatures, and captions back. Loads no TensorFlow."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from apps.image_captioning.config import AnswerOptions
from apps.image_captioning.image_files import DAMAGED, header_fault, read_file
from apps.image_captioning.scenes import example_files
from recur.errors import InputError
from recur.training.application import Request, Shapes


def examples() -> Sequence[str]:
    """Paths of three scenes of the sample that nothing is trained on, painted where cached arrays are."""
    return example_files(3)


def parse(inputs: Sequence[str], options: AnswerOptions, shapes: Shapes) -> Request:
    """The contents of files for `serving_default`, or for `n_best`; what is no image `records` refuses."""
    images = np.array([read_file(Path(path)) for path in inputs], dtype=object)
    return Request("n_best" if options.n_best else "serving_default", {"image_bytes": images}, inputs, options)


def records(request: Request, outputs: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """A record an image: `image`, `caption` and `score`; of `n_best` `image`, `captions` and `scores`.

    Raises:
        InputError: An image cannot be decoded, so that its score is NaN.
    """
    names = request.parsed
    best = outputs["scores"][:, 0] if "scores" in outputs else outputs["score"]
    for name, content, score in zip(names, request.arrays["image_bytes"], best, strict=True):
        if math.isnan(score):
            raise InputError(f"{Path(name)} {header_fault(content) or DAMAGED}")
    if "captions" not in outputs:
        rows = zip(names, outputs["caption"], outputs["score"], strict=True)
        return [{"image": name, "caption": caption.decode(), "score": float(score)} for name, caption, score in rows]
    several = zip(names, outputs["captions"], outputs["scores"], strict=True)
    return [
        {"image": name, "captions": [caption.decode() for caption in captions], "scores": scores.tolist()}
        for name, captions, scores in several
    ]


def show(record: dict[str, Any]) -> str:
    """The image and its caption; several captions with their scores."""
    if "caption" in record:
        return f"{record['image']}: {record['caption']}"
    rows = zip(record["scores"], record["captions"], strict=True)
    return "\n".join([record["image"], *(f"{score:8.3f}  {caption}" for score, caption in rows)])


def warmup(shapes: Shapes) -> Mapping[str, Mapping[str, np.ndarray]]:
    """A plain image for each signature that every export has."""
    plain = io.BytesIO()
    Image.new("RGB", (224, 224), (127, 127, 127)).save(plain, "PNG")
    images = np.array([plain.getvalue()], dtype=object)
    return {"serving_default": {"image_bytes": images}, "n_best": {"image_bytes": images}}
