"""Measurements: speed beside peers, and published tables reproduced."""
