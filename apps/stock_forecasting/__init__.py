"""Prices in, quantile forecasts out."""
