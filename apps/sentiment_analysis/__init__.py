"""Review in, calibrated polarity out."""
