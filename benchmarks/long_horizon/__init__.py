"""Long horizons: the ETT benchmark beside DLinear and published tables."""
