"""python -m apps.translation."""

import sys

from apps.translation.application import APPLICATION
from shared.cli import main

sys.exit(main(APPLICATION))
