"""Settings of the encoder–decoder, and of the answers."""

import dataclasses
from typing import Annotated, Literal

from pydantic import Field

from recur.training.config import Fraction, NonNegative, Size, TrainingConfig


@dataclasses.dataclass(frozen=True)
class TranslationConfig(TrainingConfig):
    """Settings of the encoder–decoder."""

    source: str = "en"
    """Language to translate from, as the names of the files have it."""
    target: str = "fr"
    """Language to translate to."""
    columns: tuple[Size, Size] = (1, 2)
    """Columns of a table, from 1, that have the language to translate from and the one to translate to."""
    validation_fraction: Fraction = 0.05
    """Share of the pairs that is held out for validation, where the data has no part for it."""
    test_fraction: Fraction = 0.05
    """Share of the pairs that is held out for test, where the data has no part for it."""
    batch_size: Size = 256
    """Sentence pairs of a batch, at most."""
    batch_tokens: Size = 2048
    """Tokens of a batch, padding included: rows times the longest side of a pair."""
    longest: Size = 60
    """Subwords of a pair that is learnt from, at most; longer texts are translated sentence by sentence."""
    subwords: Literal["unigram", "bpe"] = "unigram"
    """How text is divided: a unigram language model or byte pair encoding, one for both languages."""
    vocabulary_size: Annotated[int, Field(ge=8, lt=2**31)] = 5000
    """Subwords of both languages together."""
    subword_sampling: Fraction = 0.0
    """Divide sentences at random in training: of unigram the sharpness of the draw, of bpe the dropout; 0 never. Every
    process draws otherwise, whatever the seed: a run that is resumed is not the one that was never stopped."""
    cell: Literal["gru", "lstm", "simple_rnn", "layer_norm_lstm"] = "gru"
    """The recurrent cell."""
    embedding_units: Size = 256
    """Width of the embedding, which both languages and the softmax share."""
    units: Size = 256
    """Width of a recurrent layer, in each direction."""
    encoder_layers: Size = 1
    """Bidirectional layers that read."""
    decoder_layers: Size = 1
    """Layers that write; the lowest attends."""
    decoder: Literal["conditional", "bahdanau", "luong"] = "conditional"
    """When a step attends: between two transitions, before the recurrent layers, or after them."""
    attention: Literal["", "bahdanau", "luong_general", "multi_head"] = ""
    """How it attends; by default as in the paper of the decoder."""
    input_feeding: bool = False
    """Whether a luong decoder also reads what the step before it attended to."""
    word_dropout: Fraction = 0.0
    """Rate at which subwords are dropped."""
    embedding_dropout: Fraction = 0.3
    """Rate of the embedding's features, dropped at all steps alike."""
    context_dropout: Fraction = 0.4
    """Rate on what the encoder has read, and between recurrent layers."""
    output_dropout: Fraction = 0.4
    """Rate on what is compared with all subwords."""
    label_smoothing: Fraction = 0.1
    """Share of the probability that all subwords are to have alike."""
    beam_width: Size = 5
    """Hypotheses that the search goes on with; 1 is greedy."""
    length_penalty: NonNegative = 1.0
    """Power of the length by which a hypothesis's log-probability is divided; 0 favours short ones."""
    coverage_penalty: NonNegative = 0.0
    """What it costs to leave words of the source unread (Wu et al. 2016, equation 15)."""


@dataclasses.dataclass(frozen=True)
class AnswerOptions:
    """How `predict` answers."""

    n_best: bool = False
    """Show several translations of each sentence, with their scores."""
