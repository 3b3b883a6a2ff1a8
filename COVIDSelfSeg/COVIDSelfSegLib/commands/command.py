"""Commands by name: only the one that is asked for is imported, for torch alone takes seconds."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
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


def make_parser(commands: Sequence[Command], arguments: Sequence[str]) -> argparse.ArgumentParser:
    """A parser for these arguments: it knows all commands, and the options of the one that they name."""
    parser = argparse.ArgumentParser(
        prog="covidselfseg",
        description="COVID-19 lesions in chest CT, without hand-drawn labels. Research use only.",
    )
    parser.add_argument("--version", action="version", version=f"covidselfseg {__version__}")
    parsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    asked = next((word for word in arguments if not word.startswith("-")), None)
    for command in commands:
        its_own = parsers.add_parser(command.name, help=command.help)
        if command.name == asked:
            getattr(import_module(command.module), command.function)(its_own)
    return parser
