"""The translation model: its logits are those of the real tokens, whatever is padded."""

import numpy as np
import pytest

from apps.translation.batches import batch
from apps.translation.config import TranslationConfig
from apps.translation.model import TranslationModel

PAIRS = (
    [np.array([7, 8, 9, 10], np.int32), np.array([9], np.int32)],
    [np.array([4, 11], np.int32), np.array([5, 6, 4, 12, 7], np.int32)],
)


@pytest.mark.parametrize("decoder", ["conditional", "bahdanau", "luong"])
def test_padding_and_batch_mates_change_no_logit(decoder):
    model = TranslationModel(TranslationConfig(embedding_units=8, units=8, decoder=decoder), vocabulary_size=13)
    model.build()
    given, wanted = batch(PAIRS, [0, 1])
    logits = model(given).numpy()
    assert logits.shape == (len(wanted), 13)
    alone = [model(batch(PAIRS, [row])[0]) for row in (0, 1)]
    np.testing.assert_allclose(logits, np.concatenate(alone), atol=1e-6)
    padded = {name: np.pad(ids, [(0, 0), (0, 5)]) for name, ids in given.items()}
    np.testing.assert_allclose(model(padded), logits, atol=1e-6)


def test_what_is_saved_has_as_many_subwords_as_there_are():
    settings = TranslationModel(TranslationConfig(embedding_units=8, units=8), vocabulary_size=13).get_config()
    assert settings["vocabulary_size"] == 13
    assert TranslationModel.from_config(settings).get_config() == settings


def test_models_of_earlier_versions_open():
    earlier = {
        "name": "translation_model",
        "trainable": True,
        "dtype": "float32",
        "vocabulary_size": 13,
        "embedding_units": 8,
        "cell": "gru",
        "units": 8,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "decoder": "luong",
        "attention": "",
        "input_feeding": True,
        "word_dropout": 0.0,
        "embedding_dropout": 0.1,
        "context_dropout": 0.1,
        "output_dropout": 0.1,
    }
    model = TranslationModel.from_config(earlier)
    assert {name: model.get_config()[name] for name in earlier if name != "dtype"} == {
        name: value for name, value in earlier.items() if name != "dtype"
    }
