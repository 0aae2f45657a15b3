"""Sentiment analysis: a review in, its calibrated polarity out."""
