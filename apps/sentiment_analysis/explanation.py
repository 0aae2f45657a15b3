"""Shows which words made the answer: on a page of its own, and in the terminal. Loads no TensorFlow."""

import importlib.resources
import io
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
import rich.console
from rich.style import Style
from rich.text import Text

from recur.errors import InputError
from recur.files import atomically

# Dark enough for white paper, light enough under black letters; the sign is also in each word's tooltip.
FOR, AGAINST = (22, 163, 74), (220, 38, 38)


class Explanation(NamedTuple):
    """A review and what its words weigh.

    Attributes:
        tokens: The words, in order; bytes are decoded.
        weights: One a token, in logits: above 0 speaks for the positive class.
        label: The answer.
        probability: Of the positive class.
    """

    tokens: Sequence[str | bytes]
    weights: Sequence[float] | np.ndarray
    label: str
    probability: float


def html_page(explanations: Sequence[Explanation]) -> str:
    """A page that needs nothing else: each review with its words on red to green, by weight.

    Args:
        explanations: The reviews, or tuples of the same.

    Raises:
        ValueError: There is not one weight a token, or a weight is not finite.
    """
    template = importlib.resources.files(__package__).joinpath("explanation.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    reviews = [
        {
            "label": printable(review.label),
            "probability": review.probability,
            "words": [
                {
                    "text": word,
                    "weight": weight,
                    "colour": "rgba({}, {}, {}, {:.2f})".format(*_colour(share), abs(share)),
                }
                for word, weight, share in _weighed(review.tokens, review.weights)
            ],
        }
        for review in map(Explanation._make, explanations)
    ]
    return environment.from_string(template).render(reviews=reviews)


def coloured(tokens: Sequence[str | bytes], weights: Sequence[float] | np.ndarray) -> Text:
    """The same words for the terminal, parted by spaces, each on its colour.

    Raises:
        ValueError: As `html_page`.
    """
    words = []
    for word, _, share in _weighed(tokens, weights):
        red, green, blue = (round(255 + abs(share) * (part - 255)) for part in _colour(share))
        style = Style(color="black", bgcolor=f"rgb({red},{green},{blue})")
        words.append(Text(word, style=style if share else ""))
    return Text(" ").join(words)


def in_terminal(tokens: Sequence[str | bytes], weights: Sequence[float] | np.ndarray) -> str:
    """The same with the codes by which a terminal shows colours."""
    written = io.StringIO()
    console = rich.console.Console(file=written, force_terminal=True, color_system="truecolor", width=10**6)
    console.print(coloured(tokens, weights), end="", soft_wrap=True)
    return written.getvalue()


def with_page(answers: Iterable[dict[str, Any]], path: Path, show: Callable[[dict[str, Any]], str]) -> Iterator[str]:
    """Yields each answer as it is shown, and writes the page of all of them at the end.

    Raises:
        InputError: The file cannot be written.
    """
    explanations = []
    for answer in answers:
        explanations.append(Explanation(**{name: answer[name] for name in Explanation._fields}))
        yield show(answer) + "\n"
    try:
        with atomically(path) as temporary:
            temporary.write_text(html_page(explanations), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}); choose another file for `html`") from None


def printable(token: str | bytes) -> str:
    """Text without control characters: in a terminal they are commands, in a page they are errors."""
    text = token.decode("utf-8", errors="replace") if isinstance(token, bytes) else token
    return "".join("\ufffd" if unicodedata.category(symbol) in ("Cc", "Cs") else symbol for symbol in text)


def _weighed(tokens: Sequence[str | bytes], weights: Sequence[float] | np.ndarray) -> list[tuple[str, float, float]]:
    """Each token as it can be shown, its weight, and its weight as a share of the largest, in [-1, 1]."""
    weights = np.asarray(weights, np.float64)
    if weights.shape != (len(tokens),) or not np.isfinite(weights).all():
        raise ValueError(f"need one finite weight a token, got {weights.shape} for {len(tokens)} tokens")
    largest = np.abs(weights).max(initial=0.0)
    shares = weights / largest if largest else weights
    return list(zip(map(printable, tokens), weights.tolist(), shares.tolist(), strict=True))


def _colour(share: float) -> tuple[int, int, int]:
    return FOR if share > 0 else AGAINST
