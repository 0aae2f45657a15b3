"""Pictures of gradients: the names in them, and that drawing leaves to the user where pyplot draws."""

import subprocess
import sys

import pytest

from recur.gradients.heat_maps import _short_names

SCRIPT = """
import pathlib, sys
import matplotlib
matplotlib.use("svg")
import keras  # Keras imports pyplot itself
sys.modules["matplotlib.pyplot"] = None  # importing it fails from here on
from recur.callbacks import GradientClipping
assert "recur.gradients.heat_maps" not in sys.modules
from recur.callbacks import GradientMonitor
from recur.gradients import gradient_through_time, write_heat_maps
from recur.gradients.records import table
kinds = (("kernel", None), ("state", 3))
rows = [(step, "lstm", kind, "gradient_norm", i, 0.1) for step in (1, 2) for kind, i in kinds]
assert len(write_heat_maps(table(rows), pathlib.Path(sys.argv[1]))) == 2
import recur.training.plots
assert matplotlib.get_backend() == matplotlib.rcParams["backend"] == "svg"
"""


def test_names_are_as_short_as_they_can_be_told_apart():
    layers = ["many_to_one/encoder/forward_lstm", "many_to_one/encoder/backward_lstm", "head", "decoder/lstm", "lstm"]
    assert list(_short_names(layers).values()) == ["forward_lstm", "backward_lstm", "head", "decoder/lstm", "lstm"]
    assert _short_names(["a/x", "b/x", "c/b/x"]) == {"a/x": "a/x", "b/x": "b/x", "c/b/x": "c/b/x"}


@pytest.mark.slow
def test_the_backend_stays_what_it_was_and_pyplot_is_not_asked(tmp_path):
    result = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for path in (tmp_path / "gradient_flow.png", tmp_path / "gradient_through_time.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
