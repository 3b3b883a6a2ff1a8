"""``slicer.i18n``: translation. The host speaks English, but notices text that cannot be translated."""

from __future__ import annotations

import re

translatable: set[str] = set()
"""Every text that was asked for, so that a test can look for some with numbers filled in."""

_UNFILLED = re.compile(r"(?<!\{)\{[^{}]*\}(?!\})")


def tr(text: str) -> str:
    """The text in the user's language; usually imported as ``_``.

    Raises:
        TypeError: the text is no string.
        ValueError: a placeholder has no name, which translators cannot move: ``{}`` instead of ``{count}``.
    """
    if not isinstance(text, str):
        raise TypeError(f"cannot translate {text!r}")
    if any(match.strip("{}") == "" for match in _UNFILLED.findall(text)):
        raise ValueError(f"placeholders in translatable text must be named: {text!r}")
    translatable.add(text)
    return text


def translate(context: str, text: str) -> str:  # noqa: ARG001 - Slicer's signature
    """The text in the user's language, for a context that is not the calling file."""
    return tr(text)
