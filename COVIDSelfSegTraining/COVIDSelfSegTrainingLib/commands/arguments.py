"""What a card may say of the arguments that were typed."""

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
