"""python -m apps.translation."""

import sys

from apps.translation.application import APPLICATION
from recur.cli.application import main

sys.exit(main(APPLICATION))
