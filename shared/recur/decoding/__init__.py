"""Decoding in the graph: samplers and beam search."""

from recur.decoding.beam import Hypotheses, beam_search
from recur.decoding.samplers import sample, uniform_noise

__all__ = ["Hypotheses", "beam_search", "sample", "uniform_noise"]
