"""Where the checkout is, for tests that start a process in it or read a file of it."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
