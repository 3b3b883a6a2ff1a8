"""``python -m COVIDSelfSegLib``: the worker and the command line of the pipeline."""

import sys

from .missing_packages import saying_what_is_missing


def _main() -> int:
    from .cli import main  # noqa: PLC0415 (what it needs may be missing)

    return main()


def main() -> int:
    """The command line; returns the exit code."""
    return saying_what_is_missing(_main)


if __name__ == "__main__":
    sys.exit(main())
