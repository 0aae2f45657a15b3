"""The search from Python finds what the search in graph finds."""

import pytest
import tensorflow as tf

from apps.translation.application import APPLICATION
from apps.translation.config import TranslationConfig
from benchmarks.decoding.beam_search import SearchFromPython, measure
from recur.text.subwords import SubwordTokenizer
from recur.text.words import UNKNOWN
from recur.training.task import Trained

pytestmark = pytest.mark.slow

TEXTS = [f"the {colour} {thing} sings" for colour in ("red", "old") for thing in ("cat", "clock", "sea", "sun")]


def test_both_ways_give_the_same_translations():
    subwords = SubwordTokenizer.fit(TEXTS * 3, 60)
    config = TranslationConfig(units=16, embedding_units=16, beam_width=4)
    model = APPLICATION.task.build(config, subwords)
    model.softmax_bias.assign([-100.0 * (symbol == UNKNOWN) for symbol in range(len(subwords))])
    translator = APPLICATION.task.serving_module(Trained(config, subwords, model))
    texts = [text.encode() for text in TEXTS]
    ways = {
        "in graph": lambda part: [
            text.decode() for text in translator.translate(tf.constant(part))["translation"].numpy()
        ],
        "from Python": SearchFromPython(translator).translate,
    }
    rates, translations = measure(ways, texts, batch=3, rounds=1)
    assert translations["in graph"] == translations["from Python"]
    assert any(translations["in graph"])
    assert min(rates.values()) > 0
