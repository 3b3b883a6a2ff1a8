"""``slicer.packaging`` (Slicer 5.11 and later): records what would be installed, installs nothing."""

from __future__ import annotations

import importlib.metadata
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer
from packaging.requirements import Requirement


@dataclass(frozen=True)
class Call:
    """One call of a function of this module that would have changed Slicer's Python.

    Of a file of constraints, ``options`` holds the lines: pip reads it during the call.
    """

    function: str
    requirements: tuple[str, ...]
    options: dict[str, Any]


calls: list[Call] = []
"""What was asked for; cleared by the fixture ``an_application``."""


def load_requirements(path: str | Path) -> list[Requirement]:
    """The requirements of a requirements file; comments and pip's options are skipped."""
    lines = (line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def load_pyproject_dependencies(path: str | Path) -> list[Requirement]:
    """The ``[project] dependencies`` of a pyproject.toml."""
    project = tomllib.loads(Path(path).read_text(encoding="utf-8"))["project"]
    return [Requirement(text) for text in project.get("dependencies", [])]


def pip_check(req: Requirement | list[Requirement]) -> bool:
    """Whether requirements are installed in an acceptable version."""
    if isinstance(req, list):
        return all(pip_check(one) for one in req)
    if req.marker is not None and not req.marker.evaluate():
        return True
    try:
        return req.specifier.contains(importlib.metadata.version(req.name), prereleases=True)
    except importlib.metadata.PackageNotFoundError:
        return False


def pip_ensure(
    requirements: list[Requirement],
    constraints: str | Path | None = None,
    skip_packages: list[str] | None = None,
    prompt_install: bool = True,
    prompt_restart: bool = True,
    requester: str | None = None,
    skip_in_testing: bool = True,
    show_progress: bool = True,
) -> list[str] | None:
    """Install what is missing, after asking; nothing in testing mode unless ``skip_in_testing`` is False.

    Raises:
        TypeError: a requirement is not a ``packaging.requirements.Requirement``.
        RuntimeError: the user declined.
    """
    if not all(isinstance(requirement, Requirement) for requirement in requirements):
        raise TypeError("pip_ensure takes packaging.requirements.Requirement objects, see load_requirements")
    missing = [str(requirement) for requirement in requirements if not pip_check(requirement)]
    options = {
        "constraints": _lines_of(constraints),
        "skip_packages": skip_packages,
        "prompt_restart": prompt_restart,
        "requester": requester,
        "show_progress": show_progress,
    }
    if not missing:
        return None
    calls.append(Call("pip_ensure", tuple(missing), options))
    if skip_in_testing and slicer.app.testingEnabled():
        return None
    if prompt_install and not slicer.util.confirmOkCancelDisplay("Python packages need to be installed."):
        raise RuntimeError("User declined package installation")
    return pip_install(missing, constraints, skip_packages=skip_packages, requester=requester)


def pip_install(
    requirements: str | list[str],
    constraints: str | Path | None = None,
    no_deps_requirements: str | list[str] | None = None,
    skip_packages: list[str] | None = None,
    blocking: bool = True,
    show_progress: bool = True,
    requester: str | None = None,
    parent: Any = None,
    logCallback: Callable[[str], None] | None = None,
    completedCallback: Callable[[int], None] | None = None,
) -> list[str] | None:
    """Record what should be installed and report success.

    Raises:
        ValueError: options that exclude each other.
    """
    if skip_packages is not None and (no_deps_requirements is not None or not blocking):
        raise ValueError("skip_packages excludes no_deps_requirements and needs blocking=True")
    options = {
        "constraints": _lines_of(constraints),
        "no_deps_requirements": no_deps_requirements,
        "skip_packages": skip_packages,
        "show_progress": show_progress,
        "requester": requester,
        "parent": parent,
    }
    calls.append(Call("pip_install", _as_tuple(requirements), options))
    if not blocking:
        import qt

        if logCallback:
            qt.QTimer.singleShot(0, lambda: logCallback("the host installs nothing"))
        if completedCallback:
            qt.QTimer.singleShot(0, lambda: completedCallback(0))
    return [] if skip_packages is not None else None


def pip_uninstall(requirements: str | list[str], **options: Any) -> None:
    """Record what should be removed."""
    calls.append(Call("pip_uninstall", _as_tuple(requirements), options))


def _lines_of(path: str | Path | None) -> tuple[str, ...] | None:
    return None if path is None else tuple(Path(path).read_text(encoding="utf-8").splitlines())


def _as_tuple(requirements: str | list[str]) -> tuple[str, ...]:
    return tuple(requirements.split()) if isinstance(requirements, str) else tuple(requirements)
