"""python -m apps.sentiment_analysis."""

import sys

from recur.cli import main

from apps.sentiment_analysis.application import APPLICATION

sys.exit(main(APPLICATION))
