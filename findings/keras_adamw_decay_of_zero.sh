#!/usr/bin/env bash
# Keras 3.15.1 on TensorFlow 2.21.0: AdamW(weight_decay=0.0) is not Adam. Only None switches the decay off; 0.0 writes
# variable - variable * 0 * learning_rate into every step. Finite weights stay what they are and the step has more
# operations; an infinite weight, such as the -inf of a bias that forbids a class, becomes NaN in the first step, with a
# gradient of 0 and no warning. Adam leaves it. (A decay that a configuration sets to 0 should be passed on as None.)
#
# Seen:
#   weight after a step with gradient 0: Adam -inf, AdamW(weight_decay=0.0) nan
#   operations of a step on eight weights: AdamW has more: True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow==2.21.0 keras==3.15.1
TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES= "$folder/venv/bin/python" - 2>/dev/null <<'PY' | tee "$folder/seen"
import keras
import numpy as np
import tensorflow as tf


def after_a_step(optimizer):
    weight = keras.Variable(np.array([1.0, -np.inf], "float32"))
    optimizer.apply([tf.zeros(2)], [weight])
    return weight.numpy()[1]


def operations(optimizer):
    weights = [keras.Variable(np.ones(3, "float32")) for _ in range(8)]
    optimizer.build(weights)
    step = tf.function(lambda: optimizer.apply([tf.ones(3)] * 8, weights))
    return len(step.get_concrete_function().graph.get_operations())


adam, adamw = keras.optimizers.Adam, keras.optimizers.AdamW
seen = after_a_step(adam(0.1)), after_a_step(adamw(0.1, weight_decay=0.0))
print(f"weight after a step with gradient 0: Adam {seen[0]}, AdamW(weight_decay=0.0) {seen[1]}")
more = operations(adamw(0.1, weight_decay=0.0)) > operations(adam(0.1))
print(f"operations of a step on eight weights: AdamW has more: {more}")
PY
grep -q "Adam -inf, AdamW(weight_decay=0.0) nan" "$folder/seen"
grep -q "AdamW has more: True" "$folder/seen"
