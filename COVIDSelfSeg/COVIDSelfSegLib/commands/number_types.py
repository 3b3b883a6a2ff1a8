"""Types of the numbers that are typed: argparse says what is wrong with any other."""

from __future__ import annotations

import argparse


def share(text: str) -> float:
    """Type of an argument from 0 to 1.

    Raises:
        argparse.ArgumentTypeError: it does not lie there.
        ValueError: it is no number.
    """
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("must be a number from 0 to 1, such as 0.3 for 30 %")
    return value


def count(text: str) -> int:
    """A number of things, 0 or more.

    Raises:
        argparse.ArgumentTypeError: it is less.
        ValueError: it is no whole number.
    """
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return value


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
