"""Exchange rates: probabilistic forecasts by published protocols."""
