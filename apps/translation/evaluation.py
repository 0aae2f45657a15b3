"""How close translations are to the reference, overall and by length, and which are the worst."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from sacrebleu.metrics import BLEU, CHRF

from apps.translation import moses

EDGES = (5, 10, 15, 20, 25, 30, 40, 50)
EXAMPLES, SHOWN, RESAMPLES = 20, 400, 1000


@dataclasses.dataclass(frozen=True)
class Example:
    """A sentence, what it should be and what it became, the first 400 characters of each."""

    source: str
    reference: str
    hypothesis: str
    chrf: float
    """Of this sentence alone."""


def scores(hypotheses: Sequence[str], references: Sequence[str], target_language: str) -> dict[str, float]:
    """Metrics of translations, each from 0 to 100.

    Args:
        hypotheses: The translations, detokenised and cased.
        references: One each.
        target_language: Two-letter code, for the tokeniser of `bleu_lower_tok`; `moses` says what becomes of others.

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
    _check(hypotheses, references)
    tokens = [moses.lowered(sentences, target_language) for sentences in (hypotheses, references)]
    found = {
        "bleu": _bleu().corpus_score(hypotheses, [references]).score,
        "chrf": CHRF().corpus_score(hypotheses, [references]).score,
        "bleu_lower_tok": _bleu_lower_tok().corpus_score(tokens[0], [tokens[1]]).score,
    }
    # A perfect score can come out as 100.00000000000004.
    return {name: min(100.0, float(value)) for name, value in found.items()}


def signatures(target_language: str) -> dict[str, str]:
    """SacreBLEU's signature of each metric of `scores`, by its name.

    Example:
        >>> signatures("de")["bleu"].split("|version")[0]
        'nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp'
    """
    one = [["any"]]  # a signature counts the references that the metric has seen
    found = {"bleu": _bleu(references=one), "chrf": CHRF(references=one), "bleu_lower_tok": _bleu_lower_tok(one)}
    found = {name: str(metric.get_signature()) for name, metric in found.items()}
    before = f"lowercase, normalize-punctuation and tokenizer -l {target_language} of Moses by sacremoses, then "
    return found | {"bleu_lower_tok": before + found["bleu_lower_tok"]}


def interval(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """95 % interval of `bleu`, by sacreBLEU's bootstrap over sentences with its own fixed seed.

    Returns:
        `low` and `high`, both around the `mean` of the resamples, and the `signature` with their number and the seed.

    Raises:
        ValueError: As `scores`.

    Source:
        Koehn, P. (2004), "Statistical Significance Tests for Machine Translation Evaluation", EMNLP.
    """
    _check(hypotheses, references)
    metric = _bleu()
    score = metric.corpus_score(hypotheses, [references], n_bootstrap=RESAMPLES)
    signature = str(metric.get_signature())
    found = json.loads(score.format(width=6, signature=signature, is_json=True))
    # Where every resample scores 0, sacreBLEU says nothing.
    mean, half = found.get("confidence_mean", 0.0), found.get("confidence_var", 0.0)
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
    _check(sources, hypotheses, references)
    group_of = np.searchsorted(EDGES, [len(source.split()) for source in sources], side="left")
    names = [f"{low + 1}–{high}" for low, high in zip((0, *EDGES), EDGES, strict=False)] + [f"over {EDGES[-1]}"]
    found = []
    for group in np.unique(group_of):
        rows = np.flatnonzero(group_of == group)
        score = _bleu().corpus_score([hypotheses[row] for row in rows], [[references[row] for row in rows]]).score
        found.append({"words": names[group], "sentences": len(rows), "bleu": min(100.0, float(score))})
    return found


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
        Fields of `Example`.

    Raises:
        ValueError: There is no sentence, or the three do not fit.
    """
    _check(sources, hypotheses, references)
    metric = CHRF()
    chrf = [
        metric.sentence_score(each, [reference]).score for each, reference in zip(hypotheses, references, strict=True)
    ]
    chosen = {
        "worst": np.argsort(chrf, kind="stable")[:EXAMPLES],
        "random": np.sort(np.random.default_rng(seed).permutation(len(chrf))[:EXAMPLES]),
    }
    return {
        name: [
            dataclasses.asdict(
                Example(*(_shortened(part[row]) for part in (sources, references, hypotheses)), round(chrf[row], 2))
            )
            for row in rows
        ]
        for name, rows in chosen.items()
    }


def _bleu(references: Sequence[Sequence[str]] | None = None) -> BLEU:
    # `force` keeps sacreBLEU from wondering whether text that ends in " ." is tokenised.
    return BLEU(tokenize="13a", force=True, references=references)


def _bleu_lower_tok(references: Sequence[Sequence[str]] | None = None) -> BLEU:
    return BLEU(tokenize="none", lowercase=True, smooth_method="none", force=True, references=references)


def _check(first: Sequence[str], *others: Sequence[str]) -> None:
    if not len(first) or any(len(each) != len(first) for each in others):
        counts = ", ".join(str(len(each)) for each in (first, *others))
        raise ValueError(f"need sentences, as many on every side, got {counts}")


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
