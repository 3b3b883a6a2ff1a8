"""What the commands' arguments have in common: numbers above zero, and what a card may say of them."""

from __future__ import annotations

import argparse
import re
import shlex


def for_the_card(parsed: argparse.Namespace) -> str:
    """The command as it could be typed again, without the folders of this machine.

    A package is passed on, and folders may be called after patients.
    """
    return shlex.join(["covidselfseg", *map(_last_part, parsed.typed)])


def _last_part(word: str) -> str:
    option, equals, value = word.partition("=")
    if word.startswith("-") and equals:
        return f"{option}={_last_part(value)}"
    return re.split(r"[/\\]", word.rstrip("/\\"))[-1] or word


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
