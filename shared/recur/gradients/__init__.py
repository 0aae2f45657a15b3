"""Gradients as pure functions of TensorFlow: their norms, the rules that clip them, what is not finite."""
