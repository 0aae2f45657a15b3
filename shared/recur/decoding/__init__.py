"""Choosing the next token, in graph."""
