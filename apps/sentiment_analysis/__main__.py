"""python -m apps.sentiment_analysis."""

import sys

from apps.sentiment_analysis.application import APPLICATION
from shared.cli import main

sys.exit(main(APPLICATION))
