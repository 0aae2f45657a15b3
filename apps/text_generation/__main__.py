"""python -m apps.text_generation."""

import sys

from recur.cli import main

from apps.text_generation.application import APPLICATION

sys.exit(main(APPLICATION))
