"""The pictures are drawn, of odd pieces too."""

import numpy as np
import pytest
from matplotlib.image import imread

from apps.translation.plots import attention_plot, bleu_by_length_plot

pytestmark = pytest.mark.slow


def weights(target, source):
    return np.random.default_rng(0).dirichlet(np.ones(source), target)


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_attention_is_drawn(tmp_path, count):
    source, target = ["▁Two", "▁snow", "ball", "s", "</s>"] * 4, ["▁Zwei", "▁Schnee", "bälle", "</s>"] * 5
    path = attention_plot([(source, target, weights(20, 20))] * count, tmp_path / "attention.png")
    assert min(imread(path).shape[:2]) > 500


@pytest.mark.parametrize(
    "pieces",
    [["$5", "a$b$"], ["これ", "は"], ["\x00", "\n", "a\tb"], ["", "▁"], ["w" * 900], ["x"] * 200, ["##", "##y"]],
)
def test_odd_pieces_are_drawn(tmp_path, pieces):
    maps = [(pieces, pieces, weights(len(pieces), len(pieces)))]
    assert attention_plot(maps, tmp_path / "attention.png").exists()


@pytest.mark.parametrize("shape", [(2, 3), (3,), (4, 2), (0, 2)])
def test_weights_that_do_not_fit_are_refused(tmp_path, shape):
    with pytest.raises(ValueError, match="do not fit 3 by 2"):
        attention_plot([(["a", "b"], ["c", "d", "e"], np.zeros(shape))], tmp_path / "attention.png")
    with pytest.raises(ValueError, match="at least one"):
        attention_plot([], tmp_path / "attention.png")


@pytest.mark.parametrize("groups", [1, 9])
def test_bleu_by_length_is_drawn(tmp_path, groups):
    measured = [{"words": f"{5 * i + 1}–{5 * i + 5}", "sentences": 1000 * i, "bleu": 4.0 * i} for i in range(groups)]
    path = bleu_by_length_plot(dict.fromkeys(("this model", "copy_source", "$"), measured), tmp_path / "lengths.png")
    assert min(imread(path).shape[:2]) > 300
