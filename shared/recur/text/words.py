"""Text to word ids, as operations of TensorFlow and TF.Text alone, so that a served model reads text as training did.

Every pattern is RE2's, which takes time linear in the text whatever the text is.
"""

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import tensorflow as tf
import tensorflow_text

from recur.data.sources import fingerprint

PADDING = 0
UNKNOWN = 1
SPECIAL = 2
"""Ids that are no word."""

Keep = Literal["head", "tail", "both"]

# In this order. Escaped ampersands come first, since text from the web is often escaped twice. A tag may be escaped
# itself. A lone `&lt;` gets spaces, so that it cannot begin a tag when a normalised text is normalised again. Code
# points 91 to 97 are what the quotation marks and dashes of Windows-1252 became.
_REPLACEMENTS = (
    (r"&(?:(?:amp|#38|#x26);)+", "&"),
    (r"[‐‒–—―−\x{96}\x{97}]", "-"),
    (r"(?:<|&lt;)(?:/?[a-z]|!--)[^<>]*?(?:>|&gt;)", " "),
    (r"&lt;", " < "),
    (r"&gt;", " > "),
    (r"&nbsp;", " "),
    (r"&quot;|[“”„‟«»\x{93}\x{94}]", '"'),
    (r"&(?:apos|rsquo|lsquo|#0?39|#x27);|[’‘‛ʼ`\x{91}\x{92}]", "'"),
    (r"''+", '"'),
    # Spaces, line ends, control and format characters, NUL among them.
    (r"[\pZ\p{Cc}\p{Cf}]+", " "),
)

