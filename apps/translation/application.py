"""Translation: sentence in, sentence out."""

from apps.translation.config import AnswerOptions, TranslationConfig
from recur.training.application import Application, Batching, Headline

APPLICATION = Application(
    name="translation",
    summary="sentence in, sentence out: an encoder-decoder with attention",
    presets={
        "quick": TranslationConfig(
            epochs=4,
            learning_rate=6e-3,
            vocabulary_size=2000,
            embedding_units=128,
            units=128,
            decoder="luong",
            embedding_dropout=0.1,
            context_dropout=0.1,
            output_dropout=0.1,
            ema_momentum=0.99,
            beam_width=3,
        ),
        "default": TranslationConfig(
            epochs=12, steps_per_epoch=300, learning_rate=2e-3, decoder="luong", ema_momentum=0.998
        ),
        "best": TranslationConfig(epochs=18, learning_rate=2e-3, ema_momentum=0.998, length_penalty=1.1),
    },
    options=AnswerOptions,
    ensembles=True,
    batching=Batching(rows=16, wait_microseconds=5_000),  # more at once are hardly more a second, and later
    demo_seconds=300.0,
    headline=Headline(
        "bleu",
        higher_is_better=True,
        shortfall="A minute of training is too little here; `default` on Multi30k (see the README) is far ahead.",
    ),
)
