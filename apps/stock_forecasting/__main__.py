"""python -m apps.stock_forecasting."""

import sys

from apps.stock_forecasting.application import APPLICATION
from recur.cli.application import main

sys.exit(main(APPLICATION))
