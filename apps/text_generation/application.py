"""Text generation: prompt in, text out, a character at a time."""

from apps.text_generation.config import SamplingOptions, TextGenerationConfig
from recur.training.application import Application, Batching, Headline

APPLICATION = Application(
    name="text_generation",
    summary="prompt in, text out: a character language model",
    presets={
        "quick": TextGenerationConfig(
            epochs=4, steps_per_epoch=350, window=32, units=256, learning_rate=6e-3, dropout=0.0, warmup_steps=50
        ),
        "default": TextGenerationConfig(epochs=8, learning_rate=3e-3, weight_decay=0.01, ema_momentum=0.995),
        "best": TextGenerationConfig(
            epochs=16, layers=2, dropout=0.5, learning_rate=2e-3, weight_decay=0.01, ema_momentum=0.998
        ),
    },
    options=SamplingOptions,
    needs_run=("stream",),
    answer_batch=1,
    batching=Batching(rows=32, wait_microseconds=10_000),  # a loop of many steps, whose rows come almost for free
    demo_seconds=220.0,
    headline=Headline(
        "nats_per_char",
        higher_is_better=False,
        shortfall="An n-gram model counts five million characters at once, and the network has read a small part of "
        "them; after some minutes more (`default` on tiny Shakespeare, see the README) it is ahead.",
    ),
)
