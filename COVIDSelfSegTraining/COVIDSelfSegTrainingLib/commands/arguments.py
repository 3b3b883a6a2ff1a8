"""What several commands ask of the arguments that were typed, and what a card may say of them."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.file_errors import writing_to


def for_the_card(parsed: argparse.Namespace) -> str:
    """The command as it could be typed again, without the folders of this machine.

    A package is passed on, and folders may be called after patients.
    """
    return shlex.join(["covidselfseg", *map(_last_part, parsed.typed)])


def check_new_package(path: Path) -> None:
    """Refuse a package that could not be written or found, before the minutes of work that it takes.

    Raises:
        UserError: its name has another ending (exit code 2), or its folder cannot be made (5).
    """
    if path.suffix != ".safetensors":
        raise UserError(
            f"{path} does not end in .safetensors.",
            why="A package is told from other files by this ending.",
            fix=f"Name it {path}.safetensors.",
        )
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)


def _last_part(word: str) -> str:
    option, equals, value = word.partition("=")
    if word.startswith("-") and equals:
        return f"{option}={_last_part(value)}"
    return re.split(r"[/\\]", word.rstrip("/\\"))[-1] or word
