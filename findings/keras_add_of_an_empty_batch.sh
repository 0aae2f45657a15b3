#!/usr/bin/env bash
# Keras 3.15.1 on TensorFlow 2.21.0: keras.ops.add of two tensors of the same shape [0, n] raises InvalidArgumentError,
# "Biases must be 1D: [0,n]", where tf.add and NumPy give [0, n]. Looking for a bias to add with BiasAdd, it drops the
# dimensions of the second that are 1, and with them one of 0. A batch that a filter has emptied so ends a model that
# adds two branches, and LSTMCell and GRUCell, called eagerly or with a batch whose size is known; Dense answers, and so
# does a graph whose batch is unknown. (An export serves an empty batch; a test of the same module, called eagerly, fails.)
#
# Seen:
#   tf.add (0, 4)
#   keras.ops.add InvalidArgumentError
#   keras.ops.add, one row (1, 4)
#   keras.ops.add, unknown batch (0, 4)
#   Dense (0, 4)
#   LSTMCell InvalidArgumentError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow==2.21.0 keras==3.15.1
TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES= "$folder/venv/bin/python" - 2>/dev/null <<'PY' | tee "$folder/seen"
import keras
import tensorflow as tf


def show(name, compute):
    try:
        print(name, compute().shape)
    except Exception as error:
        print(name, type(error).__name__)


empty, row = tf.zeros([0, 4]), tf.zeros([1, 4])
unknown = tf.function(keras.ops.add, input_signature=[tf.TensorSpec([None, 4])] * 2)
show("tf.add", lambda: tf.add(empty, empty))
show("keras.ops.add", lambda: keras.ops.add(empty, empty))
show("keras.ops.add, one row", lambda: keras.ops.add(row, row))
show("keras.ops.add, unknown batch", lambda: unknown(empty, empty))
show("Dense", lambda: keras.layers.Dense(4)(empty))
cell = keras.layers.LSTMCell(4)
show("LSTMCell", lambda: cell(empty, [empty, empty])[0])
PY
diff "$folder/seen" - <<'SEEN'
tf.add (0, 4)
keras.ops.add InvalidArgumentError
keras.ops.add, one row (1, 4)
keras.ops.add, unknown batch (0, 4)
Dense (0, 4)
LSTMCell InvalidArgumentError
SEEN
