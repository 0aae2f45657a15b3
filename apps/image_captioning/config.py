"""Settings of image captioning."""

import dataclasses
from typing import Annotated, Literal

from pydantic import Field

from recur.training.config import Count, Fraction, NonNegative, Positive, Size, TrainingConfig


@dataclasses.dataclass(frozen=True)
class CaptioningConfig(TrainingConfig):
    """Settings of the encoder and the decoder."""

    validation_fraction: Fraction = 0.1
    """Share of the images that is held out for validation, where the data has no part for it."""
    test_fraction: Fraction = 0.1
    """Share of the images that is held out for test, where the data has no part for it."""
    image_column: str = "image"
    """Column of a table of captions that has the path of an image."""
    caption_column: str = "caption"
    """Column that has one caption."""
    split_column: str = "split"
    """Column that says train, val or test, where there is one; empty to read none."""
    skip_bad: bool = False
    """Leave out images that cannot be decoded, and count them."""
    minimum_count: Size = 5
    """Occurrences in the train captions that a word must have to be learnt."""
    longest: Size = 30
    """Words of a caption at most, learnt from or written."""
    encoder: str = "efficientnet_lite0"
    """The network that looks at images, as it learnt on ImageNet. Those of `keras.applications`, `MobileNetV2` say, are
    downloaded."""
    trained_blocks: Annotated[int, Field(ge=0, le=16)] = 0
    """Blocks at the encoder's end that are trained along, on images cropped at random; slow. Begin with --pretrained
    and a low --learning-rate."""
    mirror: bool = False
    """Mirror half of those images; not where captions tell left from right."""
    attention: bool = True
    """Look at regions of the image for every word (Show, Attend and Tell), or at their mean once (Show and Tell)."""
    cell: Literal["lstm", "gru", "simple_rnn", "layer_norm_lstm"] = "lstm"
    """The recurrent cell."""
    embedding_units: Size = 256
    """Width of the embedding of words, which the softmax shares."""
    units: Size = 512
    """Width of regions, of recurrent layers and of the attention."""
    layers: Size = 1
    """Recurrent layers; the lowest attends."""
    attention_penalty: NonNegative = 1.0
    """What it costs not to attend to every region once in all (doubly stochastic attention)."""
    scheduled_sampling: Fraction = 0.0
    """Share of the words read in training that are the model's own guesses; takes half as long again."""
    self_critical_epochs: Count = 0
    """Passes over the images by self-critical training, after the epochs by cross-entropy; 0 for none."""
    self_critical_learning_rate: Positive = 2e-4
    """Peak learning rate of self-critical training."""
    self_critical_samples: Annotated[int, Field(ge=2, lt=2**31)] = 5
    """Captions that are drawn of an image in self-critical training."""
    self_critical_batch_size: Size = 160
    """Captions that are drawn for a step of self-critical training, of all its images together."""
    self_critical_longest: Size = 18
    """Words at which a drawn caption is cut off."""
    pretrained: str = ""
    """A run with whose words and weights training begins; self-critical training begins at once then."""
    word_dropout: Fraction = 0.0
    """Rate at which words are dropped."""
    embedding_dropout: Fraction = 0.3
    """Rate of the embedding's features, dropped at all steps alike."""
    context_dropout: Fraction = 0.4
    """Rate on the regions, and between recurrent layers."""
    output_dropout: Fraction = 0.4
    """Rate on what is compared with all words."""
    label_smoothing: Fraction = 0.1
    """Share of the probability that all words are to have alike."""
    beam_width: Size = 5
    """Hypotheses that the search goes on with; 1 is greedy."""
    length_penalty: NonNegative = 1.0
    """Power of the length by which a hypothesis's log-probability is divided; 0 favours short ones."""
    no_repeat_ngram: Count = 3
    """Words of the sequences of which none may come twice in a caption; 0 allows all."""


@dataclasses.dataclass(frozen=True)
class AnswerOptions:
    """How `predict` answers."""

    n_best: bool = False
    """Show several captions of each image, with their scores."""
