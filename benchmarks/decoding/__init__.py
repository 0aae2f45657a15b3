"""Decoding in the graph beside loops in Python."""
