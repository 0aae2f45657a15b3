"""Measures the peak memory of a training step of the recurrent layers beside Keras's. Linux only.

    python -m benchmarks.layers.peak_memory [--batch 32] [--length 500] [--units 256]

Each measurement is a process of its own: resident memory above what it was before the first step of that size, once as
TensorFlow allocates by default (from a pool, which also counts what the pool wastes) and once with every large block
given back when it is freed, which counts what the step itself needs at once.
"""

import os
import subprocess
import sys
from pathlib import Path

import tyro

PLAIN = {"TF_ENABLE_ONEDNN_OPTS": "0", "MALLOC_MMAP_THRESHOLD_": "262144"}
WAYS = {"default allocator": {}, "plain allocator": PLAIN}


def main(batch: int = 32, length: int = 500, units: int = 256, turns: int = 3, measure: str = ""):
    """Measures the peak memory of a training step of the recurrent layers beside Keras's.

    Args:
        batch: Sequences.
        length: Steps.
        units: Width of inputs and states.
        turns: How many processes each figure is the median of.
        measure: For the processes that this command starts: `MODULE.LAYER` to measure.
    """
    if measure:
        print(peak(measure, batch, length, units))
        return
    print(f"| batch {batch}, length {length}, units {units}; MB | " + " | ".join(WAYS) + " |\n|---|---|---|")
    for layer in ("LSTM", "GRU"):
        for name, module in (("ours", "recur.layers.recurrent"), ("Keras", "keras.layers")):
            peaks = []
            for environment in WAYS.values():
                sizes = [_in_process(f"{module}.{layer}", batch, length, units, environment) for _ in range(turns)]
                peaks.append(f"{sorted(sizes)[turns // 2]:.0f}")
            print(f"| {layer}, {name} | {' | '.join(peaks)} |", flush=True)


def _in_process(layer: str, batch: int, length: int, units: int, environment: dict[str, str]) -> float:
    sizes = ["--batch", str(batch), "--length", str(length), "--units", str(units)]
    command = [sys.executable, "-m", "benchmarks.layers.peak_memory", "--measure", layer, *sizes]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def peak(name: str, batch: int, length: int, units: int) -> float:
    """Returns by how many MB the resident memory of this process rises in training steps."""
    import importlib

    import keras
    import tensorflow as tf

    module, layer_name = name.rsplit(".", 1)
    layer = getattr(importlib.import_module(module), layer_name)(units, return_sequences=True)
    dense = keras.layers.Dense(64)
    x = tf.random.normal([batch, length, units])
    dense(layer(x[:1, :2]))
    variables = layer.trainable_variables + dense.trainable_variables

    @tf.function(reduce_retracing=False)
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((dense(layer(x, training=True)) - 0.5) ** 2)
        return tape.gradient(loss, variables)

    for small in (1, 2, 3, 4):  # what compiling takes is taken before
        step(x[:small])
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    for _ in range(3):
        step(x)
    return _status("VmHWM") - before


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


if __name__ == "__main__":
    tyro.cli(main)
