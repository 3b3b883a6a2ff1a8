"""A scan that a search found, before it was read: what it was found in, its name, group and files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from COVIDSelfSegLib.errors import UserError

from .layouts import stated_class
from .sources import Group, Source


@dataclass(frozen=True)
class Root:
    """A folder to search.

    Attributes:
        folder: searched with its sub-folders.
        group: of all scans in it; None takes it from folders called CT-0 .. CT-4.
        licence: of the scans.
    """

    folder: Path
    group: Group | None
    licence: str


@dataclass(frozen=True)
class Found:
    """A scan that was found, before it was read.

    Attributes:
        source: what is known of it.
        files: that it (and its masks) is read from.
        problem: why it cannot enter; None where it may.
        identity: birth date and sex in its header; compared and never written anywhere.
    """

    source: Source
    files: tuple[Path, ...]
    problem: UserError | None = None
    identity: tuple[str, str] = ("", "")


def label_of(root: Root, relative: Path) -> str:
    """What a folder below the root is called, by its whole way from there; the root by its own name."""
    return relative.as_posix() if relative.parts else root.folder.name


def group_of(root: Root, relative: Path) -> Group:
    """The group of the scan at a path below the root."""
    if root.group is not None:
        return root.group
    return "healthy" if stated_class(relative) == "CT-0" else "diseased"


def contradiction(root: Root, source: Source) -> UserError | None:
    """Why a scan cannot be in the group that it was given for."""
    stated = source.stated_class
    if root.group is None and not stated:
        return UserError(
            f"{source.path} lies in no folder called CT-0 .. CT-4.",
            why="The folder was given as MosMedData, whose folders say which scans are healthy.",
            fix="Move it into one, or give its folder with --healthy or --covid.",
        )
    if stated and root.group is not None and (stated == "CT-0") != (root.group == "healthy"):
        return UserError(
            f"{source.path} lies in a folder {stated}, but was given as {root.group}.",
            why="CT-0 means no sign of disease; the other classes mean disease.",
            fix="Give the folder above CT-0 .. CT-4 with --mosmed, which treats each as what it is.",
        )
    return None


def name_of(root: Root, unique: Path, label: str) -> str:
    """A folder name that stays the same whatever else is in the cohort."""
    key = f"{root.group}/{root.folder.absolute().name}/{unique.as_posix()}"
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", label).strip("._")[-60:]
    digest = hashlib.sha256(key.encode(errors="surrogatepass"))  # a file's name need not be UTF-8
    return f"{plain or 'scan'}-{digest.hexdigest()[:6]}"


def few(names: Iterable[str]) -> str:
    """The first three of some names."""
    listed = list(names)
    return ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "")
