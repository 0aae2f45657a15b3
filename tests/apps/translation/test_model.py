"""The translation model: its logits are those of the real tokens, whatever is padded."""

import numpy as np
import pytest

from apps.translation.batches import batch
from apps.translation.model import TranslationModel

SOURCES = [np.array([7, 8, 9, 10], np.int32), np.array([9], np.int32)]
TARGETS = [np.array([4, 11], np.int32), np.array([5, 6, 4, 12, 7], np.int32)]


@pytest.mark.parametrize("decoder", ["conditional", "bahdanau", "luong"])
def test_padding_and_batch_mates_change_no_logit(decoder):
    model = TranslationModel(13, 8, "gru", 8, 1, 1, decoder, "", False, 0.0, 0.0, 0.0, 0.0)
    model.build()
    given, wanted = batch(SOURCES, TARGETS)
    logits = model(given).numpy()
    assert logits.shape == (len(wanted), 13)
    alone = [model(batch([source], [target])[0]) for source, target in zip(SOURCES, TARGETS, strict=True)]
    np.testing.assert_allclose(logits, np.concatenate(alone), atol=1e-6)
    padded = {name: np.pad(ids, [(0, 0), (0, 5)]) for name, ids in given.items()}
    np.testing.assert_allclose(model(padded), logits, atol=1e-6)
