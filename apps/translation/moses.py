"""Moses' words by sacremoses: what the published tables of Multi30k count, and what the dictionary aligns.

A language is its two-letter code. To one that Moses does not know apply, as in its own scripts, the English
abbreviations before a full stop; an apostrophe is then a word of its own. Scripts without blanks are not parted.
"""

import functools
from collections.abc import Sequence

from sacremoses import MosesDetokenizer, MosesPunctNormalizer, MosesTokenizer


def words(sentence: str, language: str) -> list[str]:
    """The words and punctuation marks of a sentence.

    Example:
        >>> words("Ein Hund, z.B. ein Dackel, läuft.", "de")
        ['Ein', 'Hund', ',', 'z.B.', 'ein', 'Dackel', ',', 'läuft', '.']
    """
    return _tokenizer(language).tokenize(sentence, escape=False)


def sentence(words: Sequence[str], language: str) -> str:
    """Joins words and punctuation marks to a sentence as one writes it.

    Example:
        >>> sentence(["Un", "chien", ",", "dit", "l'", "homme", "."], "fr")
        "Un chien, dit l'homme."
    """
    return _detokenizer(language).detokenize(words, unescape=False)


def lowered(sentences: Sequence[str], language: str) -> list[str]:
    """Sentences as the tables of Multi30k count them: in lower case, punctuation normalised, words parted by blanks.

    Source:
        `scripts/task1-tokenize.sh` of github.com/multi30k/dataset: lowercase.perl, normalize-punctuation.perl and
        tokenizer.perl, in this order. Its XML escapes are left out; they change no count.

    Example:
        >>> lowered(["Der Mann sagt: „Los!“"], "de")
        ['der mann sagt : " los ! "']
    """
    normalizer = _normalizer(language)
    return [" ".join(words(normalizer.normalize(each.lower()), language)) for each in sentences]


@functools.cache
def _tokenizer(language: str) -> MosesTokenizer:
    return MosesTokenizer(language)


@functools.cache
def _detokenizer(language: str) -> MosesDetokenizer:
    return MosesDetokenizer(language)


@functools.cache
def _normalizer(language: str) -> MosesPunctNormalizer:
    return MosesPunctNormalizer(language, perl_parity=True)
