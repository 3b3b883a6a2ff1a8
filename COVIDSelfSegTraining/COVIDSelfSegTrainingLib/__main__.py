"""``python -m COVIDSelfSegTrainingLib``: all commands, those of the pipeline and those of training."""

import sys

from .cli import main

sys.exit(main())
