"""How close translations are to the reference: BLEU and chrF, overall, by length, and with their interval.

Words and punctuation marks are those of Moses, by sacremoses: what the published tables of Multi30k count, and what the
dictionary aligns. A language is its two-letter code. To one that Moses does not know apply, as in its own scripts, the
English abbreviations before a full stop; an apostrophe is then a word of its own. Scripts without blanks are not
parted.
"""

import functools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from sacrebleu.metrics import BLEU, CHRF
from sacremoses import MosesDetokenizer, MosesPunctNormalizer, MosesTokenizer

EDGES = (5, 10, 15, 20, 25, 30, 40, 50)
RESAMPLES = 1000


def moses_words(sentence: str, language: str) -> list[str]:
    """The words and punctuation marks of a sentence.

    Example:
        >>> moses_words("Ein Hund, z.B. ein Dackel, läuft.", "de")
        ['Ein', 'Hund', ',', 'z.B.', 'ein', 'Dackel', ',', 'läuft', '.']
    """
    return _tokenizer(language).tokenize(sentence, escape=False)


def moses_sentence(words: Sequence[str], language: str) -> str:
    """Joins words and punctuation marks to a sentence as one writes it.

    Example:
        >>> moses_sentence(["Un", "chien", ",", "dit", "l'", "homme", "."], "fr")
        "Un chien, dit l'homme."
    """
    return _detokenizer(language).detokenize(words, unescape=False)


def moses_lowered(sentences: Sequence[str], language: str) -> list[str]:
    """Sentences as the tables of Multi30k count them: in lower case, punctuation normalised, words parted by blanks.

    Source:
        `scripts/task1-tokenize.sh` of github.com/multi30k/dataset: lowercase.perl, normalize-punctuation.perl and
        tokenizer.perl, in this order. Its XML escapes are left out; they change no count.

    Example:
        >>> moses_lowered(["Der Mann sagt: „Los!“"], "de")
        ['der mann sagt : " los ! "']
    """
    normalizer = _normalizer(language)
    return [" ".join(moses_words(normalizer.normalize(text.lower()), language)) for text in sentences]


@functools.cache
def _tokenizer(language: str) -> MosesTokenizer:
    return MosesTokenizer(language)


@functools.cache
def _detokenizer(language: str) -> MosesDetokenizer:
    return MosesDetokenizer(language)


@functools.cache
def _normalizer(language: str) -> MosesPunctNormalizer:
    return MosesPunctNormalizer(language, perl_parity=True)


def scores(hypotheses: Sequence[str], references: Sequence[str], target_language: str) -> dict[str, float]:
    """Metrics of translations, each from 0 to 100.

    Args:
        hypotheses: The translations, detokenised and cased.
        references: One each.
        target_language: Two-letter code, for the tokeniser of `bleu_lower_tok`; the module says what becomes of others.

    Returns:
        `bleu`, sacreBLEU's, cased, on the tokens of mteval-v13a, which leaves scripts without blanks unparted: there
        look at `chrf`, chrF2 of characters up to sixes; `bleu_lower_tok`, what multi-bleu.perl says of Moses tokens in
        lower case, as the tables of Multi30k have it.

    Raises:
        ValueError: There is no sentence, or there is not one reference each.

    Sources:
        Post, M. (2018), "A Call for Clarity in Reporting BLEU Scores", WMT; Popović, M. (2016), "chrF deconstructed:
        beta parameters and n-gram weights", WMT.
    """
    check_aligned(hypotheses, references)
    tokens = [moses_lowered(sentences, target_language) for sentences in (hypotheses, references)]
    measured = {
        "bleu": _bleu().corpus_score(hypotheses, [references]).score,
        "chrf": CHRF().corpus_score(hypotheses, [references]).score,
        "bleu_lower_tok": _bleu_lower_tok().corpus_score(tokens[0], [tokens[1]]).score,
    }
    # A perfect score can come out as 100.00000000000004.
    return {name: min(100.0, float(value)) for name, value in measured.items()}


def signatures(target_language: str) -> dict[str, str]:
    """SacreBLEU's signature of each metric of `scores`, by its name.

    Example:
        >>> signatures("de")["bleu"].split("|version")[0]
        'nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp'
    """
    one = [["any"]]  # a signature counts the references that the metric has seen
    metrics = {"bleu": _bleu(references=one), "chrf": CHRF(references=one), "bleu_lower_tok": _bleu_lower_tok(one)}
    texts = {name: str(metric.get_signature()) for name, metric in metrics.items()}
    before = f"lowercase, normalize-punctuation and tokenizer -l {target_language} of Moses by sacremoses, then "
    return texts | {"bleu_lower_tok": before + texts["bleu_lower_tok"]}


def interval(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """95 % interval of `bleu`, by sacreBLEU's bootstrap over sentences with its own fixed seed.

    Returns:
        `low` and `high`, both around the `mean` of the resamples, and the `signature` with their number and the seed.

    Raises:
        ValueError: As `scores`.

    Source:
        Koehn, P. (2004), "Statistical Significance Tests for Machine Translation Evaluation", EMNLP.
    """
    check_aligned(hypotheses, references)
    metric = _bleu()
    score = metric.corpus_score(hypotheses, [references], n_bootstrap=RESAMPLES)
    signature = str(metric.get_signature())
    resampled = json.loads(score.format(width=6, signature=signature, is_json=True))
    # Where every resample scores 0, sacreBLEU says nothing.
    mean, half = resampled.get("confidence_mean", 0.0), resampled.get("confidence_var", 0.0)
    return {"low": mean - half, "high": mean + half, "mean": mean, "signature": signature}


def by_length(
    sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]
) -> list[dict[str, str | int | float]]:
    """BLEU of short and of long sentences.

    Returns:
        Of every group that has sentences, shortest first: `words`, how many the source has by blanks, "6–10" say;
        `sentences`, how many there are; `bleu`, as in `scores`.

    Raises:
        ValueError: There is no sentence, or the three do not fit.
    """
    check_aligned(sources, hypotheses, references)
    group_of = np.searchsorted(EDGES, [len(source.split()) for source in sources], side="left")
    names = [f"{low + 1}–{high}" for low, high in zip((0, *EDGES), EDGES, strict=False)] + [f"over {EDGES[-1]}"]
    groups: list[dict[str, str | int | float]] = []
    for group in np.unique(group_of):
        rows = np.flatnonzero(group_of == group).tolist()
        score = _bleu().corpus_score([hypotheses[row] for row in rows], [[references[row] for row in rows]]).score
        groups.append({"words": names[group], "sentences": len(rows), "bleu": min(100.0, float(score))})
    return groups


def _bleu(references: Sequence[Sequence[str]] | None = None) -> BLEU:
    # `force` keeps sacreBLEU from wondering whether text that ends in " ." is tokenised.
    return BLEU(tokenize="13a", force=True, references=references)


def _bleu_lower_tok(references: Sequence[Sequence[str]] | None = None) -> BLEU:
    return BLEU(tokenize="none", lowercase=True, smooth_method="none", force=True, references=references)


def check_aligned(first: Sequence[str], *others: Sequence[str]) -> None:
    """Refuses what does not go together.

    Raises:
        ValueError: There is no sentence, or there are not as many on every side.
    """
    if not len(first) or any(len(other) != len(first) for other in others):
        counts = ", ".join(str(len(side)) for side in (first, *others))
        raise ValueError(f"need sentences, as many on every side, got {counts}")
