"""Image captioning: photograph in, caption out."""

import dataclasses

from apps.image_captioning.config import AnswerOptions, CaptioningConfig
from recur.training.application import Application, Batching, Headline

_DEFAULT = CaptioningConfig(
    epochs=7, batch_size=64, word_dropout=0.1, context_dropout=0.5, output_dropout=0.5, ema_momentum=0.995
)

APPLICATION = Application(
    name="image_captioning",
    summary="photograph in, caption out: an image encoder, and an LSTM that attends to its regions",
    presets={
        "quick": CaptioningConfig(
            epochs=8,
            learning_rate=2e-3,
            embedding_units=128,
            units=256,
            attention_penalty=0.0,
            word_dropout=0.2,
            embedding_dropout=0.1,
            context_dropout=0.2,
            output_dropout=0.2,
            ema_momentum=0.98,
            beam_width=3,
        ),
        "default": _DEFAULT,
        "best": dataclasses.replace(_DEFAULT, patience=3, self_critical_epochs=8),
    },
    options=AnswerOptions,
    batching=Batching(rows=8, wait_microseconds=5_000),  # more at once are no more a second
    demo_seconds=150.0,
    headline=Headline(
        "bleu4",
        higher_is_better=True,
        shortfall="Training was too short to write these scenes' sentences; `default` on Flickr8k (see the README) is "
        "ahead of retrieval.",
    ),
)
