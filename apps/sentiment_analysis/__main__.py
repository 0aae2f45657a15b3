"""python -m apps.sentiment_analysis."""

import sys

from apps.sentiment_analysis.application import APPLICATION
from recur.cli.application import main

sys.exit(main(APPLICATION))
