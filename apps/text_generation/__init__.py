"""Character-level text generation: a prompt in, text out."""
