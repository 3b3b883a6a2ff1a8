"""``python -m COVIDSelfSegLib``: the worker and the command line of the pipeline."""

import sys

from .errors import ExitCode, UserError
from .events import EventWriter


def _main() -> int:
    try:
        from .cli import main  # noqa: PLC0415 (what it needs may be missing)

        return main()
    except ModuleNotFoundError as missing:
        error = UserError(
            f"The Python package '{missing.name}' is missing from {sys.executable}.",
            why="The networks run in this Python, and need it.",
            fix="Install it there (in Slicer: Set-up, Install), or choose another Python for the worker.",
            code=ExitCode.MODEL_UNUSABLE,
        )
        if "--events" in sys.argv:
            EventWriter().error(error)
        else:
            sys.stderr.write(f"{error}\n")
        return int(error.code)


sys.exit(_main())
