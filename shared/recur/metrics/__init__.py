"""Metrics and baselines that Keras and scikit-learn do not have."""
