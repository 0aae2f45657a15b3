"""Raw sentences in, translations out, in one graph."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import tensorflow as tf

from apps.translation.config import TranslationConfig
from apps.translation.model import TranslationModel
from recur.decoding.beam import Hypotheses, beam_search
from recur.serving.module import ServingModule
from recur.serving.signatures import padded_to, shared_by_signatures
from recur.text.subwords import BEGIN, END, SubwordTokenizer
from recur.text.words import PADDING
from recur.training.task import Trained

N_BEST = 5  # at most, of the signature `n_best`
PARTS = 128  # of texts that are searched together
LEAST = -1e30  # the score of a translation that the search did not find

SENTENCE_END = r"([.!?…]+[\"'”»)\]]* |[。！？]+[”」』]*)"
"""Of languages with spaces, what stands before one: a mark inside of a word ends nothing."""

SizeT = TypeVar("SizeT", tf.Tensor, int)
_TEXT = tf.TensorSpec([None], tf.string)


class Source(NamedTuple):
    """Sentences as the model reads them: long ones in parts.

    Attributes:
        ids: int32 [parts, time], with the end, padded.
        surfaces: string [parts, time], what of the text each id stands for.
        row: int64 [parts], the sentence that a part is of; a batch of none has one.
        rows: Sentences.
        blank: bool [parts], where there is nothing to translate.
    """

    ids: tf.Tensor
    surfaces: tf.Tensor
    row: tf.Tensor
    rows: tf.Tensor
    blank: tf.Tensor


class Translator(ServingModule[TranslationModel]):
    """Translates sentences by beam search, each by itself: an answer does not depend on what is beside it.

    A text of more than `longest` subwords is translated sentence by sentence, and sentences that are longer still in
    parts of equal length. An empty text has an empty translation. What no subword covers is copied from where the
    attention is when the model says that it does not know a word (Luong et al. 2015).

    Args:
        trained: The model, or several with the same subwords, whose probabilities are averaged: an ensemble. How to
            decode is in the configuration.
    """

    def __init__(self, trained: Trained[TranslationConfig, SubwordTokenizer]):
        super().__init__(trained.models)
        config, self._subwords = trained.config, trained.assets
        self._longest, self._beam_width = config.longest, config.beam_width
        self._length_penalty, self._coverage_penalty = config.length_penalty, config.coverage_penalty
        self._search = shared_by_signatures(self._search_of, tf.TensorSpec([None, None], tf.int32))

    @property
    def signatures(self) -> dict[str, Callable[..., dict[str, tf.Tensor]]]:
        """What an export answers."""
        return {"serving_default": self.translate, "n_best": self.n_best, "attention": self.attention}

    @tf.function(input_signature=[_TEXT], autograph=False)
    def translate(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Translates sentences string [N].

        Returns:
            `translation` string [N]; `score` float32 [N], the mean log-probability a token, the end counted.
        """
        translations, scores = self._translations(self._read(text), 1)
        return {"translation": translations[:, 0], "score": scores[:, 0]}

    @tf.function(input_signature=[_TEXT], autograph=False)
    def n_best(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Translates sentences string [N] in several ways.

        Returns:
            `translations` string [N, K] in the order of the search, the best first; `scores` float32 [N, K], their mean
            log-probabilities: K is the width of the beam, at most 5. Where the search found fewer, a score is -1e30.
        """
        translations, scores = self._translations(self._read(text), min(N_BEST, self._beam_width))
        return {"translations": translations, "scores": scores}

    @tf.function(input_signature=[_TEXT], autograph=False)
    def attention(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Translates sentences string [N] and says where the decoder looked; of a long text the first part.

        Returns:
            `translation` and `score`; `source_tokens` string [N, T] and `tokens` string [N, S], "" after the last;
            `weights` float32 [N, S, T], that of each source token when a token was written, 0 elsewhere. T is `longest`
            and one for the end, S the most that a translation of so many has.
        """
        source = self._read(text)
        translations, scores = self._translations(source, 1)
        first = tf.searchsorted(source.row, tf.range(tf.maximum(source.rows, 1), dtype=tf.int64))  # part of each text
        source = source._replace(
            **{name: tf.gather(getattr(source, name), first) for name in ("ids", "surfaces", "blank")}
        )
        best = self._search(1)(source.ids)  # again, for what is told of all parts of a long text would fill the memory
        lengths = tf.where(source.blank, 0, best.lengths[:, 0])
        tokens = self._subwords.pieces(_ragged(best.symbols[:, 0], lengths)).to_tensor("")
        read = tf.reduce_sum(tf.cast(source.ids != PADDING, tf.int32), axis=1)
        source_tokens = self._subwords.pieces(_ragged(source.ids, read)).to_tensor("")
        written = tf.sequence_mask(lengths, tf.shape(tokens)[1], tf.float32)
        weights = best.attention[:, 0, : tf.shape(tokens)[1], : tf.shape(source_tokens)[1]] * written[:, :, None]
        most_read = self._longest + 1
        most_written = longest_translation(most_read)
        return {
            "translation": translations[:, 0],
            "score": scores[:, 0],
            "source_tokens": padded_to(source_tokens[: source.rows], [most_read]),
            "tokens": padded_to(tokens[: source.rows], [most_written]),
            "weights": padded_to(weights[: source.rows], [most_written, most_read]),
        }

    def _read(self, text: tf.Tensor) -> Source:
        # A batch of none would leave nothing to stack: it is read as one empty text.
        nothing = tf.fill([tf.maximum(1 - tf.size(text), 0)], "")
        sentences = self._sentences(tf.concat([text, nothing], axis=0))
        ids, surfaces = self._subwords.encode_with_surfaces(sentences.flat_values)
        parts = tf.maximum(-(-ids.row_lengths() // self._longest), 1)
        sentence = tf.repeat(tf.range(tf.size(parts)), parts)
        # Parts of one sentence differ in length by one at most.
        place, whole = tf.ragged.range(parts).flat_values, tf.gather(parts, sentence)
        count = tf.gather(ids.row_lengths(), sentence)
        lengths = (place + 1) * count // whole - place * count // whole
        ids = _closed(ids.flat_values, lengths, END)
        surfaces = _closed(surfaces.flat_values, lengths, "")
        row = tf.gather(sentences.value_rowids(), sentence)
        return Source(ids.to_tensor(PADDING), surfaces.to_tensor(""), row, tf.size(text), lengths == 0)

    def _sentences(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Sentences of texts string [N]: string [N, None], a text itself unless it is too long."""
        too_long = self._subwords.encode(text).row_lengths() > self._longest
        text = tf.strings.regex_replace(text, r"\s+", " ")
        divided = tf.strings.regex_replace(text, SENTENCE_END, "\\1\n")
        return tf.strings.split(tf.where(too_long, divided, text), "\n")

    def _translations(self, source: Source, count: int) -> tuple[tf.Tensor, tf.Tensor]:
        """The best translations of texts and their scores, [N, count]; some parts at a time, to bound the memory."""
        parts = tf.shape(source.ids)[0]
        rounds = (parts + PARTS - 1) // PARTS
        kinds = ((tf.string, [None, count]), (tf.float32, [None, count]), (tf.int32, [None, count]))
        written = [tf.TensorArray(kind, rounds, element_shape=shape, infer_shape=False) for kind, shape in kinds]

        def translate_some(turn: tf.Tensor, written: list[tf.TensorArray]) -> tuple[tf.Tensor, list[tf.TensorArray]]:
            some = slice(turn * PARTS, (turn + 1) * PARTS)
            piece = source._replace(ids=source.ids[some], surfaces=source.surfaces[some], blank=source.blank[some])
            answers = self._written(piece, self._search(count)(piece.ids))
            return turn + 1, [array.write(turn, values) for array, values in zip(written, answers, strict=True)]

        _, written = tf.while_loop(lambda turn, _: turn < rounds, translate_some, (tf.constant(0), written))
        return self._joined(source, *(array.concat() for array in written))

    def _search_of(self, ids: tf.Tensor, count: int) -> Hypotheses:
        """Hypotheses for parts of texts int32 [parts, time]."""
        models = self.models
        begun = [model.begin(ids) for model in models]
        mask = ids != PADDING
        read = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)

        def step(symbols: tf.Tensor, states: list, memories: list) -> tuple[tf.Tensor, list, tf.Tensor]:
            advanced = [model.step(symbols, *reached) for model, *reached in zip(models, states, memories, strict=True)]
            logits, after, weights = zip(*advanced, strict=True)
            if len(models) == 1:
                return logits[0], list(after), weights[0]
            probabilities = tf.add_n([tf.nn.softmax(one) for one in logits]) / len(models)
            return tf.math.log(probabilities), list(after), tf.add_n(weights) / len(models)

        return beam_search(
            step,
            [states for states, _ in begun],
            tf.fill(tf.shape(read), BEGIN),
            longest_translation(read),
            end=END,
            beam_width=self._beam_width,
            n_best=count,
            length_penalty=self._length_penalty,
            coverage_penalty=self._coverage_penalty,
            forbidden=(PADDING, BEGIN),
            constants=[memory for _, memory in begun],
            memory_mask=mask,
        )

    def _written(self, source: Source, hypotheses: Hypotheses) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Text, log-probability and number of tokens, the end counted, of the hypotheses of parts: [parts, count]."""
        count = hypotheses.lengths.shape[1]
        blank = source.blank[:, None]
        lengths = tf.where(blank, 0, hypotheses.lengths)
        looked = tf.argmax(hypotheses.attention, axis=-1, output_type=tf.int32)
        copied = tf.gather(source.surfaces, tf.reshape(looked, [tf.shape(looked)[0], -1]), batch_dims=1)
        flat = [tf.reshape(values, [-1, tf.shape(hypotheses.symbols)[2]]) for values in (hypotheses.symbols, copied)]
        texts = self._subwords.decode(*(_ragged(values, tf.reshape(lengths, [-1])) for values in flat))
        log_probabilities, tokens = tf.where(blank, 0.0, hypotheses.log_probabilities), tf.where(blank, 0, lengths + 1)
        return tf.reshape(texts, [-1, count]), log_probabilities, tokens

    def _joined(
        self, source: Source, texts: tf.Tensor, log_probabilities: tf.Tensor, tokens: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Translations and mean log-probabilities of texts, [N, count], from those of their parts."""
        joined = tf.strings.reduce_join(tf.RaggedTensor.from_value_rowids(texts, source.row), separator=" ", axis=1)
        total, tokens = (tf.math.segment_sum(values, source.row) for values in (log_probabilities, tokens))
        scores = tf.maximum(total / tf.cast(tf.maximum(tokens, 1), tf.float32), LEAST)
        return tf.strings.strip(joined)[: source.rows], scores[: source.rows]


def longest_translation(read: SizeT) -> SizeT:
    """The most subwords of a translation, given those that were read: int32 [N], or one number."""
    return read + read // 2 + 10


def _closed(values: tf.Tensor, lengths: tf.Tensor, end: int | str) -> tf.RaggedTensor:
    """Rows of so many values, and an end after each."""
    ends = tf.RaggedTensor.from_tensor(tf.fill([tf.size(lengths), 1], end))
    return tf.concat([tf.RaggedTensor.from_row_lengths(values, lengths), ends], axis=1)


def _ragged(ids: tf.Tensor, lengths: tf.Tensor) -> tf.RaggedTensor:
    return tf.RaggedTensor.from_tensor(ids, lengths=lengths)
