"""Presets as TOML and JSON: written whole, read whole or as differences from a preset, refused if wrong."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.file_errors import reading_from, writing_to

from .preset_checks import check_preset
from .presets import PRESETS, Preset

_BASE = "based_on"
_ENDINGS = (".toml", ".json")
Tree = TypeVar("Tree")


def find_preset(name: str) -> Preset:
    """A preset by its name, or by the path of a TOML or JSON file.

    Raises:
        UserError: there is none of that name, or the file is wrong.
    """
    if name in PRESETS:
        return PRESETS[name]
    path = Path(name)
    if path.suffix.lower() in _ENDINGS:
        return read_preset(path)
    raise UserError(
        f"There is no preset '{name}'.",
        why=f"The presets are {', '.join(PRESETS)}; a file must end in .toml or .json.",
        fix=f"Use --preset {PRESETS['default'].name}, or the path of a preset file.",
    )


def read_preset(path: Path) -> Preset:
    """Read a preset file; see :func:`preset_from_dict`.

    Raises:
        UserError: missing, no TOML or JSON, an unknown key, a wrong type, or an impossible combination.
    """
    try:
        with reading_from(path):
            text = path.read_text(encoding="utf-8-sig")  # as editors on Windows write it, too
        values = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise UserError(
            f"The preset file {path} cannot be read: {error}.",
            why="A preset is a TOML or JSON file of options.",
            fix="Correct the file; 'covidselfseg train --write-preset FILE' writes one to start from.",
        ) from error
    if not isinstance(values, dict):
        raise _wrong(str(path), "it holds no table of options", "Start the file with { or with key = value.")
    return preset_from_dict(values, source=str(path))


def preset_from_dict(values: Mapping[str, Any], *, source: str = "the preset") -> Preset:
    """Make a preset of nested tables.

    What is not given comes from the preset that ``based_on`` names, or from ``default``.

    Args:
        values: tables of options.
        source: where they come from, for messages.

    Raises:
        UserError: an unknown key, a wrong type, or an impossible combination.
    """
    values = dict(values)
    base = values.pop(_BASE, "default")
    if not isinstance(base, str) or base not in PRESETS:
        raise _wrong(source, f"based_on is {base!r}", f"Use one of {', '.join(PRESETS)}.")
    preset = _merge(PRESETS[base], values, source, "")
    if "name" not in values and preset != PRESETS[base]:
        preset = _merge(preset, {"name": Path(source).stem if Path(source).suffix else "custom"}, source, "")
    check_preset(preset, source)
    return preset


def preset_to_dict(preset: Preset) -> dict[str, Any]:
    """Nested tables of plain values; :func:`preset_from_dict` reads them back to an equal preset."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(preset)))
    return plain


def write_preset(preset: Preset, path: Path) -> None:
    """Write all of a preset, as TOML or JSON by the file's ending.

    Raises:
        UserError: the file has another ending or is there already (exit code 2), or cannot be written (5).
    """
    if path.suffix.lower() not in _ENDINGS:
        raise UserError(
            f"{path} does not end in .toml or .json.",
            why="The ending decides how a preset file is written and read.",
            fix="Give the file one of these endings.",
        )
    if path.exists():
        raise UserError(
            f"{path} is there already.",
            why="A preset that somebody changed by hand would be lost.",
            fix="Give another name, or delete the file first.",
        )
    tables = preset_to_dict(preset)
    text = json.dumps(tables, indent=1) if path.suffix.lower() == ".json" else _toml(tables)
    with writing_to(path):
        path.write_text(text.rstrip() + "\n", encoding="utf-8")


def differences(one: Preset, other: Preset) -> list[str]:
    """What differs, one line an option: ``gan.batch: 4, not 8``."""
    before, after = flat(preset_to_dict(one)), flat(preset_to_dict(other))
    keys = sorted(before.keys() | after.keys())
    return [
        f"{key}: {before.get(key)}, not {after.get(key)}" for key in keys if before.get(key) != after.get(key)
    ]


def flat(tables: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Options by their full names, ``gan.batch`` and so on, without nesting."""
    values: dict[str, Any] = {}
    for name, value in tables.items():
        values |= flat(value, f"{path}{name}.") if isinstance(value, Mapping) else {f"{path}{name}": value}
    return values


def _merge(base: Tree, values: Mapping[str, Any], source: str, path: str) -> Tree:
    """A copy of a dataclass with some fields replaced, each checked against its type."""
    hints = get_type_hints(type(base))
    names = [field.name for field in fields(base)]  # type: ignore[arg-type]
    merged = {name: getattr(base, name) for name in names}
    for name, value in values.items():
        where = f"{path}{name}"
        if name not in names:
            near = get_close_matches(name, names, 1)
            meant = f"Did you mean '{path}{near[0]}'?" if near else f"Known here: {', '.join(names)}."
            raise _wrong(source, f"there is no option '{where}'", meant)
        current = merged[name]
        if is_dataclass(current):
            if not isinstance(value, Mapping):
                raise _wrong(source, f"'{where}' is {value!r}", "It is a table of options, not one value.")
            merged[name] = _merge(current, value, source, f"{where}.")
        else:
            merged[name] = _value(value, hints[name], source, where)
    return type(base)(**merged)


def _value(value: Any, hint: Any, source: str, where: str) -> Any:
    """Check one value against its type; whole numbers count as real ones, lists as tuples."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        if value in arguments and isinstance(value, str):
            return value
        raise _wrong(source, f"'{where}' is {value!r}", f"Use one of {', '.join(map(repr, arguments))}.")
    if origin is tuple:
        return _sequence(value, arguments, source, where)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise _wrong(source, f"'{where}' is {value}", "It must be a finite number.")
        return float(value)
    wanted = dict if origin is dict else hint
    if isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool)):
        return dict(value) if wanted is dict else value
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", dict: "a table"}
    raise _wrong(source, f"'{where}' is {value!r}", f"It must be {words[wanted]}.")


def _sequence(value: Any, arguments: tuple[Any, ...], source: str, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(source, f"'{where}' is {value!r}", "It must be a list.")
    if arguments[-1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(value) != len(arguments):
        raise _wrong(source, f"'{where}' has {len(value)} values", f"It must have {len(arguments)}.")
    return tuple(
        _value(one, hint, source, f"{where}[{number}]")
        for number, (one, hint) in enumerate(zip(value, arguments, strict=True))
    )


def _wrong(source: str, what: str, fix: str) -> UserError:
    return UserError(
        f"{source} cannot be used: {what}.",
        why="A training with an option that is ignored or guessed would not be the one you asked for.",
        fix=fix,
    )


def _toml(tables: Mapping[str, Any], path: str = "") -> str:
    """Plain values first, then each table under its heading. JSON's scalars and lists are TOML's too.

    But for characters that JSON escapes as a pair.
    """
    lines = [
        f"{key} = {json.dumps(value, ensure_ascii=False)}"
        for key, value in tables.items()
        if not isinstance(value, Mapping)
    ]
    for key, value in tables.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{path}{key}]", _toml(value, f"{path}{key}.")]
    return "\n".join(lines)
