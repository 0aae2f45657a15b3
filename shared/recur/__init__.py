"""Recurrent networks on Keras 3: layers, gradients through time, decoding, metrics, training and serving."""
