"""The work of text generation: a text split by position, a character language model, and the loop that generates."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import keras

from apps.text_generation.assets import Vocabulary
from apps.text_generation.batches import datasets
from apps.text_generation.config import SamplingOptions, TextGenerationConfig
from apps.text_generation.data import Corpus, check_length, read_corpus
from apps.text_generation.model import CharacterLanguageModel
from apps.text_generation.serving import TextGenerator
from recur.errors import InputError
from recur.training.task import Task, Trained


class TextGeneration(Task[TextGenerationConfig, Corpus, Vocabulary]):
    """Prompt in, text out, a character at a time."""

    assets = Vocabulary
    datasets = staticmethod(datasets)
    serving_module = TextGenerator

    def read(self, source: str, config: TextGenerationConfig) -> Corpus:
        """Reads a text and splits it by position."""
        if config.validation_fraction + config.test_fraction >= 1:
            raise InputError("`validation_fraction` and `test_fraction` leave nothing to train on; lower one")
        corpus = read_corpus(source, config.validation_fraction, config.test_fraction)
        check_length("train", len(corpus.train), config.batch_size, config.window)
        check_length("validation", len(corpus.validation), config.batch_size, config.window)
        return corpus

    def fit_assets(self, corpus: Corpus, config: TextGenerationConfig) -> Vocabulary:
        """The vocabulary of the train part."""
        return Vocabulary.fit(corpus.train)

    def build(self, config: TextGenerationConfig, assets: Vocabulary) -> CharacterLanguageModel:
        """Embedding, recurrent stack, softmax."""
        model = CharacterLanguageModel(config, vocabulary_size=len(assets))
        model.build()
        return model

    def objective(self, config: TextGenerationConfig) -> dict[str, Any]:
        """Cross-entropy, in nats a character."""
        return {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}

    def stream(
        self, trained: Trained, module: TextGenerator, inputs: Iterable[str], options: SamplingOptions
    ) -> Iterator[str] | None:
        """With `stream`, the texts a few characters at a time."""
        settings = dataclasses.asdict(options)
        return module.stream_all(inputs, **settings) if settings.pop("stream") else None


TASK = TextGeneration()
