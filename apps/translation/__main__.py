"""python -m apps.translation."""

import sys

from recur.cli import main

from apps.translation.application import APPLICATION

sys.exit(main(APPLICATION))
