"""The generation loop in one graph: raw prompts in, text out."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from apps.text_generation.assets import Vocabulary
from apps.text_generation.config import TextGenerationConfig
from apps.text_generation.model import CharacterLanguageModel
from recur.decoding.samplers import sample, uniform_noise
from recur.serving.module import ServingModule
from recur.training.task import Trained

DEFAULT_LENGTH, DEFAULT_TEMPERATURE, DEFAULT_SEED = 400, 0.8, 0
MAX_LENGTH = 20_000
STREAMED = 16  # characters between two looks at the screen

_TEXT, _INT, _LONG, _FLOAT = (tf.TensorSpec([None], kind) for kind in (tf.string, tf.int32, tf.int64, tf.float32))


class TextGenerator(ServingModule[CharacterLanguageModel]):
    """Continues prompts, each row by its own settings and never by its batch mates'.

    An empty prompt begins a new line. A longer prompt than `prompt_context` is kept whole in the answer; the model
    reads its last `prompt_context` characters. Characters that the train text lacks are read as the unknown symbol,
    which is never generated. Bytes that are not UTF-8 become U+FFFD.

    Args:
        trained: The model, its vocabulary and its settings.
    """

    def __init__(self, trained: Trained[TextGenerationConfig, Vocabulary]):
        super().__init__(trained.models)  # the states that training carries are not for it
        characters = trained.assets.characters
        self._points = np.array([ord(character) for character in characters], np.int32)
        self._characters = np.array(["", *characters], dtype=object)
        newline = characters.find("\n") + 1
        self._first = newline or 1
        self._context = trained.config.prompt_context

    @property
    def signatures(self) -> dict[str, Callable[..., dict[str, tf.Tensor]]]:
        """What an export answers."""
        return {"serving_default": self.generate, "sample": self.sample}

    @tf.function(input_signature=[_TEXT], autograph=False)
    def generate(self, prompt: tf.Tensor) -> dict[str, tf.Tensor]:
        """Continues prompts string [N] by 400 characters at temperature 0.8 and seed 0; `text` string [N]."""
        rows = tf.shape(prompt)
        return self.sample(
            prompt,
            tf.fill(rows, DEFAULT_LENGTH),
            tf.fill(rows, DEFAULT_TEMPERATURE),
            tf.fill(rows, 0),
            tf.fill(rows, 1.0),
            tf.fill(rows, tf.constant(DEFAULT_SEED, tf.int64)),
        )

    @tf.function(input_signature=[_TEXT, _INT, _FLOAT, _INT, _FLOAT, _LONG], autograph=False)
    def sample(
        self,
        prompt: tf.Tensor,
        length: tf.Tensor,
        temperature: tf.Tensor,
        top_k: tf.Tensor,
        top_p: tf.Tensor,
        seed: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Continues prompts as `recur.decoding.samplers.sample` draws.

        Args:
            prompt: string [N], UTF-8.
            length: int32 [N], characters to generate, at most `MAX_LENGTH`.
            temperature: float32 [N].
            top_k: int32 [N].
            top_p: float32 [N].
            seed: int64 [N].

        Returns:
            `text` string [N]: each prompt and its continuation.
        """
        length = tf.clip_by_value(length, 0, MAX_LENGTH)
        longest = tf.maximum(tf.reduce_max(length), 1)  # an empty loop has nothing to stack
        prompt, logits, states = self._begin(prompt)
        symbols, _, _ = self._go_on(logits, states, uniform_noise(seed, longest), temperature, top_k, top_p)
        wanted = tf.sequence_mask(length, longest)
        written = tf.where(wanted, tf.gather(tf.constant(self._characters), symbols), "")
        return {"text": tf.strings.join([prompt, tf.strings.reduce_join(written, axis=1)])}

    def stream_all(self, prompts: Iterable[str], **options: Any) -> Iterator[str]:
        """As `stream`, for one prompt after the other, each ending its line."""
        for prompt in prompts:
            yield from self.stream(prompt, **options)
            yield "\n"

    def stream(self, prompt: str, length: int, seed: int, **settings: Any) -> Iterator[str]:
        """Yields the prompt and then its continuation, a few characters at a time: the text that `sample` gives.

        Args:
            prompt: One prompt.
            length: Characters to generate.
            seed: Of the noise.
            **settings: `temperature`, `top_k`, `top_p`.
        """
        row = {name: tf.constant([value]) for name, value in settings.items()}
        noise = uniform_noise(tf.constant([seed], tf.int64), tf.constant(length))
        text, logits, states = self._begin_traced(tf.constant([prompt.encode("utf-8", "surrogateescape")]))
        yield text.numpy()[0].decode()
        for begin in range(0, length, STREAMED):
            symbols, logits, states = self._go_on_traced(logits, states, noise[:, begin : begin + STREAMED], **row)
            yield "".join(self._characters[symbol] for symbol in symbols.numpy()[0])

    @tf.function(reduce_retracing=True, autograph=False)
    def _begin_traced(self, prompt: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        return self._begin(prompt)

    @tf.function(reduce_retracing=True, autograph=False)
    def _go_on_traced(self, *arguments: Any, **settings: Any) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        return self._go_on(*arguments, **settings)

    def _begin(self, prompt: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Reads prompts; returns them as valid UTF-8, the logits of what comes next, and the states."""
        prompt = tf.strings.unicode_transcode(prompt, "UTF-8", "UTF-8", errors="replace")
        points = tf.strings.unicode_decode(prompt, "UTF-8")[:, -self._context :]
        read = tf.maximum(tf.cast(points.row_lengths(), tf.int32), 1)
        symbols = self._encode(points.to_tensor(shape=[None, None]))
        symbols = tf.pad(symbols, [[0, 0], [0, tf.maximum(1 - tf.shape(symbols)[1], 0)]])
        nothing = (tf.cast(points.row_lengths(), tf.int32) == 0)[:, None]
        symbols = tf.where(nothing, self._first, symbols)
        states = self.model.zero_states(tf.shape(symbols)[0])
        logits, states = self.model.read(symbols, states, mask=tf.sequence_mask(read, tf.shape(symbols)[1]))
        return prompt, logits, states

    def _go_on(
        self,
        logits: tf.Tensor,
        states: list[tf.Tensor],
        noise: tf.Tensor,
        temperature: tf.Tensor,
        top_k: tf.Tensor,
        top_p: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Draws as many symbols as there is noise [N, steps]; returns them, and logits and states to go on from."""
        noise_by_step = tf.transpose(noise)
        steps = tf.shape(noise_by_step)[0]
        written = tf.TensorArray(tf.int32, steps, element_shape=[None])
        never = tf.one_hot(0, logits.shape[-1], on_value=-np.inf, off_value=0.0)  # the unknown symbol

        def advance(step: tf.Tensor, logits: tf.Tensor, states: list[tf.Tensor], written: tf.TensorArray) -> Any:
            symbols = sample(logits + never, noise_by_step[step], temperature, top_k, top_p)
            logits, states = self.model.step(symbols, states)
            return step + 1, logits, states, written.write(step, symbols)

        _, logits, states, written = tf.while_loop(
            lambda step, *_: step < steps,
            advance,
            (0, logits, list(states), written),
            parallel_iterations=1,
            maximum_iterations=steps,
        )
        return tf.transpose(written.stack()), logits, states

    def _encode(self, points: tf.Tensor) -> tf.Tensor:
        known = tf.constant(self._points)
        places = tf.minimum(tf.searchsorted(known, tf.reshape(points, [-1])), len(self._points) - 1)
        is_known = tf.gather(known, places) == tf.reshape(points, [-1])
        return tf.reshape(tf.where(is_known, places + 1, 0), tf.shape(points))
