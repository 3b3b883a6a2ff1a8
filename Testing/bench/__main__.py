"""``python -m Testing.bench``: measure speed and memory, print, and keep as JSON and Markdown.

How right the models are is measured by ``covidselfseg benchmark``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from COVIDSelfSegTrainingLib.cohorts.shipped import data_folder

from .many import measure_many
from .panel import measure_panel
from .speed import measure_speed
from .stages import measure_stages
from .table import Table


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(prog="python -m Testing.bench", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("bench"))
    parser.add_argument("--only", choices=("speed", "stages", "many", "panel"))
    parser.add_argument("--batch", type=int, default=4, metavar="N", help="scans of the batch")
    parser.add_argument("--compare", type=Path, metavar="JSON", help="bench.json of an earlier run")
    parsed = parser.parse_args()
    data = data_folder()
    if data is None:
        print("The real scans are not here (../shared/data or $COVIDSELFSEG_DATA): phantoms only.")
    table = Table.beside(parsed.compare) if parsed.compare else Table()
    if parsed.only in (None, "speed"):
        measure_speed(table, data)
    if parsed.only in (None, "stages") and data is not None:
        measure_stages(table, data)
    if parsed.only in (None, "many") and data is not None:
        measure_many(table, data, parsed.batch)
    if parsed.only in (None, "panel"):
        measure_panel(table)
    table.write(parsed.output)
    print(f"\n{parsed.output / 'bench.md'}")


main()
