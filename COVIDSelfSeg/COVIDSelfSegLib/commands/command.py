"""Commands by name: only the one that is asked for is imported, for torch alone takes seconds."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

from .. import __version__


@dataclass(frozen=True)
class Command:
    """A command of the command line.

    Attributes:
        name: as it is typed.
        help: one line.
        module: what it is in.
        function: in it, what adds its arguments to a parser.
    """

    name: str
    help: str
    module: str
    function: str = "add_arguments"


def parse(commands: Sequence[Command], arguments: Sequence[str]) -> argparse.Namespace:
    """What was typed, read by a parser that knows all commands, and the options of the one that is named.

    Raises:
        SystemExit: it asks for help, or is not what the command takes, which is said.
    """
    parser = argparse.ArgumentParser(
        prog="covidselfseg",
        description="COVID-19 lesions in chest CT, without hand-drawn labels. Research use only.",
    )
    parser.add_argument("--version", action="version", version=f"covidselfseg {__version__}")
    parsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    asked = next((word for word in arguments if not word.startswith("-")), None)
    speaking = parser
    for command in commands:
        its_own = parsers.add_parser(command.name, help=command.help, description=_sentence(command.help))
        if command.name == asked:
            getattr(import_module(command.module), command.function)(its_own)
            speaking = its_own
    parsed, unknown = parser.parse_known_args(arguments)
    if unknown:
        # argparse itself would say this with the usage of the whole command line, which lists no option.
        speaking.error(f"unrecognized arguments: {' '.join(unknown)}{_meant(unknown[0], speaking)}")
    return parsed


def _sentence(words: str) -> str:
    """What is said above the options of a command that says no more of itself."""
    return words[0].upper() + words[1:] + "." * (not words.endswith("?"))


def _meant(typed: str, parser: argparse.ArgumentParser) -> str:
    options = re.findall(r"--[\w-]+", parser.format_help())
    close = get_close_matches(typed.partition("=")[0], options, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
