"""Sentiment analysis: review in, calibrated polarity out."""

from apps.sentiment_analysis.config import AnswerOptions, SentimentConfig
from recur.training.application import Application, Batching, Headline

APPLICATION = Application(
    name="sentiment_analysis",
    summary="review in, calibrated polarity out: a bidirectional LSTM",
    presets={
        "quick": SentimentConfig(
            epochs=3,
            batch_size=32,
            learning_rate=6e-3,
            embedding_units=64,
            units=64,
            longest=128,
            warmup_steps=20,
            pooling="max",
            word_dropout=0.1,
            embedding_dropout=0.5,
        ),
        "default": SentimentConfig(epochs=5, batch_size=64, learning_rate=2e-3, ema_momentum=0.99),
        "best": SentimentConfig(
            epochs=2,  # of three times as many reviews: those of the teacher too
            batch_size=64,
            learning_rate=2e-3,
            embedding_units=256,
            units=256,
            ema_momentum=0.99,
            teacher="linear",
            pretraining_steps=7500,
        ),
    },
    options=AnswerOptions,
    needs_run=("html",),
    batching=Batching(rows=64, wait_microseconds=1_000),  # an answer alone takes about as long
    demo_seconds=70.0,
    headline=Headline(
        "accuracy",
        higher_is_better=True,
        shortfall="3,600 reviews are few for a network that has to learn its words from nothing; with 25,000 and "
        "pre-training (`best` on IMDB, see the README) it draws level.",
    ),
)
