"""python -m apps.stock_forecasting."""

import sys

from recur.cli import main

from apps.stock_forecasting.application import APPLICATION

sys.exit(main(APPLICATION))
