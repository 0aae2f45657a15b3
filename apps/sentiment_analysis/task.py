"""The work of sentiment analysis: reviews, a classifier with the stages before it, and a temperature after it."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras

from apps.sentiment_analysis.application import APPLICATION
from apps.sentiment_analysis.assets import ReviewSubwords, SentimentAssets
from apps.sentiment_analysis.batches import datasets
from apps.sentiment_analysis.config import AnswerOptions, SentimentConfig
from apps.sentiment_analysis.data import Corpus, read_corpus
from apps.sentiment_analysis.explanation import with_page
from apps.sentiment_analysis.model import SentimentClassifier, error
from apps.sentiment_analysis.requests import show
from apps.sentiment_analysis.serving import SentimentAnalyser
from apps.sentiment_analysis.stages import hand_over, pretraining
from recur.errors import InputError
from recur.metrics.calibration import fit_temperature
from recur.serving.answers import answers, ask_module
from recur.training.runs import Run, open_run
from recur.training.task import Stage, Task, Trained


class SentimentAnalysis(Task[SentimentConfig, Corpus, SentimentAssets]):
    """Review in, calibrated polarity out."""

    assets = SentimentAssets
    datasets = staticmethod(datasets)
    serving_module = SentimentAnalyser
    monitor = "val_error"  # probabilities are scaled afterwards: the loss would choose the least confident weights

    def read(self, source: str, config: SentimentConfig) -> Corpus:
        """Reads reviews and holds validation out of train."""
        if config.layers > 1 and (config.pretraining_steps or config.pretrained):
            raise InputError("only one recurrent layer can be pre-trained; say `layers` 1, or leave pre-training out")
        if config.cell == "none" and (config.pretraining_steps or config.pretrained):
            raise InputError("without a recurrent layer there is nothing to pre-train; choose a `cell`")
        corpus = read_corpus(source, config.validation_fraction, config.seed, config.text_column, config.label_column)
        if len(corpus.train.texts) < config.batch_size:
            raise InputError(
                f"{source} leaves {len(corpus.train.texts)} reviews to train on and a batch has {config.batch_size}; "
                f"give more, or lower `batch_size`"
            )
        return corpus

    def fit_assets(self, corpus: Corpus, config: SentimentConfig) -> SentimentAssets:
        """The vocabulary of the train part, with pre-training of the unlabelled reviews too; or the pre-trained one."""
        if config.pretrained:
            run = open_run(APPLICATION.name, config.pretrained)
            vocabulary = SentimentAssets.read(run.assets).vocabulary
            if isinstance(vocabulary, ReviewSubwords) != (config.tokens == "subwords"):
                raise InputError(f"the language model of {run.path} reads something else; say its `tokens`")
            return SentimentAssets(vocabulary, corpus.labels)
        texts = corpus.train.texts + (corpus.unlabelled if config.pretraining_steps else [])
        return SentimentAssets.fit(texts, corpus.labels, config)

    def stages(self, corpus: Corpus, assets: SentimentAssets, config: SentimentConfig) -> Sequence[Stage]:
        """The language model."""
        return [pretraining(corpus, assets, config)] if config.pretraining_steps and not config.pretrained else []

    def begin(self, model: SentimentClassifier, config: SentimentConfig, run: Run) -> None:
        """Takes over the language model's layers."""
        if config.pretraining_steps or config.pretrained:
            hand_over(open_run(APPLICATION.name, config.pretrained) if config.pretrained else run, model)

    def build(self, config: SentimentConfig, assets: SentimentAssets) -> SentimentClassifier:
        """Embedding, bidirectional recurrent layer, pooling, softmax."""
        model = SentimentClassifier(config, vocabulary_size=len(assets.vocabulary), classes=len(assets.labels))
        model.build()
        return model

    def objective(self, config: SentimentConfig) -> dict[str, Any]:
        """Cross-entropy in nats, and the share of wrong answers."""
        return {
            "loss": keras.losses.CategoricalCrossentropy(from_logits=True),
            "metrics": [keras.metrics.MeanMetricWrapper(error, "error")],
        }

    def finish(self, trained: Trained[SentimentConfig, SentimentAssets], corpus: Corpus) -> SentimentAssets:
        """The assets with the temperature, fitted on validation."""
        from apps.sentiment_analysis.evaluate import logits  # its baselines load scikit-learn

        temperature = fit_temperature(logits(trained, corpus.validation.texts), corpus.validation.labels)
        return dataclasses.replace(trained.assets, temperature=temperature)

    def stream(
        self, trained: Trained, module: SentimentAnalyser, inputs: Iterable[str], options: AnswerOptions
    ) -> Iterator[str] | None:
        """With `html`, the answers one by one, and when all are there the page."""
        if options.html is None:
            return None
        return with_page(answers(APPLICATION, ask_module(module), inputs, options), options.html, show)


TASK = SentimentAnalysis()
