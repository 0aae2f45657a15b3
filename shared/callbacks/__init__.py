"""Callbacks for any Keras 3 model on TensorFlow."""
