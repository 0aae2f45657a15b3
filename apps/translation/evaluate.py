"""What `evaluate` says: the model and its baselines on the same sentences, the worst translations, and the pictures."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm
from sacrebleu.metrics import CHRF

from apps.translation.baselines import copy_source, fit_dictionary
from apps.translation.config import TranslationConfig
from apps.translation.data import Corpus
from apps.translation.metrics import by_length, check_aligned, interval, scores, signatures
from apps.translation.plots import MAPS, AttentionMap, attention_plot, bleu_by_length_plot
from apps.translation.serving import Translator
from recur.text.subwords import SubwordTokenizer
from recur.training.runs import Run
from recur.training.task import Evaluation, Trained

MODEL = "this model"
BATCH = 64
EXAMPLES, SHOWN = 20, 400


def evaluate(trained: Trained[TranslationConfig, SubwordTokenizer], corpus: Corpus, run: Run) -> Evaluation:
    """BLEU and chrF of the test part beside copying the source and a dictionary."""
    translator, sources = Translator(trained), corpus.test.sources
    maps = attended(translator, sources[:MAPS])
    return compared(translate_all(translator, sources), maps, corpus, trained.config, run.plots)


def compared(
    translations: Sequence[str],
    maps: Sequence[AttentionMap],
    corpus: Corpus,
    config: TranslationConfig,
    plots: Path,
) -> Evaluation:
    """Measures translations of the test part beside the baselines, the dictionary fitted on the train part.

    Args:
        translations: Of each test source, detokenised and cased.
        maps: The sentences to draw; may be none.
        corpus: The data.
        config: The languages, two-letter codes by which words are parted, and how was decoded.
        plots: Where `attention.png` and `bleu_by_length.png` go.

    Raises:
        ValueError: The test part is empty, or there is not one translation a source.
    """
    sources, references = corpus.test.sources, corpus.test.targets
    dictionary = fit_dictionary(corpus.train.sources, corpus.train.targets, config.source, config.target)
    baselines = {"copy_source": copy_source(sources), "dictionary": dictionary.translate(sources)}
    lengths = {
        name: by_length(sources, hypotheses, references)
        for name, hypotheses in {MODEL: translations, **baselines}.items()
    }
    bleu_by_length_plot(lengths, plots / "bleu_by_length.png")
    if maps:
        attention_plot(maps, plots / "attention.png")
    return Evaluation(
        split="test",
        examples=len(sources),
        metrics=scores(translations, references, config.target),
        baselines={name: scores(hypotheses, references, config.target) for name, hypotheses in baselines.items()},
        details={
            "beam_width": config.beam_width,
            "length_penalty": config.length_penalty,
            "coverage_penalty": config.coverage_penalty,
            "signatures": signatures(config.target),
            "bleu_95": interval(translations, references),
            "bleu_by_length": lengths,
            **examples(sources, translations, references),
        },
    )


def translate_all(translator: Translator, texts: Sequence[str]) -> list[str]:
    """Translations, as `predict` gives them.

    Args:
        translator: The serving module of a run.
        texts: Sentences.
    """
    order = np.argsort([len(text) for text in texts], kind="stable")
    translations: list[str] = [""] * len(texts)
    with tqdm.tqdm(
        total=len(texts), desc="translating", unit="sentence", file=sys.stderr, delay=2, disable=None
    ) as bar:
        for begin in range(0, len(texts), BATCH):
            index = order[begin : begin + BATCH]
            answers = translator.translate(tf.constant([texts[i].encode() for i in index]))["translation"]
            for place, answer in zip(index, answers.numpy(), strict=True):
                translations[place] = answer.decode()
            bar.update(len(index))
    return translations


def attended(translator: Translator, texts: Sequence[str]) -> list[AttentionMap]:
    """Source tokens, tokens and weights [tokens, source tokens] of sentences, to draw; none of what is empty."""
    answer = translator.attention(tf.constant(list(texts)))
    columns = (answer[name].numpy() for name in ("source_tokens", "tokens", "weights"))
    drawn: list[AttentionMap] = []
    for source, target, weights in zip(*columns, strict=True):
        read, written = ([token.decode() for token in tokens if token] for tokens in (source, target))
        if read and written:
            drawn.append((read, written, weights[: len(written), : len(read)]))
    return drawn


def examples(
    sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str], seed: int = 0
) -> dict[str, list[dict[str, Any]]]:
    """Translations to look at: `worst`, the twenty of the lowest chrF, worst first, and `random`, twenty by chance.

    Args:
        sources: The sentences.
        hypotheses: Their translations.
        references: What they should be.
        seed: Of the choice, which is the same for whatever hypotheses.

    Returns:
        `source`, `reference` and `hypothesis`, the first 400 characters of each, and `chrf` of this sentence alone.

    Raises:
        ValueError: There is no sentence, or the three do not fit.
    """
    check_aligned(sources, hypotheses, references)
    metric = CHRF()
    pairs = zip(hypotheses, references, strict=True)
    chrf = [metric.sentence_score(hypothesis, [reference]).score for hypothesis, reference in pairs]
    chosen = {
        "worst": np.argsort(chrf, kind="stable")[:EXAMPLES],
        "random": np.sort(np.random.default_rng(seed).permutation(len(chrf))[:EXAMPLES]),
    }
    sides = {"source": sources, "reference": references, "hypothesis": hypotheses}

    def example(row: int) -> dict[str, Any]:
        return {name: _shortened(texts[row]) for name, texts in sides.items()} | {"chrf": round(chrf[row], 2)}

    return {name: [example(row) for row in rows] for name, rows in chosen.items()}


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
