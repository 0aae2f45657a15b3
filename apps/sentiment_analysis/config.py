"""Settings of the classifier, and of the answers."""

import dataclasses
from pathlib import Path
from typing import Literal

from recur.training.config import Count, Fraction, Positive, Size, TrainingConfig


@dataclasses.dataclass(frozen=True)
class SentimentConfig(TrainingConfig):
    """Settings of the classifier."""

    validation_fraction: Fraction = 0.1
    """Share of the train part that is held out for validation, of each class alike."""
    text_column: str = "text"
    """Column of a CSV or TSV file, or feature of a TensorFlow dataset, that has the review."""
    label_column: str = "label"
    """The one that has its class."""
    tokens: Literal["words", "subwords"] = "words"
    """What a review is divided into."""
    vocabulary_size: Size = 30_000
    """Words that are known, the most frequent of train; or subwords."""
    longest: Size = 400
    """Words, or subwords, of a review that are read."""
    keep: Literal["head", "tail", "both"] = "both"
    """Which words of a longer review: its beginning, its end, or half of each."""
    embedding_units: Size = 128
    """Width of the word embedding."""
    cell: Literal["simple_rnn", "lstm", "gru", "none"] = "lstm"
    """The recurrent cell; none leaves the recurrent layer out."""
    units: Size = 128
    """Width of a recurrent layer, in each direction."""
    layers: Size = 1
    """Recurrent layers."""
    bidirectional: bool = True
    """Read backwards too."""
    pooling: Literal["last", "max", "mean", "attention", "concat"] = "concat"
    """How the steps of a review become one vector."""
    word_dropout: Fraction = 0.3
    """Rate at which whole words are dropped."""
    embedding_dropout: Fraction = 0.5
    """Rate of the embedding's features, dropped at all steps alike."""
    dropout: Fraction = 0.5
    """Rate on the pooled vector, and between recurrent layers."""
    teacher: Literal["none", "linear"] = "none"
    """Also learn from reviews without a class, as linear models of word pairs, fitted on train, label them."""
    adversarial: Fraction = 0.0
    """Adversarial training: size of the perturbation as a share of the embedded review's; 0 for none."""
    pretraining_steps: Count = 0
    """Steps of a language model on train and unlabelled reviews, with whose layers training begins; 0 for none."""
    pretraining_batch_size: Size = 64
    """Streams that the language model reads side by side."""
    pretraining_window: Size = 64
    """Steps through which its gradient flows."""
    pretraining_learning_rate: Positive = 2e-3
    """Its peak learning rate."""
    pretraining_dropout: Fraction = 0.1
    """Its dropout."""
    sampled: Size = 1024
    """Words from which each step of the language model tells the right one."""
    pretrained: str = ""
    """A run whose language model is used; its vocabulary is taken over."""


@dataclasses.dataclass(frozen=True)
class AnswerOptions:
    """How `predict` answers."""

    explain: bool = False
    """Show what each word contributes, by integrated gradients."""
    html: Path | None = None
    """With --explain, also write a page with the words in colours to this file."""
