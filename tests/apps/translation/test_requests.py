"""Sentences become rows of the signature that the options ask for; answers become what a person reads."""

import numpy as np

from apps.translation.config import AnswerOptions
from apps.translation.requests import parse, records, show, warmup

TEXTS = ["A dog.", "", "\udcff broken"]


def test_sentences_are_rows_of_bytes():
    request = parse(TEXTS, AnswerOptions(), {})
    assert request.signature == "serving_default"
    assert request.arrays["text"].tolist() == [b"A dog.", b"", b"\xff broken"]


def test_a_translation_is_shown_alone():
    outputs = {"translation": np.array([b"Ein Hund.", b"", b"?"], object), "score": np.float32([-0.5, 0, -2])}
    answers = records(parse(TEXTS, AnswerOptions(), {}), outputs)
    assert answers[0] == {"text": "A dog.", "translation": "Ein Hund.", "score": -0.5}
    assert [show(answer) for answer in answers] == ["Ein Hund.", "", "?"]


def test_several_translations_are_shown_with_their_scores():
    request = parse(TEXTS[:1], AnswerOptions(n_best=True), {})
    assert request.signature == "n_best"
    outputs = {
        "translations": np.array([[b"Ein Hund.", b"Hund."]], object),
        "scores": np.float32([[-0.5, -1.25]]),
    }
    (answer,) = records(request, outputs)
    assert answer == {"text": "A dog.", "translations": ["Ein Hund.", "Hund."], "scores": [-0.5, -1.25]}
    assert show(answer) == "A dog.\n  -0.500  Ein Hund.\n  -1.250  Hund."


def test_every_signature_is_warmed_up():
    assert warmup({}).keys() == {"serving_default", "n_best", "attention"}
