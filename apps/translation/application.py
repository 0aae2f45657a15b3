"""Translation as the contract has it."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from recur.errors import InputError
from recur.training import application
from recur.training.application import Batching, Headline, Shapes
from recur.training.config import Fraction, NonNegative, Size, TrainingConfig
from recur.training.task import Datasets, Evaluation, Trained

if TYPE_CHECKING:
    import keras
    import numpy as np

    from apps.translation.assets import TranslationAssets
    from apps.translation.data import Corpus
    from apps.translation.serving import Translator
    from recur.training.runs import Run

logger = logging.getLogger(__name__)


SPLIT_SEED = 0  # not the run's: runs with different seeds then make an ensemble


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
    """Divide sentences at random in training: of unigram the sharpness of the draw, of bpe the dropout; 0 never."""
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


class Translation(application.Application[TranslationConfig, "Corpus", "TranslationAssets"]):
    """Sentence in, sentence out."""

    name = "translation"
    summary = "sentence in, sentence out: an encoder-decoder with attention"
    options = AnswerOptions
    batching = Batching(rows=16, wait_microseconds=5_000)  # more at once are hardly more a second, and later
    monitor = "val_error"  # of tokens; the likelihood falls long before the translations get worse
    ensembles = True
    demo_seconds = 300.0
    headline = Headline(
        "bleu",
        higher_is_better=True,
        shortfall="A minute of training is too little here; `default` on Multi30k (see the README) is far ahead.",
    )
    demo_inputs = (
        "The men went up to the mountain in the morning.",
        "The king gave them food and drink.",
        "Do not be afraid, for I am with you.",
    )
    presets: Mapping[application.PresetName, TranslationConfig] = {
        "quick": TranslationConfig(
            epochs=4,
            learning_rate=6e-3,
            vocabulary_size=2000,
            embedding_units=128,
            units=128,
            decoder="luong",
            embedding_dropout=0.1,
            context_dropout=0.1,
            output_dropout=0.1,
            ema_momentum=0.99,
            beam_width=3,
        ),
        "default": TranslationConfig(
            epochs=12, steps_per_epoch=300, learning_rate=2e-3, decoder="luong", ema_momentum=0.998
        ),
        "best": TranslationConfig(epochs=18, learning_rate=2e-3, ema_momentum=0.998, length_penalty=1.1),
    }

    def read(self, source: str, config: TranslationConfig) -> "Corpus":
        """Reads pairs of sentences, and holds out what parts the data does not have."""
        from apps.translation.data import read_corpus

        corpus = read_corpus(
            source,
            config.source,
            config.target,
            config.validation_fraction,
            config.test_fraction,
            SPLIT_SEED,
            config.columns,
        )
        for line in corpus.notes:
            logger.info(line)
        return corpus

    def fit_assets(self, corpus: "Corpus", config: TranslationConfig) -> "TranslationAssets":
        """Subwords of both sides of the train part."""
        from apps.translation.assets import TranslationAssets
        from apps.translation.batches import encoded, short_enough
        from recur.text.subwords import SubwordTokenizer

        texts = [*corpus.train.sources, *corpus.train.targets]
        assets = TranslationAssets(SubwordTokenizer.fit(texts, config.vocabulary_size, config.subwords))
        for name, part in (("train", corpus.train), ("validation", corpus.validation)):
            kept = len(short_enough(encoded(part, assets.subwords), config.longest))
            if not kept:
                raise InputError(f"no {name} pair has at most {config.longest} subwords a side; raise --longest")
            if kept < len(part):
                logger.info(
                    f"left out of {name}: {len(part) - kept:,} pairs with more than {config.longest} subwords a side"
                )
        return assets

    def write_assets(self, assets: "TranslationAssets", folder: Path) -> None:
        """Writes `subwords.model`."""
        assets.write(folder)

    def read_assets(self, folder: Path) -> "TranslationAssets":
        """Reads it."""
        from apps.translation.assets import TranslationAssets

        return TranslationAssets.read(folder)

    def datasets(self, corpus: "Corpus", assets: "TranslationAssets", config: TranslationConfig) -> Datasets:
        """Batches of so many tokens."""
        from apps.translation.batches import translation_datasets

        return translation_datasets(corpus, assets.subwords, config)

    def build(self, config: TranslationConfig, assets: "TranslationAssets") -> "keras.Model":
        """Shared embedding, bidirectional encoder, decoder with attention."""
        from apps.translation.model import TranslationModel

        if config.input_feeding and config.decoder != "luong":
            raise InputError("only a luong decoder has input feeding; say --decoder luong, or --no-input-feeding")
        try:
            model = TranslationModel(
                vocabulary_size=len(assets.subwords),
                embedding_units=config.embedding_units,
                cell=config.cell,
                units=config.units,
                encoder_layers=config.encoder_layers,
                decoder_layers=config.decoder_layers,
                decoder=config.decoder,
                attention=config.attention,
                input_feeding=config.input_feeding,
                word_dropout=config.word_dropout,
                embedding_dropout=config.embedding_dropout,
                context_dropout=config.context_dropout,
                output_dropout=config.output_dropout,
            )
        except ValueError as error:  # units that heads cannot share
            raise InputError(f"{error}; change --units") from None
        model.build()
        return model

    def objective(self, config: TranslationConfig) -> dict[str, Any]:
        """Smoothed cross-entropy; by token the cross-entropy in nats and the share of wrong guesses."""
        from recur.metrics.cross_entropy import SmoothedCrossEntropy, token_metrics

        return {"loss": SmoothedCrossEntropy(config.label_smoothing), "metrics": token_metrics()}

    def evaluate(self, trained: Trained, corpus: "Corpus", run: "Run") -> Evaluation:
        """BLEU and chrF beside copying the source and a dictionary."""
        from apps.translation.prediction import attended, translate_all
        from apps.translation.report import evaluate

        config, translator = trained.config, self.serving_module(trained)
        return evaluate(
            translate_all(translator, corpus.test.sources),
            corpus,
            config.target,
            attended(translator, corpus.test.sources[:4]),
            run.plots,
            {
                "beam_width": config.beam_width,
                "length_penalty": config.length_penalty,
                "coverage_penalty": config.coverage_penalty,
            },
            config.source,
        )

    def serving_module(self, trained: Trained) -> "Translator":
        """From raw sentences to translations, scores and attention."""
        from apps.translation.serving import Translator

        return Translator(trained.models, trained.assets, trained.config)

    def warmup_requests(self, shapes: Shapes) -> Mapping[str, Mapping[str, Any]]:
        """A few sentences for each signature."""
        import numpy as np

        texts = np.array([text.encode() for text in self.demo_inputs], dtype=object)
        return {
            "serving_default": {"text": texts},
            "n_best": {"text": texts[:1]},
            "attention": {"text": texts[:1]},
        }

    def request(
        self, inputs: Sequence[str], options: AnswerOptions, shapes: Shapes
    ) -> "tuple[str, Mapping[str, np.ndarray]]":
        """Rows of `serving_default`, or of `n_best`."""
        import numpy as np

        texts = np.array([text.encode("utf-8", "surrogateescape") for text in inputs], dtype=object)
        return ("n_best" if options.n_best else "serving_default"), {"text": texts}

    def records(
        self, inputs: Sequence[str], outputs: "Mapping[str, np.ndarray]", options: AnswerOptions
    ) -> list[dict[str, Any]]:
        """Text, translation and score; or text, translations and scores."""
        if "translations" not in outputs:
            rows = zip(inputs, outputs["translation"], outputs["score"], strict=True)
            return [
                {"text": text, "translation": translation.decode(), "score": float(score)}
                for text, translation, score in rows
            ]
        return [
            {
                "text": text,
                "translations": [translation.decode() for translation in translations],
                "scores": [float(score) for score in scores],
            }
            for text, translations, scores in zip(inputs, outputs["translations"], outputs["scores"], strict=True)
        ]

    def show(self, answer: dict[str, Any]) -> str:
        """The translation alone, so that line by line a file becomes its translation; several with their scores."""
        if "translation" in answer:
            return answer["translation"]
        rows = zip(answer["scores"], answer["translations"], strict=True)
        return "\n".join([answer["text"], *(f"{score:8.3f}  {translation}" for score, translation in rows)])


APPLICATION = Translation()
