"""Rows of a measurement, printed for people and kept as JSON."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from COVIDSelfSegLib.devices import choose_device


@dataclass(frozen=True)
class Row:
    """One figure: what was measured, the value, what it is held against."""

    name: str
    value: str
    beside: str = ""
    wanted: str = ""


@dataclass
class Table:
    """All rows of one run, under headings; beside those of an earlier one, if there was one."""

    sections: dict[str, list[Row]] = field(default_factory=dict)
    earlier: dict[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def beside(cls, file: Path) -> Table:
        """An empty table that will show the values of an earlier run beside its own."""
        sections = json.loads(file.read_text())
        del sections["machine"]
        return cls(
            earlier={(name, row["name"]): row["value"] for name, rows in sections.items() for row in rows}
        )

    def add(self, section: str, name: str, value: str, *, beside: str = "", wanted: str = "") -> None:
        """Add a row and print it at once: a run takes minutes."""
        row = Row(name, value, beside, wanted)
        if section not in self.sections:
            print(f"\n## {section}\n", flush=True)
        self.sections.setdefault(section, []).append(row)
        print(self._line(row), flush=True)

    def write(self, folder: Path) -> None:
        """Keep the table as JSON and as Markdown."""
        folder.mkdir(parents=True, exist_ok=True)
        values = {name: [asdict(row) for row in rows] for name, rows in self.sections.items()}
        machine = {
            "device": str(choose_device()),
            "torch": torch.__version__,
            "python": platform.python_version(),
        }
        (folder / "bench.json").write_text(json.dumps({"machine": machine, **values}, indent=1))
        lines = [f"Measured on {machine['device']}, torch {machine['torch']}."]
        for name, rows in self.sections.items():
            head = ["what", *(["before"] if self.earlier else []), "measured", "beside it", "wanted"]
            lines += ["", f"## {name}", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
            for row in rows:
                before = [self.earlier.get((name, row.name), "-")] if self.earlier else []
                cells = [row.name, *before, row.value, row.beside, row.wanted]
                lines.append(f"| {' | '.join(cells)} |")
        (folder / "bench.md").write_text("\n".join(lines) + "\n")

    @staticmethod
    def _line(row: Row) -> str:
        return f"{row.name:58} {row.value:24} {row.beside:40} {row.wanted}"
