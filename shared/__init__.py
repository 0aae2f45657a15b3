"""What the applications share: data sources, layers, training, decoding, metrics and serving."""
