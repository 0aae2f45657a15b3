"""The work of translation: pairs of sentences, an encoder–decoder with attention, and the search that decodes."""

import logging
from typing import Any

from apps.translation.batches import datasets, encoded, short_enough
from apps.translation.config import TranslationConfig
from apps.translation.data import Corpus, read_corpus
from apps.translation.model import TranslationModel
from apps.translation.serving import Translator
from recur.errors import InputError
from recur.metrics.cross_entropy import SmoothedCrossEntropy, token_metrics
from recur.text.subwords import SubwordTokenizer
from recur.training.task import Task

logger = logging.getLogger(__name__)


class Translation(Task[TranslationConfig, Corpus, SubwordTokenizer]):
    """Sentence in, sentence out."""

    assets = SubwordTokenizer
    datasets = staticmethod(datasets)
    serving_module = Translator
    monitor = "val_error"  # of tokens; the likelihood falls long before the translations get worse

    def read(self, source: str, config: TranslationConfig) -> Corpus:
        """Reads pairs of sentences, and holds out what parts the data does not have."""
        corpus = read_corpus(source, config)
        for line in corpus.notes:
            logger.info(line)
        return corpus

    def fit_assets(self, corpus: Corpus, config: TranslationConfig) -> SubwordTokenizer:
        """Subwords of both sides of the train part."""
        texts = [*corpus.train.sources, *corpus.train.targets]
        subwords = SubwordTokenizer.fit(texts, config.vocabulary_size, config.subwords)
        for name, part in (("train", corpus.train), ("validation", corpus.validation)):
            kept = len(short_enough(encoded(part, subwords), config.longest))
            if not kept:
                raise InputError(f"no {name} pair has at most {config.longest} subwords a side; raise `longest`")
            if kept < len(part):
                logger.info(
                    f"left out of {name}: {len(part) - kept:,} pairs with more than {config.longest} subwords a side"
                )
        return subwords

    def build(self, config: TranslationConfig, assets: SubwordTokenizer) -> TranslationModel:
        """Shared embedding, bidirectional encoder, decoder with attention."""
        if config.input_feeding and config.decoder != "luong":
            raise InputError(
                "only a luong decoder has input feeding; say `decoder` luong, or leave out `input_feeding`"
            )
        try:
            model = TranslationModel(config, vocabulary_size=len(assets))
        except ValueError as error:  # units that heads cannot share
            raise InputError(f"{error}; change `units`") from None
        model.build()
        return model

    def objective(self, config: TranslationConfig) -> dict[str, Any]:
        """Smoothed cross-entropy; by token the cross-entropy in nats and the share of wrong guesses."""
        return {"loss": SmoothedCrossEntropy(config.label_smoothing), "metrics": token_metrics()}


TASK = Translation()
