#!/usr/bin/env bash
# Keras 3.15.1 on TensorFlow 2.21.0: the first fit traces the whole training step twice. An optimizer that is not built
# makes its variables within the first trace, and a tf.function that has made variables is traced again without. To call
# optimizer.build(model.trainable_variables) after compile leaves one trace, and halves the wait before the first step.
# A metric that compile is given as a function or a string does the same to it; as a Metric object it does not.
#
# Seen (traces of the step):
#   compile, fit: 2
#   compile, optimizer.build, fit: 1
#   the same, metrics=["mae"]: 2
#   the same, metrics=[MeanAbsoluteError()]: 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow==2.21.0 keras==3.15.1
TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES= "$folder/venv/bin/python" - 2>/dev/null <<'PY' | tee "$folder/seen"
import keras
import numpy as np


def traces(build, metrics=None):
    count = 0

    class Counting(keras.Sequential):
        def train_step(self, data):
            nonlocal count
            count += 1
            return super().train_step(data)

    model = Counting([keras.Input((5, 2)), keras.layers.LSTM(3), keras.layers.Dense(1)])
    model.compile("adam", "mse", metrics=metrics, jit_compile=False)
    if build:
        model.optimizer.build(model.trainable_variables)
    model.fit(np.ones((8, 5, 2)), np.ones((8, 1)), batch_size=4, epochs=2, verbose=0)
    return count


print("compile, fit:", traces(False))
print("compile, optimizer.build, fit:", traces(True))
print('the same, metrics=["mae"]:', traces(True, ["mae"]))
print("the same, metrics=[MeanAbsoluteError()]:", traces(True, [keras.metrics.MeanAbsoluteError()]))
PY
diff "$folder/seen" - <<'SEEN'
compile, fit: 2
compile, optimizer.build, fit: 1
the same, metrics=["mae"]: 2
the same, metrics=[MeanAbsoluteError()]: 1
SEEN
