"""``python -m nbmosaic``."""

import sys

from nbmosaic.cli import main

__all__: list[str] = []

sys.exit(main())
