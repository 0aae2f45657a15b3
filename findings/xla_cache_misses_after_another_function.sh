#!/usr/bin/env bash
# TensorFlow 2.21.0 on a CPU: the persistent XLA cache (TF_XLA_FLAGS=--tf_xla_persistent_cache_directory=…) spares a
# second process the compilation of a tf.function(jit_compile=True) only if that process has traced exactly as many
# functions before it. The key of the cache holds the traced function's name, and that ends in a counter of the process
# (__inference_f_247): trace one unrelated function more, and the same program is compiled and stored once again. So the
# cache serves a script that is run again as it was; it does not serve two scripts, or a test suite, that share a layer.
#
# Seen:
#   programs in the cache after a first process: 1
#   after a second that does the same: 1
#   after a third that traces one unrelated function first: 2
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow==2.21.0
cat > "$folder/program.py" <<'PY'
import sys

import tensorflow as tf


@tf.function(jit_compile=True)
def f(x):
    return tf.tanh(x @ x)


if "first" in sys.argv:
    tf.function(lambda: tf.constant(1))()
f(tf.ones([8, 8]))
PY
run() {
  TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES= TF_XLA_FLAGS="--tf_xla_persistent_cache_directory=$folder/cache" \
    "$folder/venv/bin/python" "$folder/program.py" "$@" 2> /dev/null
  find "$folder/cache" -name '*.pb' | wc -l
}
{
  echo "programs in the cache after a first process: $(run)"
  echo "after a second that does the same: $(run)"
  echo "after a third that traces one unrelated function first: $(run first)"
} | tee "$folder/seen"
diff "$folder/seen" - <<'SEEN'
programs in the cache after a first process: 1
after a second that does the same: 1
after a third that traces one unrelated function first: 2
SEEN
