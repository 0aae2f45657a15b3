"""Photographs that come with scikit-learn and matplotlib, and images encoded in every way."""

import io
from pathlib import Path

import matplotlib
import numpy as np
import PIL.Image
import pytest
import sklearn

PHOTOGRAPHS = {
    "china": Path(sklearn.__file__).parent / "datasets/images/china.jpg",
    "flower": Path(sklearn.__file__).parent / "datasets/images/flower.jpg",
    "grace_hopper": Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg",
}


def encoded(image: PIL.Image.Image, kind: str, **settings) -> bytes:
    """An image as the content of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def photograph() -> PIL.Image.Image:
    """A small part of a photograph, wider than high."""
    with PIL.Image.open(PHOTOGRAPHS["china"]) as image:
        return image.convert("RGB").resize((160, 107)).crop((0, 0, 150, 100))


@pytest.fixture(scope="session")
def translucent(photograph) -> PIL.Image.Image:
    """The same, ever less opaque from left to right."""
    image = photograph.convert("RGBA")
    image.putalpha(PIL.Image.fromarray(np.tile(np.linspace(255, 0, image.width).astype(np.uint8), (image.height, 1))))
    return image
