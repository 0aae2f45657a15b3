"""Sentiment analysis as the contract has it."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recur import files
from recur.errors import InputError
from recur.training import application, runs
from recur.training.application import Batching, Headline, Shapes
from recur.training.config import Count, Fraction, Positive, Size, TrainingConfig
from recur.training.task import Datasets, Evaluation, Stage, Trained

if TYPE_CHECKING:
    import keras
    import numpy as np

    from apps.sentiment_analysis.assets import SentimentAssets
    from apps.sentiment_analysis.data import Corpus
    from apps.sentiment_analysis.serving import SentimentAnalyser
    from recur.training.runs import Run

PRETRAINING = "pretraining"


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


class SentimentAnalysis(application.Application[SentimentConfig, "Corpus", "SentimentAssets"]):
    """Review in, calibrated polarity out."""

    name = "sentiment_analysis"
    summary = "review in, calibrated polarity out: a bidirectional LSTM"
    options = AnswerOptions
    needs_run = ("html",)
    batching = Batching(rows=64, wait_microseconds=1_000)  # an answer alone takes about as long
    monitor = "val_error"  # probabilities are scaled afterwards: the loss would choose the least confident weights
    demo_seconds = 70.0
    headline = Headline(
        "accuracy",
        higher_is_better=True,
        shortfall="3,600 reviews are few for a network that has to learn its words from nothing; with 25,000 and "
        "pre-training (`best` on IMDB, see the README) it draws level.",
    )
    demo_inputs = (
        "The best coffee I have had in years, and it arrived in two days.",
        "Stale, bitter and far too expensive. I want my money back.",
        "Not bad at all, but I would not buy it again.",
    )
    presets: Mapping[application.PresetName, SentimentConfig] = {
        "quick": SentimentConfig(
            epochs=3,
            batch_size=32,
            learning_rate=6e-3,
            embedding_units=64,
            units=64,
            longest=128,
            warmup_steps=20,
            pooling="max",
            word_dropout=0.1,
            embedding_dropout=0.5,
        ),
        "default": SentimentConfig(epochs=5, batch_size=64, learning_rate=2e-3, ema_momentum=0.99),
        "best": SentimentConfig(
            epochs=2,  # of three times as many reviews: those of the teacher too
            batch_size=64,
            learning_rate=2e-3,
            embedding_units=256,
            units=256,
            ema_momentum=0.99,
            teacher="linear",
            pretraining_steps=7500,
        ),
    }

    def read(self, source: str, config: SentimentConfig) -> "Corpus":
        """Reads reviews and holds validation out of train."""
        from apps.sentiment_analysis.data import read_corpus

        if config.layers > 1 and (config.pretraining_steps or config.pretrained):
            raise InputError("only one recurrent layer can be pre-trained; say --layers 1, or leave pre-training out")
        if config.cell == "none" and (config.pretraining_steps or config.pretrained):
            raise InputError("without a recurrent layer there is nothing to pre-train; choose a --cell")
        corpus = read_corpus(source, config.validation_fraction, config.seed, config.text_column, config.label_column)
        if len(corpus.train.texts) < config.batch_size:
            raise InputError(
                f"{source} leaves {len(corpus.train.texts)} reviews to train on and a batch has {config.batch_size}; "
                f"give more, or lower --batch-size"
            )
        return corpus

    def fit_assets(self, corpus: "Corpus", config: SentimentConfig) -> "SentimentAssets":
        """The vocabulary of the train part; with pre-training of the unlabelled reviews too."""
        from apps.sentiment_analysis.assets import SentimentAssets, read_vocabulary
        from apps.sentiment_analysis.subwords import ReviewSubwords
        from recur.text.words import WordVocabulary, count_words

        if config.pretrained:
            pretrained = runs.open_run(self.name, config.pretrained)
            vocabulary = read_vocabulary(pretrained.assets)
            if isinstance(vocabulary, ReviewSubwords) != (config.tokens == "subwords"):
                raise InputError(f"the language model of {pretrained.path} reads something else; say its --tokens")
            return SentimentAssets(vocabulary, corpus.labels)
        texts = corpus.train.texts + (corpus.unlabelled if config.pretraining_steps else [])
        if config.tokens == "subwords":
            return SentimentAssets(ReviewSubwords.fit(texts, config.vocabulary_size), corpus.labels)
        vocabulary = WordVocabulary.fit(count_words(texts), config.vocabulary_size, minimum_count=2)
        return SentimentAssets(vocabulary, corpus.labels)

    def write_assets(self, assets: "SentimentAssets", folder: Path) -> None:
        """Writes vocabulary and labels."""
        assets.write(folder)

    def read_assets(self, folder: Path) -> "SentimentAssets":
        """Reads what was written, and the temperature once it is fitted."""
        from apps.sentiment_analysis.assets import SentimentAssets

        return SentimentAssets.read(folder)

    def datasets(self, corpus: "Corpus", assets: "SentimentAssets", config: SentimentConfig) -> Datasets:
        """Batches of reviews of similar length."""
        from apps.sentiment_analysis.batches import classification_datasets

        return classification_datasets(corpus, assets, config)

    def stages(self, corpus: "Corpus", assets: "SentimentAssets", config: SentimentConfig) -> Sequence[Stage]:
        """The language model."""
        if not config.pretraining_steps or config.pretrained:
            return ()
        from apps.sentiment_analysis import pretraining

        return (pretraining.stage(PRETRAINING, corpus, assets, config),)

    def begin(self, model: "keras.Model", config: SentimentConfig, run: "Run") -> None:
        """Takes over the language model's layers."""
        if not config.pretraining_steps and not config.pretrained:
            return
        from apps.sentiment_analysis import pretraining

        source = runs.open_run(self.name, config.pretrained) if config.pretrained else run
        pretraining.hand_over(source.stage(PRETRAINING), model)

    def build(self, config: SentimentConfig, assets: "SentimentAssets") -> "keras.Model":
        """Embedding, bidirectional recurrent layer, pooling, softmax."""
        from apps.sentiment_analysis.model import SentimentClassifier

        model = SentimentClassifier(
            vocabulary_size=len(assets.vocabulary),
            classes=len(assets.labels),
            embedding_units=config.embedding_units,
            cell=config.cell,
            units=config.units,
            layers=config.layers,
            bidirectional=config.bidirectional,
            pooling_kind=config.pooling,
            word_dropout=config.word_dropout,
            embedding_dropout=config.embedding_dropout,
            dropout=config.dropout,
            adversarial=config.adversarial,
        )
        model.build()
        return model

    def objective(self, config: SentimentConfig) -> dict[str, Any]:
        """Cross-entropy in nats, and the share of wrong answers."""
        import keras

        from apps.sentiment_analysis.model import error

        return {
            "loss": keras.losses.CategoricalCrossentropy(from_logits=True),
            "metrics": [keras.metrics.MeanMetricWrapper(error, "error")],
        }

    def finish(self, trained: Trained, corpus: "Corpus", run: "Run") -> None:
        """Fits the temperature on validation."""
        from apps.sentiment_analysis.evaluation import fit_temperature
        from apps.sentiment_analysis.prediction import logits

        found = logits(trained, corpus.validation.texts)
        temperature = fit_temperature(found, corpus.validation.labels)
        files.write_json(run.assets / "temperature.json", {"temperature": temperature})

    def evaluate(self, trained: Trained, corpus: "Corpus", run: "Run") -> Evaluation:
        """Accuracy and calibration beside linear models."""
        from apps.sentiment_analysis.report import evaluate

        return evaluate(trained, corpus, run)

    def serving_module(self, trained: Trained) -> "SentimentAnalyser":
        """From raw text to label, probability and explanation."""
        from apps.sentiment_analysis.serving import SentimentAnalyser

        return SentimentAnalyser(trained.model, trained.assets, trained.config)

    def warmup_requests(self, shapes: Shapes) -> Mapping[str, Mapping[str, Any]]:
        """A few reviews for each signature."""
        import numpy as np

        texts = np.array([text.encode() for text in self.demo_inputs], dtype=object)
        return {"serving_default": {"text": texts}, "explain": {"text": texts[:1]}}

    def request(
        self, inputs: Sequence[str], options: AnswerOptions, shapes: Shapes
    ) -> "tuple[str, Mapping[str, np.ndarray]]":
        """Rows of `serving_default`, or of `explain`."""
        import numpy as np

        if options.html is not None and not options.explain:
            raise InputError("--html writes explanations; say --explain too")
        texts = np.array([text.encode("utf-8", "surrogateescape") for text in inputs], dtype=object)
        return ("explain" if options.explain else "serving_default"), {"text": texts}

    def records(
        self, inputs: Sequence[str], outputs: "Mapping[str, np.ndarray]", options: AnswerOptions
    ) -> list[dict[str, Any]]:
        """Text, label, probability, and tokens with their weights where they were asked for."""
        from apps.sentiment_analysis.explanation import records

        return records(inputs, outputs)

    def show(self, answer: dict[str, Any]) -> str:
        """Label, probability and text; the words coloured where they are explained."""
        from apps.sentiment_analysis.explanation import shown

        return shown(answer)

    def stream(
        self, module: "SentimentAnalyser", inputs: Iterable[str], options: AnswerOptions
    ) -> Iterator[str] | None:
        """With `--html`, the answers one by one, and when all are there the page."""
        if options.html is None:
            return None
        from apps.sentiment_analysis.explanation import with_page
        from recur.serving.answers import answers, ask_module

        return with_page(answers(self, ask_module(module), inputs, options), options.html, self.show)


APPLICATION = SentimentAnalysis()
