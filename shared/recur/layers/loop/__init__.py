"""The loop over time steps: the cells, the XLA program, the ordinary graph, and which of them runs."""
