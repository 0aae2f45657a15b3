"""What `evaluate` says: the model and its baselines on the same sentences, and the pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from apps.translation import evaluation, plots
from apps.translation.baselines import copy_source, fit_dictionary
from apps.translation.data import Corpus
from recur.training.task import Evaluation

MODEL = "this model"


def evaluate(
    translations: Sequence[str],
    corpus: Corpus,
    target_language: str,
    attention: Sequence[tuple[list[str], list[str], np.ndarray]],
    plots_folder: Path,
    details: Mapping[str, Any],
    source_language: str,
) -> Evaluation:
    """Measures translations of the test part beside the baselines, the dictionary fitted on the train part.

    Args:
        translations: Of each test source, detokenised and cased.
        corpus: The data.
        target_language: Two-letter code.
        attention: Source pieces, target pieces and weights [target, source] of the sentences to draw; may be none.
        plots_folder: Where `attention.png` and `bleu_by_length.png` go.
        details: What else there is to say: how was decoded, say.
        source_language: Two-letter code, by which the dictionary parts words.

    Raises:
        ValueError: The test part is empty, or there is not one translation a source.
    """
    sources, references = corpus.test.sources, corpus.test.targets
    dictionary = fit_dictionary(corpus.train.sources, corpus.train.targets, source_language, target_language)
    baselines = {"copy_source": copy_source(sources), "dictionary": dictionary.translate(sources)}
    lengths = {
        name: evaluation.by_length(sources, hypotheses, references)
        for name, hypotheses in {MODEL: translations, **baselines}.items()
    }
    plots.bleu_by_length_plot(lengths, plots_folder / "bleu_by_length.png")
    if attention:
        plots.attention_plot(attention, plots_folder / "attention.png")
    return Evaluation(
        "test",
        len(sources),
        evaluation.scores(translations, references, target_language),
        {name: evaluation.scores(each, references, target_language) for name, each in baselines.items()},
        {
            **details,
            "signatures": evaluation.signatures(target_language),
            "bleu_95": evaluation.interval(translations, references),
            "bleu_by_length": lengths,
            **evaluation.examples(sources, translations, references),
        },
    )
