"""Encoded images in, captions out, in one graph."""

from collections.abc import Callable

import tensorflow as tf

from apps.image_captioning.assets import CaptionVocabulary
from apps.image_captioning.config import CaptioningConfig
from apps.image_captioning.images import decode_what_can_be
from apps.image_captioning.model import CaptioningModel
from recur.decoding.beam import Hypotheses, beam_search
from recur.serving.module import ServingModule
from recur.serving.signatures import padded_to, shared_by_signatures
from recur.text.subwords import BEGIN, END
from recur.text.words import PADDING, UNKNOWN
from recur.training.task import Trained

N_BEST = 5  # at most, of the signature `n_best`
TOGETHER = 32  # images that are decoded and encoded together
LEAST = -1e30  # the score of a caption that the search did not find

_IMAGES = tf.TensorSpec([None], tf.string)


class Captioner(ServingModule[CaptioningModel]):
    """Describes images by beam search, each by itself: an answer does not depend on what is beside it.

    An image is a JPEG, a PNG, a GIF (its first frame) or a BMP, of any size up to 50 megapixels, grey or with alpha.
    What is none, damaged or larger has an empty caption with the score NaN, and its batch mates are answered.

    Args:
        trained: The model with its encoder, its words, and how to decode.
    """

    def __init__(self, trained: Trained[CaptioningConfig, CaptionVocabulary]):
        model = trained.model
        super().__init__(trained.models, [*model.trainable_variables, *model.encoder.variables])
        self._vocabulary, self._map_shape = trained.assets, model.map_shape
        self._config = trained.config
        pixels = tf.TensorSpec([None, *model.encoder.input_shape[1:]], tf.uint8)
        self._encode = shared_by_signatures(lambda pixels: model.encoder(pixels, training=False), pixels)
        self._search = shared_by_signatures(self._search_of, tf.TensorSpec([None, *model.encoder.output_shape[1:]]))

    @property
    def signatures(self) -> dict[str, Callable[..., dict[str, tf.Tensor]]]:
        """What an export answers; `attention` only where the model has one."""
        attention = {"attention": self.attention} if self._config.attention else {}
        return {"serving_default": self.caption, "n_best": self.n_best} | attention

    @tf.function(input_signature=[_IMAGES], autograph=False)
    def caption(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Describes images, the contents of files, string [N].

        Returns:
            `caption` string [N]; `score` float32 [N], the mean log-probability a word, the end counted; NaN where the
            image cannot be decoded.
        """
        captions, scores = self._captions(image_bytes, 1)
        return {"caption": captions[:, 0], "score": scores[:, 0]}

    @tf.function(input_signature=[_IMAGES], autograph=False)
    def n_best(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Describes images string [N] in several ways.

        Returns:
            `captions` string [N, K] in the order of the search, the best first; `scores` float32 [N, K], their mean
            log-probabilities: K is the width of the beam, at most 5. Where the search found fewer, a score is -1e30;
            where the image cannot be decoded, NaN.
        """
        captions, scores = self._captions(image_bytes, min(N_BEST, self._config.beam_width))
        return {"captions": captions, "scores": scores}

    @tf.function(input_signature=[_IMAGES], autograph=False)
    def attention(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Describes images string [N] and says where the decoder looked.

        Returns:
            `caption` and `score`; `words` string [N, S], "" after the last of at most `longest`; `weights` float32
            [N, S, rows, columns], that of each region when a word was written, from the top left of the image as
            decoded; 0 after the last word.
        """
        rows, columns = self._map_shape
        shape = [None, self._config.longest, rows * columns]

        def best_of(hypotheses: Hypotheses) -> tuple[tf.Tensor, ...]:
            assert hypotheses.attention is not None
            return hypotheses.symbols[:, 0], mean_scores(hypotheses)[:, 0], hypotheses.attention[:, 0]

        symbols, score, weights = self._search_all(
            image_bytes,
            1,
            best_of,
            ((END, shape[:2]), (float("nan"), [None]), (0.0, shape)),
        )
        caption = self._vocabulary.decode(symbols)
        words = tf.strings.split(caption)
        written = tf.sequence_mask(words.row_lengths(), self._config.longest, tf.float32)
        weights = tf.reshape(weights * written[:, :, None], [-1, self._config.longest, rows, columns])
        words = padded_to(words.to_tensor(""), [self._config.longest])
        return {"caption": caption, "score": score, "words": words, "weights": weights}

    def _captions(self, image_bytes: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
        """The best captions and their scores, [N, count]."""
        symbols, scores = self._search_all(
            image_bytes,
            count,
            lambda best: (best.symbols, mean_scores(best)),
            ((END, [None, count, self._config.longest]), (float("nan"), [None, count])),
        )
        return self._vocabulary.decode(symbols), scores

    def _search_all(
        self,
        image_bytes: tf.Tensor,
        count: int,
        choose: Callable[[Hypotheses], tuple[tf.Tensor, ...]],
        kinds: tuple[tuple[float, list[int | None]], ...],
    ) -> list[tf.Tensor]:
        """What is chosen of the hypotheses of images string [N]; some images at a time, to bound the memory.

        Args:
            image_bytes: Contents of files.
            count: Of hypotheses an image.
            choose: From the hypotheses of some images to tensors.
            kinds: Of each of these, what it holds where an image cannot be decoded, and the shape.
        """
        images = tf.size(image_bytes)
        rounds = tf.maximum((images + TOGETHER - 1) // TOGETHER, 1)
        blanks = [tf.constant(blank) for blank, _ in kinds]  # int32 or float32
        written = [
            tf.TensorArray(blank.dtype, rounds, element_shape=shape, infer_shape=False)
            for blank, (_, shape) in zip(blanks, kinds, strict=True)
        ]

        def describe_some(turn: tf.Tensor, written: list[tf.TensorArray]) -> tuple[tf.Tensor, list[tf.TensorArray]]:
            pixels, good = decode_what_can_be(image_bytes[turn * TOGETHER : (turn + 1) * TOGETHER])
            # A batch of none would leave nothing to encode: it is one black image.
            nothing = tf.maximum(1 - tf.shape(pixels)[0], 0)
            pixels, good = tf.pad(pixels, [[0, nothing], [0, 0], [0, 0], [0, 0]]), tf.pad(good, [[0, nothing]])
            chosen = choose(self._search(count)(self._encode()(pixels)))
            kept = [
                tf.where(tf.reshape(good, [-1] + [1] * (len(values.shape) - 1)), values, blank)
                for values, blank in zip(chosen, blanks, strict=True)
            ]
            return turn + 1, [array.write(turn, values) for array, values in zip(written, kept, strict=True)]

        _, written = tf.while_loop(lambda turn, _: turn < rounds, describe_some, (tf.constant(0), written))
        return [array.concat()[:images] for array in written]

    def _search_of(self, features: tf.Tensor, count: int) -> Hypotheses:
        """Hypotheses for what the encoder sees in images, float32 [images, rows, columns, channels]."""
        model, config = self.model, self._config
        states, memory = model.begin(features)
        images = tf.shape(features)[0]
        return beam_search(
            model.step,
            states,
            tf.fill([images], BEGIN),
            tf.fill([images], config.longest),
            end=END,
            beam_width=config.beam_width,
            n_best=count,
            length_penalty=config.length_penalty,
            forbidden=(PADDING, UNKNOWN, BEGIN),
            no_repeat_ngram=config.no_repeat_ngram,
            constants=memory,
        )


def mean_scores(hypotheses: Hypotheses) -> tf.Tensor:
    """Mean log-probabilities a word, the end counted: float32 [images, count]; -1e30 where nothing was found."""
    return tf.maximum(hypotheses.log_probabilities / tf.cast(hypotheses.lengths + 1, tf.float32), LEAST)
