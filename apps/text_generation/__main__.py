"""python -m apps.text_generation."""

import sys

from apps.text_generation.application import APPLICATION
from shared.cli import main

sys.exit(main(APPLICATION))
