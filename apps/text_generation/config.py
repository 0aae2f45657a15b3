"""Settings of the character language model, and of the answers."""

import dataclasses
from typing import Annotated, Literal

from pydantic import Field

from recur.training.config import Count, Fraction, NonNegative, Size, TrainingConfig


@dataclasses.dataclass(frozen=True)
class TextGenerationConfig(TrainingConfig):
    """Settings of the character language model."""

    validation_fraction: Fraction = 0.1
    """Share of the text, at its end, that is held out for validation."""
    test_fraction: Fraction = 0.0
    """Share of the text after the validation part, for a test that `evaluate` then uses."""
    batching: Literal["streams", "windows"] = "streams"
    """Contiguous streams whose state is carried from window to window, or windows at random offsets."""
    restart: Fraction = 0.02
    """Probability that a stream goes on from a zero state, by which the model also learns to begin a text."""
    window: Size = 64
    """Steps through which the gradient flows."""
    cell: Literal["simple_rnn", "lstm", "gru"] = "lstm"
    """The recurrent cell."""
    units: Size = 512
    """Width of a recurrent layer."""
    layers: Size = 1
    """Recurrent layers."""
    embedding_units: Size = 64
    """Width of the character embedding."""
    dropout: Fraction = 0.3
    """Dropout on the embedding, between layers and on the output."""
    tie_output: bool = False
    """Use the embedding's weights in the output layer."""
    prompt_context: Size = 1000
    """Characters of a prompt, its last, that the model reads before it goes on."""


@dataclasses.dataclass(frozen=True)
class SamplingOptions:
    """How `predict` continues a prompt."""

    length: Annotated[int, Field(ge=0, le=20_000)] = 400
    """Characters to generate, at most 20,000."""
    temperature: NonNegative = 0.8
    """Divides the logits: below 1 is bolder, above 1 more varied, 0 takes the likeliest character."""
    top_k: Count = 0
    """Sample among the k likeliest characters; 0 for all."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Sample among the likeliest characters that together have this probability (above 0, at most 1)."""
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] = 0
    """The same seed and prompt give the same text."""
    stream: bool = False
    """Print characters as they come."""
