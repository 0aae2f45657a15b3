"""python -m apps.image_captioning."""

import sys

from apps.image_captioning.application import APPLICATION
from shared.cli import main

sys.exit(main(APPLICATION))
