"""What needs no network: the source as it is, and a dictionary that translates word by word.

The dictionary is IBM Model 1, fitted by expectation maximisation on the train pairs. NLTK has it in Python loops;
here all links of an iteration are summed at once.

Source:
    Brown, P. F. et al. (1993), "The Mathematics of Statistical Machine Translation: Parameter Estimation",
    Computational Linguistics 19(2), section 4.1.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from apps.translation.metrics import moses_sentence, moses_words

NULL = 0
ITERATIONS, LONGEST, MOST_LINKS = 10, 100, 12_000_000


def copy_source(sources: Sequence[str]) -> list[str]:
    """Every sentence as its own translation: names, numbers and punctuation are often right."""
    return list(sources)


class Lexicon(NamedTuple):
    """Translation probabilities of the pairs of words that occur in a pair of sentences.

    Attributes:
        sources: int [entries], source words; 0 is NULL, which explains target words that nothing else does.
        targets: int [entries], target words.
        probabilities: float64 [entries], of the target word given the source word; those of a source word add up to 1.
        log_likelihoods: Of the train targets in nats, before each iteration.
    """

    sources: np.ndarray
    targets: np.ndarray
    probabilities: np.ndarray
    log_likelihoods: list[float]


def ibm_model_1(pairs: Sequence[tuple[Sequence[int], Sequence[int]]], iterations: int = ITERATIONS) -> Lexicon:
    """Fits IBM Model 1.

    Args:
        pairs: Source and target words of each sentence. Source words begin at 1, target words at 0; neither is empty.
        iterations: Of expectation maximisation. The likelihood never falls.
    """
    source_lengths = np.array([len(source) + 1 for source, _ in pairs])
    target_lengths = np.array([len(target) for _, target in pairs])
    sources = np.concatenate([[NULL, *source] for source, _ in pairs]).astype(np.int64)
    targets = np.concatenate([target for _, target in pairs]).astype(np.int64)
    # Each target word is linked to every word of its source sentence: the links of a target word stand together.
    links = np.repeat(source_lengths, target_lengths)
    first_links = np.cumsum(links) - links
    first_sources = np.repeat(np.cumsum(source_lengths) - source_lengths, target_lengths)
    linked = sources[np.arange(links.sum()) + np.repeat(first_sources - first_links, links)]
    width = targets.max() + 1
    keys, entry = np.unique(linked * width + np.repeat(targets, links), return_inverse=True)
    sources, targets = keys // width, keys % width
    probabilities, log_likelihoods = np.full(len(keys), 1 / width), []
    for _ in range(iterations):
        shares = probabilities[entry]
        totals = np.add.reduceat(shares, first_links)
        log_likelihoods.append(float(np.log(totals / links).sum()))
        counts = np.bincount(entry, shares / np.repeat(totals, links))
        probabilities = counts / np.bincount(sources, counts)[sources]
    return Lexicon(sources, targets, probabilities, log_likelihoods)


class Dictionary(NamedTuple):
    """Translates word by word, in order; copies what it does not know.

    Attributes:
        translations: The likeliest target word of each source word in lower case.
        source_language: Two-letter code.
        target_language: Two-letter code.
    """

    translations: Mapping[str, str]
    source_language: str
    target_language: str

    def translate(self, sources: Sequence[str]) -> list[str]:
        """Translates sentences; one that begins with a capital keeps it."""
        return [self._translated(source) for source in sources]

    def _translated(self, source: str) -> str:
        words = [self.translations.get(word.lower(), word) for word in moses_words(source, self.source_language)]
        sentence = moses_sentence(words, self.target_language)
        return sentence[:1].upper() + sentence[1:] if source.lstrip()[:1].isupper() else sentence


def fit_dictionary(
    sources: Sequence[str], targets: Sequence[str], source_language: str, target_language: str
) -> Dictionary:
    """Fits a dictionary on pairs of sentences; words are aligned in lower case and written as they mostly are.

    Where there are more links between words than fit in memory, every second, third, … pair is taken. Sentences of
    more than 100 words are left out, as Moses' clean-corpus does.

    Raises:
        ValueError: There is not one target a source.
    """
    if len(sources) != len(targets):
        raise ValueError(f"need one target a source, got {len(sources)} sources and {len(targets)} targets")
    known_sources: dict[str, int] = defaultdict(lambda: len(known_sources) + 1)
    known_targets: dict[str, int] = defaultdict(lambda: len(known_targets))
    spellings: Counter[str] = Counter()
    pairs = []
    for source, target in zip(sources, targets, strict=True):
        read, written = moses_words(source, source_language), moses_words(target, target_language)
        if not 0 < len(read) <= LONGEST or not 0 < len(written) <= LONGEST:
            continue
        spellings.update(written[1:])  # the first word has a capital whatever it is
        pairs.append(
            ([known_sources[word.lower()] for word in read], [known_targets[word.lower()] for word in written])
        )
    if not pairs:
        return Dictionary({}, source_language, target_language)
    links = sum((len(read) + 1) * len(written) for read, written in pairs)
    lexicon = ibm_model_1(pairs[:: -(-links // MOST_LINKS)])
    spelled = {word.lower(): word for word, _ in reversed(spellings.most_common())}
    source_words, target_words = [None, *known_sources], list(known_targets)
    likeliest_last = np.lexsort((-lexicon.targets, lexicon.probabilities, lexicon.sources))
    translations = {
        source_words[lexicon.sources[entry]]: target_words[lexicon.targets[entry]]
        for entry in likeliest_last[lexicon.sources[likeliest_last] != NULL]
    }
    return Dictionary(
        {source: spelled.get(target, target) for source, target in translations.items()},
        source_language,
        target_language,
    )
