"""What signatures share is traced once for each choice, and an export answers as before."""

import tensorflow as tf

from recur.serving.signatures import shared_by_signatures
from tfserving_dev.session import NativeSavedModel


class Powers(tf.Module):
    """Two signatures that need the same square, and one that needs a cube."""

    def __init__(self):
        super().__init__()
        self.traces = []
        self._power = shared_by_signatures(self._power_of, tf.TensorSpec([None]))

    def _power_of(self, x, exponent):
        self.traces.append(exponent)
        return {"power": x**exponent}

    @tf.function(input_signature=[tf.TensorSpec([None], name="x")], autograph=False)
    def square(self, x):
        return {"y": self._power(2)(x)["power"]}

    @tf.function(input_signature=[tf.TensorSpec([None], name="x")], autograph=False)
    def square_and_cube(self, x):
        return {"y": self._power(2)(x)["power"], "z": self._power(3)(x)["power"]}


def test_signatures_trace_it_once_and_an_export_answers_the_same(tmp_path):
    module = Powers()
    signatures = {"serving_default": module.square, "both": module.square_and_cube}
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=signatures)
    assert sorted(module.traces) == [2, 3]
    with NativeSavedModel(tmp_path / "1") as served:
        assert served.run({"x": [1.0, 3.0]})["y"].tolist() == [1, 9]
        assert served.run({"x": [2.0]}, "both")["z"].tolist() == [8]
