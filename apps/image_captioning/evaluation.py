"""How close captions are to the references, what is new in them, and which are the worst.

All metrics see captions as `captions.plain_caption` writes them, so no tokeniser is needed, nor the Java of the COCO
evaluation, whose own scorers give CIDEr-D and ROUGE-L. METEOR 1.5 is Java too, and NLTK's needs a download of WordNet
and gives other numbers; chrF stands in for it.
"""

import dataclasses
import importlib.metadata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocoevalcap.cider.cider_scorer import CiderScorer
from pycocoevalcap.rouge.rouge import Rouge
from sacrebleu.metrics import BLEU, CHRF

from apps.image_captioning.captions import caption_words, plain_caption
from apps.image_captioning.consensus import grams

ORDERS = 4
EXAMPLES = 20


def scores(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Metrics of captions.

    Args:
        hypotheses: One an image.
        references: Of each image one or more.

    Returns:
        From 0 to 100: `bleu1` to `bleu4`, sacreBLEU's over the whole part, unsmoothed, against the reference nearest in
        length; `bleu4_no_penalty`, the last without brevity penalty, as Xu et al. report it; `rouge_l`; `chrf`, of
        characters up to sixes. `cider` is a hundred times CIDEr-D, from 0 to 1,000, of photographs mostly below 150;
        where there is one image it is 0, since no n-gram is rare then.

    Raises:
        ValueError: There is no image, or one has no reference.

    Sources:
        Papineni, K. et al. (2002), "BLEU", ACL; Lin, C.-Y. (2004), "ROUGE", ACL workshop, β = 1.2 as in the COCO
        evaluation; Vedantam, R. et al. (2015), "CIDEr", CVPR; Popović, M. (2016), "chrF deconstructed", WMT;
        Xu, K. et al. (2015), "Show, Attend and Tell", ICML, section 5.
    """
    hypotheses, references = _plain(hypotheses, references)
    streams = _streams(references)
    found = _bleu().corpus_score(hypotheses, streams)

    def bleu(order: int, reference_length: int) -> float:
        counts = (found.counts, found.totals, found.sys_len, reference_length)
        return BLEU.compute_bleu(*counts, smooth_method="none", max_ngram_order=order).score

    measured = {f"bleu{order}": bleu(order, found.ref_len) for order in range(1, ORDERS + 1)}
    measured["bleu4_no_penalty"] = bleu(ORDERS, found.sys_len)
    rouge = Rouge()
    rouges = [rouge.calc_score([text], each) for text, each in zip(hypotheses, references, strict=True)]
    measured["rouge_l"] = 100 * float(np.mean(rouges))
    measured["chrf"] = CHRF().corpus_score(hypotheses, streams).score
    measured["cider"] = 100 * float(cider_d(hypotheses, references).mean())
    # A perfect score can come out as 100.00000000000004.
    return {name: float(value if name == "cider" else min(100.0, value)) for name, value in measured.items()}


def cider_d(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """CIDEr-D of each caption by the scorer of the COCO evaluation, with the references for its corpus.

    Returns:
        float64 [images], from 0 to 10.

    Raises:
        ValueError: As `scores`.
    """
    hypotheses, references = _plain(hypotheses, references)
    if not any(map(any, references)):  # for which the scorer has no answer
        return np.zeros(len(hypotheses))
    scorer = CiderScorer()
    for text, each in zip(hypotheses, references, strict=True):
        scorer += (text, each)
    return scorer.compute_score()[1]


def signatures(references: Sequence[Sequence[str]]) -> dict[str, str]:
    """How was counted, by metric.

    Example:
        >>> signatures([["a dog", "the dog"]])["bleu4"].split("|version")[0]
        'nrefs:2|case:mixed|eff:no|tok:none|smooth:none'
    """
    streams = _streams(references)
    coco = f"pycocoevalcap {importlib.metadata.version('pycocoevalcap')}"
    return {
        "words": "lower case, punctuation dropped, parted at blanks; no word of a reference is replaced",
        "bleu4": str(_bleu(references=streams).get_signature()),
        "chrf": str(CHRF(references=streams).get_signature()),
        "rouge_l": coco,
        "cider": f"{coco}: CIDEr-D times 100, document frequencies of the references",
    }


def diversity(hypotheses: Sequence[str], train: Sequence[Sequence[str]], vocabulary: int) -> dict[str, float]:
    """What captions have of their own.

    Args:
        hypotheses: One an image.
        train: Captions of each train image.
        vocabulary: Words that the model can say.

    Returns:
        `novelty`, the share that no train image has; `distinct_captions`, different ones among all; `words_used` and
        `vocabulary_use`, the number of different words and its share of the vocabulary; `distinct_1`, `distinct_2`,
        different n-grams among all; `mean_words`.

    Raises:
        ValueError: There is no caption.

    Source:
        Li, J. et al. (2016), "A Diversity-Promoting Objective Function for Neural Conversation Models", NAACL.
    """
    if not hypotheses:
        raise ValueError("need one caption at least")
    known = {plain_caption(caption) for each in train for caption in each}
    words = [caption_words(text) for text in hypotheses]
    texts = [" ".join(each) for each in words]
    used = {word for each in words for word in each}

    def distinct(order: int) -> float:
        counts = Counter(gram for each in words for gram in grams(each, order))
        return len(counts) / max(1, counts.total())

    return {
        "novelty": float(np.mean([text not in known for text in texts])),
        "distinct_captions": len(set(texts)) / len(texts),
        "words_used": float(len(used)),
        "vocabulary_use": len(used) / max(1, vocabulary),
        "distinct_1": distinct(1),
        "distinct_2": distinct(2),
        "mean_words": float(np.mean([len(each) for each in words])),
    }


def exact_match(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], groups: Sequence[str]
) -> dict[str, float]:
    """Share of captions, from 0 to 1, that are a reference word by word.

    Args:
        hypotheses: One an image.
        references: Of each image one or more.
        groups: Of each image, or none at all.

    Returns:
        `all`, then each group by its name in the order they first come in.

    Raises:
        ValueError: As `scores`, or there are groups and not as many.
    """
    hypotheses, references = _plain(hypotheses, references)
    matches = np.array([text in each for text, each in zip(hypotheses, references, strict=True)])
    if groups and len(groups) != len(matches):
        raise ValueError(f"need a group for each of {len(matches)} captions, got {len(groups)}")
    members: Mapping[str, np.ndarray] = {name: np.array(groups) == name for name in dict.fromkeys(groups)}
    return {"all": float(matches.mean())} | {name: float(matches[rows].mean()) for name, rows in members.items()}


@dataclasses.dataclass(frozen=True)
class Example:
    """A caption beside what it should be."""

    image: str
    caption: str
    references: list[str]
    cider: float
    """Of this caption alone, times 100."""


def examples(
    images: Sequence[str], hypotheses: Sequence[str], references: Sequence[Sequence[str]], seed: int = 0
) -> dict[str, list[dict[str, Any]]]:
    """Captions to look at: `worst`, the twenty of the lowest CIDEr-D, worst first, and `random`, twenty by chance.

    Args:
        images: Their names.
        hypotheses: One an image.
        references: Of each image one or more.
        seed: Of the choice, which is the same for whatever hypotheses.

    Returns:
        Fields of `Example`.

    Raises:
        ValueError: As `scores`.
    """
    found = 100 * cider_d(hypotheses, references)
    chosen = {
        "worst": np.argsort(found, kind="stable")[:EXAMPLES],
        "random": np.sort(np.random.default_rng(seed).permutation(len(found))[:EXAMPLES]),
    }
    return {
        name: [
            dataclasses.asdict(Example(images[row], hypotheses[row], list(references[row]), round(found[row], 2)))
            for row in rows
        ]
        for name, rows in chosen.items()
    }


def _bleu(references: Sequence[Sequence[str | None]] | None = None) -> BLEU:
    return BLEU(tokenize="none", smooth_method="none", force=True, references=references)


def _plain(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    if not len(hypotheses) or len(hypotheses) != len(references) or not all(len(each) for each in references):
        counts = f"{len(hypotheses)} captions and references of {sum(map(bool, references))} images"
        raise ValueError(f"need captions, and references for each, got {counts}")
    plain = [[plain_caption(text) for text in each] for each in references]
    return [plain_caption(text) for text in hypotheses], plain


def _streams(references: Sequence[Sequence[str]]) -> list[list[str | None]]:
    """The first reference of each image, the second, and so on; None where an image has no more."""
    most = max(map(len, references))
    return [[each[number] if number < len(each) else None for each in references] for number in range(most)]
