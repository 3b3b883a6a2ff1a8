"""``python -m COVIDSelfSegLib``: the worker and the command line of the pipeline."""

import sys

from .cli import main

sys.exit(main())
