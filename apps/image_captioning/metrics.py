"""How close captions are to the references, what is new in them, and which are the worst.

All metrics see captions as `data.plain_caption` writes them, so no tokeniser is needed, nor the Java of the COCO
evaluation, whose own scorers give CIDEr-D and ROUGE-L. METEOR 1.5 is Java too, and NLTK's needs a download of WordNet
and gives other numbers; chrF stands in for it.

`CiderSpace` serves what asks for many scores on weights fixed by the train part: the consensus of a retrieval, and the
reward of self-critical training. What `evaluate` reports is the scorer of the COCO evaluation, which takes its weights
from the references it is given; with the same ones the two agree.
"""

import dataclasses
import importlib.metadata
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse
from pycocoevalcap.cider.cider_scorer import CiderScorer
from pycocoevalcap.rouge.rouge import Rouge
from sacrebleu.metrics import BLEU, CHRF

from apps.image_captioning.assets import FIRST, CaptionVocabulary
from apps.image_captioning.data import caption_words, plain_caption
from recur.text.subwords import END

ORDERS, SIGMA, SCALE = 4, 6.0, 10.0
"""N-grams, width of the penalty for another length, and factor of CIDEr-D: those of its authors."""
EXAMPLES = 20
ENDING = "<end>"

Gram = tuple[str, ...]


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
    counted = _bleu().corpus_score(hypotheses, streams)

    def bleu(order: int, reference_length: int) -> float:
        counts = (counted.counts, counted.totals, counted.sys_len, reference_length)
        return BLEU.compute_bleu(*counts, smooth_method="none", max_ngram_order=order).score

    measured = {f"bleu{order}": bleu(order, counted.ref_len) for order in range(1, ORDERS + 1)}
    measured["bleu4_no_penalty"] = bleu(ORDERS, counted.sys_len)
    rouge = Rouge()
    rouges = [rouge.calc_score([text], wanted) for text, wanted in zip(hypotheses, references, strict=True)]
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
    for pair in zip(hypotheses, references, strict=True):
        scorer += pair
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
    known = {plain_caption(caption) for captions in train for caption in captions}
    words = [caption_words(text) for text in hypotheses]
    texts = [" ".join(caption) for caption in words]
    used = {word for caption in words for word in caption}

    def distinct(order: int) -> float:
        counts = Counter(gram for caption in words for gram in grams(caption, order))
        return len(counts) / max(1, counts.total())

    return {
        "novelty": float(np.mean([text not in known for text in texts])),
        "distinct_captions": len(set(texts)) / len(texts),
        "words_used": float(len(used)),
        "vocabulary_use": len(used) / max(1, vocabulary),
        "distinct_1": distinct(1),
        "distinct_2": distinct(2),
        "mean_words": float(np.mean([len(caption) for caption in words])),
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
    matches = np.array([text in wanted for text, wanted in zip(hypotheses, references, strict=True)])
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
    values = 100 * cider_d(hypotheses, references)
    chosen = {
        "worst": np.argsort(values, kind="stable")[:EXAMPLES],
        "random": np.sort(np.random.default_rng(seed).permutation(len(values))[:EXAMPLES]),
    }
    return {
        name: [
            dataclasses.asdict(Example(images[row], hypotheses[row], list(references[row]), round(values[row], 2)))
            for row in rows
        ]
        for name, rows in chosen.items()
    }


def _bleu(references: Sequence[Sequence[str]] | None = None) -> BLEU:
    return BLEU(tokenize="none", smooth_method="none", force=True, references=references)


def _plain(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    if not len(hypotheses) or len(hypotheses) != len(references) or not all(map(len, references)):
        counts = f"{len(hypotheses)} captions and references of {sum(map(bool, references))} images"
        raise ValueError(f"need captions, and references for each, got {counts}")
    plain = [[plain_caption(text) for text in texts] for texts in references]
    return [plain_caption(text) for text in hypotheses], plain


def _streams(references: Sequence[Sequence[str]]) -> list[list[Any]]:
    """The first reference of each image, the second, and so on; None, as sacreBLEU has it, where there is no more."""
    most = max(map(len, references))
    return [[texts[number] if number < len(texts) else None for texts in references] for number in range(most)]


class CiderSpace:
    """CIDEr between captions, thousands at a time: n-grams are weighted by how few images of a train part have them.

    An n-gram that no train image has weighs as much as one of a single image.

    Args:
        captions: Of each image, as found.
        split: From a caption to its words.

    Raises:
        ValueError: There is no image.

    Source:
        Vedantam, R., Zitnick, C. L. & Parikh, D. (2015), "CIDEr: Consensus-based Image Description Evaluation", CVPR.
    """

    def __init__(self, captions: Iterable[Sequence[str]], split: Callable[[str], list[str]] = caption_words):
        self._split = split
        images = [[split(caption) for caption in texts] for texts in captions]
        if not images:
            raise ValueError("need the captions of one image at least")
        self._log_images = np.log(len(images))
        self._ids: list[dict[Gram, int]] = []
        self._weights: list[np.ndarray] = []
        for order in range(1, ORDERS + 1):
            of_images = ({gram for words in image for gram in grams(words, order)} for image in images)
            frequencies = Counter(itertools.chain.from_iterable(of_images))
            self._ids.append({gram: number for number, gram in enumerate(frequencies)})
            self._weights.append(self._log_images - np.log(list(frequencies.values())))

    def units(self, captions: Sequence[str]) -> scipy.sparse.csr_array:
        """Rows whose products are CIDEr: the mean over orders of the cosine of two captions.

        Args:
            captions: As found.

        Returns:
            float64 [captions, n-grams], comparable with one another alone. Rows have length 1, but for captions of
            fewer than four words and those whose n-grams every image has.
        """
        words = [self._split(caption) for caption in captions]
        blocks = []
        for order in range(1, ORDERS + 1):
            weights = self._vectors(words, order)
            blocks.append(scipy.sparse.diags_array(1 / _norms(weights)) @ weights)
        return (scipy.sparse.hstack(blocks) / np.sqrt(ORDERS)).tocsr()

    def cider_d(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
        """CIDEr-D of each caption, from 0 to 10.

        Args:
            hypotheses: Captions.
            references: Of each one or more.

        Returns:
            float64 [hypotheses].

        Raises:
            ValueError: A hypothesis has no reference, or there are not as many.
        """
        counts = np.array([len(texts) for texts in references], np.int64)
        if len(hypotheses) != len(counts) or (counts == 0).any():
            raise ValueError(f"need references for each of {len(hypotheses)} captions, got {counts.tolist()}")
        words = [self._split(text) for text in (*hypotheses, *itertools.chain.from_iterable(references))]
        left = np.repeat(np.arange(len(counts)), counts)
        right = len(counts) + np.arange(counts.sum())
        total = np.zeros(len(right))
        for order in range(1, ORDERS + 1):
            weights = self._vectors(words, order)
            norms = _norms(weights)
            clipped = weights[left].minimum(weights[right]).multiply(weights[right]).sum(axis=1)
            total += clipped / (norms[left] * norms[right])
        # Pairs of neighbouring words, which the scorer of the COCO evaluation takes for the length.
        lengths = np.array([max(0, len(caption) - 1) for caption in words])
        total *= np.exp(-((lengths[left] - lengths[right]) ** 2) / (2 * SIGMA**2)) / ORDERS
        return SCALE * np.bincount(left, total, len(counts)) / counts

    def _vectors(self, words: Sequence[Sequence[str]], order: int) -> scipy.sparse.csr_array:
        """Counts of n-grams times their weights: float64 [captions, n-grams]."""
        known = self._ids[order - 1]
        new: dict[Gram, int] = {}
        rows = [
            [known[gram] if gram in known else new.setdefault(gram, len(known) + len(new)) for gram in grams(w, order)]
            for w in words
        ]
        columns = np.array([gram for row in rows for gram in row], np.int64)
        begins = np.cumsum([0, *map(len, rows)])
        weights = np.concatenate([self._weights[order - 1], np.full(len(new), self._log_images)])
        vectors = scipy.sparse.csr_array((weights[columns], columns, begins), shape=(len(rows), len(weights)))
        vectors.sum_duplicates()
        return vectors


def grams(words: Sequence[str], order: int) -> Iterable[Gram]:
    """Each run of so many neighbouring words."""
    return zip(*(words[offset:] for offset in range(order)), strict=False)


def _norms(weights: scipy.sparse.csr_array) -> np.ndarray:
    """Lengths of rows, 1 where there is nothing."""
    norms = np.sqrt(weights.multiply(weights).sum(axis=1))
    return np.where(norms > 0, norms, 1.0)


class CaptionReward:
    """CIDEr-D of captions that are ids, with n-grams weighted by the train part.

    The end of a caption counts as a word, in the references too. Otherwise a caption that stops after "with a" loses
    nothing, and models learn to stop there (Rennie et al. 2017, section 5 of the supplement).

    Args:
        vocabulary: Of the ids.
        train: The captions of each train image.
    """

    def __init__(self, vocabulary: CaptionVocabulary, train: Sequence[Sequence[str]]):
        self._names = np.array(["", "", "", ENDING, *vocabulary.words])
        self._space = CiderSpace(with_endings(train), str.split)

    def __call__(self, written: np.ndarray, references: Sequence[Sequence[str]]) -> np.ndarray:
        """CIDEr-D, from 0 to 10.

        Args:
            written: int32 [captions, steps], the end where it was reached and padding after it.
            references: Of each caption, as `with_endings` gives them.

        Returns:
            float32 [captions].
        """
        captions = [" ".join(self._names[row[(row >= FIRST) | (row == END)]]) for row in written]
        return self._space.cider_d(captions, references).astype(np.float32)


def with_endings(captions: Sequence[Sequence[str]]) -> list[list[str]]:
    """The captions of each image as words, with the word that ends them."""
    return [[f"{plain_caption(text)} {ENDING}" for text in texts] for texts in captions]
