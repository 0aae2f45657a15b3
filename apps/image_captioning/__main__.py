"""python -m apps.image_captioning."""

import sys

from apps.image_captioning.application import APPLICATION
from recur.cli.application import main

sys.exit(main(APPLICATION))
