"""How the panel writes what happened, why it matters and what to do."""

from __future__ import annotations

import html


def richText(what: str, why: str, fix: str) -> str:
    """The three as text for a label; paths and numbers in them may hold any character."""
    what, why, fix = (html.escape(text).replace("\n", "<br>") for text in (what, why, fix))
    return f"<b>{what}</b><br>{why}<br><i>{fix}</i>"
