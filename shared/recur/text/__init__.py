"""Words and subwords of raw text, by the same code in Python and in the graph that is served."""
