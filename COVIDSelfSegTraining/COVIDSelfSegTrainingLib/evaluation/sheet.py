"""One HTML page that carries everything in itself, and its tables as CSV files beside it."""

from __future__ import annotations

import base64
import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape, unescape
from pathlib import Path

from COVIDSelfSegLib.file_errors import writing_to
from COVIDSelfSegLib.results import results_folder
from PIL import Image

Cell = str | int | float | None
PAGE = "sheet.html"
_TABLE_NAME = '<p class="note"><small>{}.csv</small></p>'
"""Below each table; by it a later page knows the tables of an earlier one."""

_STYLE = """
body { font: 15px/1.45 sans-serif; margin: 2rem auto; max-width: 1250px; padding: 0 1rem; color: #222; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.2rem; border-bottom: 1px solid #bbb; font-size: 1.25rem; }
table { border-collapse: collapse; margin: .6rem 0; font-size: .88rem; }
th, td { border: 1px solid #ccc; padding: .25rem .55rem; text-align: left; vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; } th { background: #f1f3f5; }
.note { color: #555; max-width: 60rem; }
.warn { background: #fff3d6; padding: .4rem .7rem; max-width: 60rem; }
figure { display: inline-block; margin: .6rem 1rem .6rem 0; vertical-align: top; }
figcaption { font-size: .85rem; color: #555; max-width: 540px; } img { max-width: 100%; }
nav a { margin-right: 1rem; }
"""


@dataclass
class Sheet:
    """A page in the making.

    Attributes:
        title: of the page.
    """

    title: str
    _parts: list[str] = field(default_factory=list)
    _sections: list[tuple[str, str]] = field(default_factory=list)
    _tables: dict[str, str] = field(default_factory=dict)

    def section(self, title: str, note: str = "") -> None:
        """Begin a section."""
        anchor = re.sub(r"\W+", "-", title.lower()).strip("-")
        self._sections.append((anchor, title))
        self._parts.append(f'<h2 id="{anchor}">{escape(title)}</h2>')
        if note:
            self.note(note)

    def note(self, text: str) -> None:
        """A paragraph: the protocol, or how to read what follows."""
        self._parts.append(f'<p class="note">{escape(text)}</p>')

    def warn(self, text: str) -> None:
        """A paragraph that must not be missed."""
        self._parts.append(f'<p class="warn">{escape(text)}</p>')

    def table(self, name: str, rows: Sequence[Mapping[str, Cell]], digits: int = 3) -> None:
        """A table, also written as ``name.csv``; nothing without rows.

        Args:
            name: of the file, without ending; unique.
            rows: by column; columns in the order in which they first appear.
            digits: of numbers on the page; the file has them in full.
        """
        if not rows:
            return
        if name in self._tables:
            raise ValueError(f"two tables are called {name}")
        columns = list(dict.fromkeys(column for row in rows for column in row))
        head = "".join(f"<th>{escape(column)}</th>" for column in columns)
        body = "".join(
            "<tr>" + "".join(_cell(row.get(column), digits) for column in columns) + "</tr>" for row in rows
        )
        self._parts.append(f"<table><tr>{head}</tr>{body}</table>")
        self._parts.append(_TABLE_NAME.format(escape(name)))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {column: "" if _is_missing(value) else value for column, value in row.items()} for row in rows
        )
        self._tables[name] = text.getvalue()

    def figure(self, svg: str, caption: str) -> None:
        """A drawing from :mod:`.figures`."""
        self._parts.append(f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>")

    def picture(self, image: Image.Image, caption: str) -> None:
        """A picture, held in the page as JPEG."""
        content = io.BytesIO()
        image.convert("RGB").save(content, "JPEG", quality=85)
        data = base64.b64encode(content.getvalue()).decode()
        self._parts.append(
            f'<figure><img alt="{escape(caption)}" src="data:image/jpeg;base64,{data}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )

    def write(self, folder: Path) -> Path:
        """Write page and tables; they appear together or not at all. Returns the page's path.

        Tables of an earlier page that this one does not have go first: beside this page they would be taken
        for its own, by people and by the card of a package.

        Raises:
            UserError: the folder cannot be written (exit code 5).
        """
        links = "".join(f'<a href="#{anchor}">{escape(title)}</a>' for anchor, title in self._sections)
        page = (
            f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(self.title)}</title>'
            f"<style>{_STYLE}</style></head><body><h1>{escape(self.title)}</h1><nav>{links}</nav>"
            f"{''.join(self._parts)}</body></html>\n"
        )
        for name in sorted(_tables_of(folder / PAGE) - self._tables.keys()):
            file = folder / f"{name}.csv"
            with writing_to(file):
                file.unlink(missing_ok=True)
        with results_folder(folder) as target, writing_to(target):
            (target / PAGE).write_text(page, encoding="utf-8")
            for name, text in self._tables.items():
                (target / f"{name}.csv").write_text(text, encoding="utf-8")
        return folder / PAGE


def _tables_of(page: Path) -> set[str]:
    """Names of the tables that a page holds; none where there is no page."""
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return set()
    before, after = map(re.escape, _TABLE_NAME.split("{}"))
    return {unescape(name) for name in re.findall(f"{before}([^<]+){after}", text)}


def _cell(value: Cell, digits: int) -> str:
    if _is_missing(value):
        return '<td class="n">-</td>'
    if isinstance(value, float):
        return f'<td class="n">{value:.{digits}f}</td>'
    if isinstance(value, int):
        return f'<td class="n">{value}</td>'
    return f"<td>{escape(str(value))}</td>"


def _is_missing(value: Cell) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
