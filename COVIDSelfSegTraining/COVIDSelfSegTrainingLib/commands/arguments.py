"""Values on the command line that must be above zero."""

from __future__ import annotations

import argparse


def whole_number(text: str) -> int:
    """A number of things, 1 or more.

    Raises:
        argparse.ArgumentTypeError: it is less.
        ValueError: it is no whole number.
    """
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def positive_number(text: str) -> float:
    """A size or rate above zero.

    Raises:
        argparse.ArgumentTypeError: it is not, or not finite.
        ValueError: it is no number.
    """
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return value
