"""Text generation as the contract has it."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from recur import files
from recur.errors import InputError
from recur.training import task
from recur.training.config import Count, Fraction, NonNegative, Size, TrainingConfig
from recur.training.task import Batching, Datasets, Evaluation, Headline, Shapes, Trained

if TYPE_CHECKING:
    import keras
    import numpy as np

    from apps.text_generation.data import Corpus, Vocabulary
    from apps.text_generation.serving import TextGenerator
    from recur.training.runs import Run


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


class TextGeneration(task.Application[TextGenerationConfig, "Corpus", "Vocabulary"]):
    """Prompt in, text out, a character at a time."""

    name = "text_generation"
    summary = "prompt in, text out: a character language model"
    options = SamplingOptions
    answer_batch = 1
    needs_run = ("stream",)
    batching = Batching(rows=32, wait_microseconds=10_000)  # a loop of many steps, whose rows come almost for free
    demo_seconds = 220.0
    headline = Headline(
        "nats_per_char",
        higher_is_better=False,
        shortfall="An n-gram model counts five million characters at once, and the network has read a small part of "
        "them; after some minutes more (`default` on tiny Shakespeare, see the README) it is ahead.",
    )
    demo_inputs = ("ROMEO:\n", "To be, or not to be", "First Citizen:\nBefore we proceed")
    presets: Mapping[task.PresetName, TextGenerationConfig] = {
        "quick": TextGenerationConfig(
            epochs=4, steps_per_epoch=350, window=32, units=256, learning_rate=6e-3, dropout=0.0, warmup_steps=50
        ),
        "default": TextGenerationConfig(epochs=8, learning_rate=3e-3, weight_decay=0.01, ema_momentum=0.995),
        "best": TextGenerationConfig(
            epochs=16, layers=2, dropout=0.5, learning_rate=2e-3, weight_decay=0.01, ema_momentum=0.998
        ),
    }

    def read(self, source: str, config: TextGenerationConfig) -> "Corpus":
        """Reads a text and splits it by position."""
        from apps.text_generation.data import check_length, read_corpus

        if config.validation_fraction + config.test_fraction >= 1:
            raise InputError("--validation-fraction and --test-fraction leave nothing to train on; lower one")
        corpus = read_corpus(source, config.validation_fraction, config.test_fraction)
        check_length("train", len(corpus.train), config.batch_size, config.window)
        check_length("validation", len(corpus.validation), config.batch_size, config.window)
        return corpus

    def fit_assets(self, corpus: "Corpus", config: TextGenerationConfig) -> "Vocabulary":
        """The vocabulary of the train part."""
        from apps.text_generation.data import Vocabulary

        return Vocabulary.fit(corpus.train)

    def write_assets(self, assets: "Vocabulary", folder: Path) -> None:
        """Writes `vocabulary.json`."""
        files.write_json(folder / "vocabulary.json", {"characters": assets.characters})

    def read_assets(self, folder: Path) -> "Vocabulary":
        """Reads `vocabulary.json`."""
        from apps.text_generation.data import Vocabulary

        return Vocabulary("".join(files.read_json(folder / "vocabulary.json")["characters"]))

    def datasets(self, corpus: "Corpus", assets: "Vocabulary", config: TextGenerationConfig) -> Datasets:
        """Batches of streams or windows."""
        from apps.text_generation import data
        from recur.data.batches import steps_in_pass, stream_batches, validation_batches

        train = assets.encode(corpus.train)
        shape = (config.batch_size, config.window, config.seed)
        if config.batching == "streams":
            batches = stream_batches(train, *shape, restart=config.restart)
        else:
            batches = data.window_batches(train, *shape)
        return Datasets(
            train=batches,
            steps_per_pass=steps_in_pass(len(train), config.batch_size, config.window),
            validation=validation_batches(assets.encode(corpus.validation), config.batch_size, config.window),
        )

    def build(self, config: TextGenerationConfig, assets: "Vocabulary") -> "keras.Model":
        """Embedding, recurrent stack, softmax."""
        from apps.text_generation.model import CharacterLanguageModel

        model = CharacterLanguageModel(
            vocabulary_size=len(assets),
            embedding_units=config.embedding_units,
            cell=config.cell,
            units=config.units,
            layers=config.layers,
            dropout=config.dropout,
            tie_output=config.tie_output,
            streams=config.batch_size,
        )
        model.build()
        return model

    def objective(self, config: TextGenerationConfig) -> dict[str, Any]:
        """Cross-entropy, in nats a character."""
        import keras

        return {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}

    def evaluate(self, trained: Trained, corpus: "Corpus", run: "Run") -> Evaluation:
        """Nats and bits a character beside uniform, unigram and 5-gram models."""
        from apps.text_generation.evaluation import evaluate

        return evaluate(trained, corpus, run)

    def serving_module(self, trained: Trained) -> "TextGenerator":
        """The generation loop in graph."""
        from apps.text_generation.serving import TextGenerator

        return TextGenerator(trained.model, trained.assets, trained.config.prompt_context)

    def warmup_requests(self, shapes: Shapes) -> Mapping[str, Mapping[str, Any]]:
        """A short prompt for each signature."""
        from apps.text_generation.requests import warmup_requests

        return warmup_requests(self.demo_inputs[:1], SamplingOptions())

    def request(
        self, inputs: Sequence[str], options: SamplingOptions, shapes: Shapes
    ) -> "tuple[str, Mapping[str, np.ndarray]]":
        """Rows of the signature `sample`."""
        from apps.text_generation.requests import sample_request

        return "sample", sample_request(inputs, options)

    def records(
        self, inputs: Sequence[str], outputs: "Mapping[str, np.ndarray]", options: SamplingOptions
    ) -> list[dict[str, Any]]:
        """Prompt and text."""
        valid = [prompt.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for prompt in inputs]
        return [{"prompt": prompt, "text": text.decode()} for prompt, text in zip(valid, outputs["text"], strict=True)]

    def show(self, answer: dict[str, Any]) -> str:
        """The text."""
        return answer["text"]

    def stream(self, module: "TextGenerator", inputs: Iterable[str], options: SamplingOptions) -> Iterator[str] | None:
        """With `--stream`, the texts a few characters at a time."""
        settings = dataclasses.asdict(options)
        return module.stream_all(inputs, **settings) if settings.pop("stream") else None


APPLICATION = TextGeneration()
