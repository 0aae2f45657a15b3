"""How well the model predicts held-out text, beside models that count."""

import math
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from apps.text_generation.assets import Vocabulary
from apps.text_generation.config import TextGenerationConfig
from apps.text_generation.data import Corpus
from apps.text_generation.model import CharacterLanguageModel
from apps.text_generation.plots import surprise_map
from recur.metrics.ngram import InterpolatedNgram
from recur.training.runs import Run
from recur.training.task import Evaluation, Trained

STREAMS, BURN_IN, WINDOW, PASSAGE = 64, 1000, 256, 1200


def evaluate(trained: Trained[TextGenerationConfig, Vocabulary], corpus: Corpus, run: Run) -> Evaluation:
    """Nats and bits a character on the test part if there is one, else on validation, beside counting models.

    Every figure but `nats_per_char_256` is over all characters of the part except its first, with all the text before
    them as context.
    """
    split = "test" if corpus.test else "validation"
    text = corpus.test or corpus.validation
    vocabulary = trained.assets
    symbols = vocabulary.encode(text)
    reader = Reader(trained.model)
    surprise = carried_surprise(reader, symbols)
    surprise_map(text[1 : PASSAGE + 1], surprise[:PASSAGE], run.plots / "surprise.png")
    return Evaluation(
        split=split,
        examples=len(surprise),
        metrics=_per_character(surprise),
        baselines=counting_baselines(vocabulary.encode(corpus.train), symbols, len(vocabulary)),
        details={
            "nats_per_char_256": fresh_window_nats(reader, symbols),
            "perplexity": math.exp(min(float(np.mean(surprise)), 50.0)),
            "unknown_characters": int((symbols == 0).sum()),
            "symbols": len(vocabulary.characters),
            "carried_state": f"up to {STREAMS} streams, each after {BURN_IN} characters of burn-in",
        },
    )


def counting_baselines(train: np.ndarray, held_out: np.ndarray, vocabulary_size: int) -> dict[str, dict[str, float]]:
    """Uniform, unigram and interpolated n-gram models fitted on the same train text, on the same characters."""
    if held_out.all() and train.all():  # no unknown character: the baselines need no symbol that never comes
        train, held_out, vocabulary_size = train - 1, held_out - 1, vocabulary_size - 1
    baselines = {}
    for name, order in _baseline_orders(vocabulary_size).items():
        model = InterpolatedNgram(order, vocabulary_size=vocabulary_size).fit(train)
        baselines[name] = _per_character(-model.log_probabilities(held_out)[1:])
    return baselines


def _baseline_orders(vocabulary_size: int) -> dict[str, int]:
    highest = int(63 / math.log2(vocabulary_size + 1))  # an n-gram is counted by a 64-bit key
    orders = {"uniform": 0, "unigram": 1} | {f"{order}-gram": order for order in (min(5, highest), min(7, highest))}
    return {name: order for name, order in orders.items() if order <= highest}


def _per_character(surprise: np.ndarray) -> dict[str, float]:
    nats = float(np.mean(surprise))
    return {"nats_per_char": nats, "bits_per_char": nats / math.log(2)}


class Reader:
    """Reads rows of symbols with a character model, as one compiled function.

    Args:
        model: The character model.
        chunk: Symbols read at a time.
    """

    def __init__(self, model: CharacterLanguageModel, chunk: int = 256):
        self.model, self.chunk = model, chunk
        state = [tf.TensorSpec([None, size]) for size in model.stack.state_sizes]
        symbols = tf.TensorSpec([None, None], tf.int32)
        self._nats = tf.function(self._chunk_nats, input_signature=[symbols, symbols, state], autograph=False)

    def _chunk_nats(
        self, inputs: tf.Tensor, targets: tf.Tensor, states: list[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        logits, after = self.model.advance(inputs, states)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits), after

    def read(self, rows: np.ndarray, states: list[Any]) -> tuple[np.ndarray, list[Any]]:
        """Negative log-likelihood of every symbol after the first of each row.

        Args:
            rows: int32 [rows, length].
            states: The model's states before the rows.

        Returns:
            float32 [rows, length - 1] in nats, and the states before the last symbol.
        """
        read = []
        for begin in tqdm.trange(0, rows.shape[1] - 1, self.chunk, disable=None, leave=False, desc="reading"):
            part = rows[:, begin : begin + self.chunk + 1]
            nats, states = self._nats(tf.constant(part[:, :-1]), tf.constant(part[:, 1:]), states)
            read.append(nats.numpy())
        return np.concatenate(read, axis=1), states


def carried_surprise(reader: Reader, symbols: np.ndarray, streams: int = STREAMS, burn_in: int = BURN_IN) -> np.ndarray:
    """Negative log-likelihood of every symbol after the first, with the state carried from the beginning.

    The text is read as parallel streams. Each first reads the `burn_in` characters before its part, unscored, by which
    its state is what it would be had it read everything before.

    Args:
        reader: Of the character model.
        symbols: int32 [characters].
        streams: Parallel parts.
        burn_in: Characters read before each part.

    Returns:
        float32 [characters - 1], nats.
    """
    scored = len(symbols) - 1
    streams = max(1, min(streams, scored // burn_in))
    length = math.ceil(scored / streams)
    padded = np.pad(symbols, (burn_in, streams * length - scored))
    places = np.arange(streams)[:, None] * length
    _, states = reader.read(padded[places + np.arange(burn_in + 1)], reader.model.zero_states(streams))
    begun = (np.arange(streams) > 0).astype(np.float32)[:, None]  # nothing comes before the first part
    surprise, _ = reader.read(padded[places + burn_in + np.arange(length + 1)], [state * begun for state in states])
    return surprise.reshape(-1)[:scored]


def fresh_window_nats(reader: Reader, symbols: np.ndarray, window: int = WINDOW) -> float:
    """Mean negative log-likelihood in consecutive windows that each begin with a zero state (nanoGPT's protocol)."""
    count = (len(symbols) - 1) // window
    if not count:
        return float(np.mean(carried_surprise(reader, symbols)))
    rows = symbols[np.arange(count)[:, None] * window + np.arange(window + 1)]
    batches = np.array_split(rows, math.ceil(count / STREAMS))
    return float(
        np.mean(np.concatenate([reader.read(batch, reader.model.zero_states(len(batch)))[0] for batch in batches]))
    )
