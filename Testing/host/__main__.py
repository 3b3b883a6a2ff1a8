"""Try a module by hand: ``python -m host FOLDER [FOLDER ...]`` opens a window with its panel and the views.

With ``--picture FILE`` the window is drawn into a file instead, for documentation and for a look without a
screen.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from host import bootstrap, dialogs


def main() -> int:
    """Open the window and run until it is closed."""
    arguments = _parser().parse_args()
    application = bootstrap.start()
    application.set_testing_enabled(False)
    dialogs.interactive = True

    import slicer

    from host.application.main_window import qSlicerMainWindow

    manager = application.moduleManager()
    modules = [module for folder in arguments.folders for module in manager.load_folder(folder.resolve())]
    application.startupCompleted.emit()
    window = qSlicerMainWindow(manager, application.layoutManager().viewport())
    window.resize(*arguments.size)
    window.show()
    for file in arguments.load:
        slicer.util.loadNodeFromFile(str(file), "SegmentationFile" if ".seg." in file.name else "VolumeFile")
    slicer.util.selectModule(arguments.module or modules[-1].name)
    if arguments.picture is None:
        return application.exec()
    application.processEvents()
    return 0 if window.grab().save(str(arguments.picture)) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="host", description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="module folders, dependencies first")
    parser.add_argument("--module", help="whose panel to show; the last one otherwise")
    parser.add_argument("--load", action="append", type=Path, default=[], help="a volume or *.seg.nrrd file")
    parser.add_argument("--size", nargs=2, type=int, default=(1400, 850), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--picture", type=Path, help="save a picture of the window and leave")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
