"""python -m apps.image_captioning."""

import sys

from recur.cli import main

from apps.image_captioning.application import APPLICATION

sys.exit(main(APPLICATION))
