"""Subwords: learnt by SentencePiece, applied in the graph by TF.Text, so that a served model reads as training did."""

import io
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import sentencepiece
import tensorflow as tf
import tensorflow_text

from recur.errors import InputError
from recur.files import atomically
from recur.text.words import PADDING, UNKNOWN

BEGIN, END = 2, 3
"""Ids of the marks around a sentence; 0 is padding and 1 what no piece covers."""
SPACE = "\u2581"
"""What stands for a space at the beginning of a piece."""

SUBWORDS_FILE = "subwords.model"
COVERAGE = 0.9999  # of the characters: the rarest become unknown ones, which a model then has seen
SENTENCES = 2_000_000  # that pieces are learnt from; of more, a sample

_SAMPLING = threading.Lock()

Kind = Literal["unigram", "bpe"]


class SubwordTokenizer(tf.Module):
    """Text to ids of subwords and back: SentencePiece (Kudo & Richardson 2018), its normalisation (NFKC) included.

    A module that has one as an attribute takes it along into a SavedModel, with no file beside it. What it does in
    TensorFlow begins when it is first asked, and is to begin after the last `keras.utils.set_random_seed`, which makes
    TensorFlow forget the resource that the operations share.

    Args:
        model: What SentencePiece learnt, serialised; all there is to save.

    Raises:
        RuntimeError: It is damaged.
    """

    def __init__(self, model: bytes):
        super().__init__()
        self.model = model
        if not model:
            raise RuntimeError("it is empty")
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self._made: tensorflow_text.SentencepieceTokenizer | None = None
        self._pieces = np.array([self._processor.id_to_piece(i) for i in range(len(self))], dtype=object)

    @classmethod
    def fit(cls, texts: Iterable[str], size: int, kind: Kind = "unigram") -> "SubwordTokenizer":
        """Learns pieces from the train part.

        Args:
            texts: Sentences, those of all languages that share the pieces.
            size: Pieces at most, the four special ids included; fewer where there is too little text for so many.
            kind: `unigram` (Kudo 2018) or `bpe` (Sennrich, Haddow & Birch 2016).

        Raises:
            InputError: The text cannot be divided into so few pieces, or so many.
        """
        written = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=written,
                vocab_size=size,
                model_type=kind,
                character_coverage=COVERAGE,
                pad_id=PADDING,
                unk_id=UNKNOWN,
                bos_id=BEGIN,
                eos_id=END,
                hard_vocab_limit=kind != "unigram",
                input_sentence_size=SENTENCES,
                shuffle_input_sentence=True,
                num_threads=1,  # the same pieces every time
                minloglevel=2,
            )
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].split("] ")[-1].strip()
            raise InputError(f"SentencePiece cannot learn {size:,} pieces from this text: {reason}") from None
        return cls(written.getvalue())

    @classmethod
    def read(cls, folder: Path) -> "SubwordTokenizer":
        """Reads what `write` wrote.

        Raises:
            InputError: The file is not there, or damaged.
        """
        try:
            return cls((folder / SUBWORDS_FILE).read_bytes())
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"{folder / SUBWORDS_FILE} cannot be read ({error}); copy the whole folder of the run"
            ) from None

    def write(self, folder: Path) -> None:
        """Writes `subwords.model`, which SentencePiece's own tools open too."""
        with atomically(folder / SUBWORDS_FILE) as temporary:
            temporary.write_bytes(self.model)

    @property
    def _tokenizer(self) -> tensorflow_text.SentencepieceTokenizer:
        if self._made is None:
            with tf.init_scope():
                self._made = tensorflow_text.SentencepieceTokenizer(self.model, out_type=tf.int32)
        return self._made

    def __len__(self) -> int:
        """Ids, the special ones included."""
        return self._processor.get_piece_size()

    def encode(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Ids of sentences, without marks around them: string [N], any bytes, to int32 [N, None]."""
        return self._tokenizer.tokenize(_valid(text))

    def encode_with_surfaces(self, text: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """As `encode`, and the part of the text that each id stands for: string [N, None]."""
        text = _valid(text)
        ids, begins, ends = self._tokenizer.tokenize_with_offsets(text)
        rows = tf.gather(text, ids.value_rowids())
        surfaces = tf.strings.substr(rows, begins.flat_values, ends.flat_values - begins.flat_values)
        return ids, ids.with_flat_values(tf.strings.strip(surfaces))

    def decode(self, ids: tf.RaggedTensor, unknown: tf.RaggedTensor | None = None) -> tf.Tensor:
        """Sentences of ids.

        Args:
            ids: int32 [N, None]. Padding and marks say nothing.
            unknown: string [N, None], what to write for each id that is the unknown one; nothing by default.

        Returns:
            string [N].
        """
        pieces = self.pieces(ids)
        special = ids.flat_values <= END
        replaced = tf.fill(tf.shape(special), "") if unknown is None else unknown.flat_values
        replaced = tf.where(ids.flat_values == UNKNOWN, replaced, "")
        flat = tf.where(special, replaced, pieces.flat_values)
        joined = tf.strings.reduce_join(ids.with_flat_values(flat), axis=-1)
        return tf.strings.strip(tf.strings.regex_replace(joined, f"{SPACE}+", " "))

    def pieces(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        """The pieces that ids stand for: string [N, None]."""
        return ids.with_flat_values(tf.gather(tf.constant(self._pieces), ids.flat_values))

    def encode_all(self, texts: Sequence[str]) -> list[np.ndarray]:
        """As `encode`, of many sentences outside of a graph: int32 [pieces] each."""
        return [np.array(ids, np.int32) for ids in self._processor.encode(list(texts), num_threads=1)]

    def sample_all(self, texts: Sequence[str], alpha: float, seed: int) -> list[np.ndarray]:
        """Divides sentences at random: subword regularisation (Kudo 2018), or BPE dropout (Provilkov et al. 2020).

        Args:
            texts: Sentences.
            alpha: Of unigram, the sharpness of the distribution, 0 being uniform; of BPE, the rate of dropped merges.
            seed: The same seed gives the same pieces in this process. Another process has others, for SentencePiece
                0.2.3 mixes something of its own into the seed.

        Returns:
            int32 [pieces] each.
        """
        with _SAMPLING:  # the seed belongs to SentencePiece, not to this tokenizer
            sentencepiece.set_random_generator_seed(seed)
            sampled = self._processor.encode(
                list(texts), enable_sampling=True, nbest_size=-1, alpha=alpha, num_threads=1
            )
        return [np.array(ids, np.int32) for ids in sampled]


def _valid(text: tf.Tensor) -> tf.Tensor:
    """Bytes as UTF-8, of which SentencePiece asks that they are valid and without NUL."""
    text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace", replacement_char=ord(" "))
    return tf.strings.regex_replace(text, r"\x{0}", " ")