_NO_SPACES = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Scripts that put no space between words: each of their letters is a token."""
# Every match becomes words between spaces; what is left stays as it is. The order matters.
_SEPARATIONS = (
    # Ten stars, or a line of dashes, say no more than five.
    (r"([.!?*-]{5})[.!?*-]+", r"\1"),
    # An ellipsis and "?!" are one token, as every mark, symbol and emoji is, and every letter of those scripts.
    (rf"([.!?]+|\*+|-+|[^\pL\pM\pN\s']|[{_NO_SPACES}]\pM*)", r" \1 "),
    # An apostrophe is a quotation mark unless it stands between letters or digits.
    (r"(^|[^\pL\pM\pN])('+)", r"\1 \2 "),
    (r"('+)([^\pL\pM\pN]|$)", r" \1 \2"),
    (r"(n't|'(?:s|re|ve|ll|d|m))(\s|$)", r" \1\2"),
)


def normalise(text: tf.Tensor) -> tf.Tensor:
    """Text in one form of many: valid UTF-8 in lower case, without markup, control characters and doubled spaces.

    Bytes that are not UTF-8 become spaces. Unicode's NFKC_Casefold makes compatible characters equal (`ﬁ` and `fi`,
    wide and plain letters) and folds case in one step; unlike NFKC followed by lower case it changes nothing when it is
    applied again, and it drops invisible characters (soft hyphens, joiners, variation selectors). Normalising twice is
    normalising once.

    Args:
        text: string, any shape.

    Returns:
        string, the same shape.

    Example:
        >>> normalise(tf.constant("Great<br />FILM &amp; <i>caf\u00e9</i>!")).numpy().decode()
        'great film & café !'
    """
    shape = tf.shape(text)
    text = tf.reshape(text, [-1])
    text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace", replacement_char=ord(" "))
    # NFKC would make a space and a combining accent of the acute that stands for an apostrophe.
    text = tf.strings.regex_replace(text, "´", "'")
    text = tensorflow_text.case_fold_utf8(text)
    for pattern, replacement in _REPLACEMENTS:
        text = tf.strings.regex_replace(text, pattern, replacement)
    return tf.reshape(tf.strings.strip(text), shape)


def split_words(text: tf.Tensor) -> tf.RaggedTensor:
    """Words and punctuation marks of normalised texts.

    Contractions are divided as in the Penn Treebank: "don't" is `do n't`. So one token negates whatever verb it
    follows, and what is learnt of it from the common verbs holds for the rare ones. Other apostrophes between letters
    stay (`o'clock`). A run of stars, of hyphens, or of full stops, exclamation and question marks is one token of at
    most five; any other mark, symbol or emoji is a token, and so is every letter of a script without spaces.

    Args:
        text: string [N], as `normalise` returns it.

    Returns:
        string [N, None].

    Example:
        >>> split_words(tf.constant(["i don't like 'it'..."])).to_list()[0]
        [b'i', b'do', b"n't", b'like', b"'", b'it', b"'", b'...']
    """
    for pattern, replacement in _SEPARATIONS:
        text = tf.strings.regex_replace(text, pattern, replacement)
    return tf.strings.split(text)


def count_words(texts: Sequence[bytes], batch_size: int = 256) -> collections.Counter[str]:
    """How often each word occurs in raw texts, of the train part, to fit a vocabulary on.

    Args:
        texts: As found.
        batch_size: Texts that are read together.
    """

    def count(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        words, _, counts = tf.unique_with_counts(split_words(normalise(batch)).flat_values)
        return words, counts

    total: collections.Counter[str] = collections.Counter()
    if texts:
        batches = tf.data.Dataset.from_tensor_slices(list(texts)).batch(batch_size)
        for words, counts in batches.map(count, tf.data.AUTOTUNE, deterministic=False).as_numpy_iterator():
            for word, number in zip(words.tolist(), counts.tolist(), strict=True):
                total[word.decode()] += number
    return total


class WordVocabulary(tf.Module):
    """Words by falling frequency; id 0 is padding and id 1 any other word.

    A module that has a vocabulary as an attribute takes its table along into a SavedModel, with no file beside it.

    Attributes:
        words: Id `i + 2` is `words[i]`. They are all there is to save: `WordVocabulary(words)` is the same vocabulary.
    """

    def __init__(self, words: Iterable[str]):
        """Builds the table in the graph.

        Args:
            words: Each once, by falling frequency.
        """
        super().__init__()
        self._words = tuple(words)
        keys = ["", *self._words]  # a table cannot be empty; no word is, so this key is never asked for
        if len(set(keys)) != len(keys):
            raise ValueError("a word is empty or stands twice in the vocabulary")
        ids = tf.range(UNKNOWN, SPECIAL + len(self._words), dtype=tf.int32)
        initializer = tf.lookup.KeyValueTensorInitializer(tf.constant(keys, tf.string), ids)
        self._table = tf.lookup.StaticHashTable(initializer, UNKNOWN)

    @classmethod
    def fit(cls, counts: Mapping[str, int], size: int, minimum_count: int = 1) -> "WordVocabulary":
        """The most frequent words of a train part; of words equally frequent, those first in the alphabet.

        Args:
            counts: How often each word occurs, as `count_words` returns it.
            size: Words at most; padding and unknown come on top.
            minimum_count: Occurrences that a word must have.

        Example:
            >>> WordVocabulary.fit({"a": 1, "c": 3, "b": 3}, size=2).words
            ['b', 'c']
        """
        frequent = ((word, count) for word, count in counts.items() if count >= minimum_count)
        return cls(word for word, _ in sorted(frequent, key=lambda item: (-item[1], item[0]))[:size])

    @property
    def words(self) -> list[str]:
        """The words, in the order of their ids."""
        return list(self._words)

    @property
    def fingerprint(self) -> str:
        """Tells one vocabulary from another."""
        return fingerprint(self._words)

    def __len__(self) -> int:
        """Ids, padding and unknown included."""
        return SPECIAL + len(self._words)

    def lookup(self, words: tf.RaggedTensor) -> tf.RaggedTensor:
        """Ids of words.

        Args:
            words: string [N, None].

        Returns:
            int32 [N, None], at least 1.
        """
        return words.with_flat_values(self._table.lookup(words.flat_values))

    def encode(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Ids of the words of raw texts: string [N] to int32 [N, None]."""
        return self.encode_with_surfaces(text)[0]

    def encode_with_surfaces(self, text: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """As `encode`, and the words: string [N, None]."""
        words = split_words(normalise(text))
        return self.lookup(words), words


def clip_length(ids: tf.RaggedTensor, longest: int, keep: Keep) -> tf.RaggedTensor:
    """Rows of at most `longest` ids.

    Args:
        ids: [N, None].
        longest: Ids that a row keeps at most.
        keep: Its beginning; its end, where reviews tend to sum up; or the first half (the larger) and the last.

    Returns:
        [N, None].

    Example:
        >>> clip_length(tf.ragged.constant([[1, 2, 3, 4, 5]]), 3, "both").to_list()
        [[1, 2, 5]]
    """
    if keep == "head":
        return ids[:, :longest]
    lengths = tf.repeat(ids.row_lengths(), ids.row_lengths())
    places = tf.ragged.range(ids.row_lengths()).flat_values
    head = (longest + 1) // 2 if keep == "both" else 0
    kept = (places < head) | (places >= lengths - (longest - head))
    return tf.ragged.boolean_mask(ids, ids.with_flat_values(kept))
