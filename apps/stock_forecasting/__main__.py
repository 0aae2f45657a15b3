"""python -m apps.stock_forecasting."""

import sys

from apps.stock_forecasting.application import APPLICATION
from shared.cli import main

sys.exit(main(APPLICATION))
