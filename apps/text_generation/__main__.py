"""python -m apps.text_generation."""

import sys

from apps.text_generation.application import APPLICATION
from recur.cli.application import main

sys.exit(main(APPLICATION))
