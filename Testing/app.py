"""``make app``: the module's panel and views in the test host, for a look without Slicer.

``python Testing/app.py [--scan FILE] [--segment] [--picture window.png]``. This is the host that the tests
use, not 3D Slicer; see ``Testing/host/README.md``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT)]

from host import bootstrap, dialogs  # noqa: E402 - from the folder that was just named

_VIEWS = ("overlay", "heatmap", "compare", "show3D")


def main() -> int:
    """Open the window; run until it is closed, or until its picture is drawn."""
    arguments = _parser().parse_args()
    application = bootstrap.start()
    application.set_testing_enabled(False)
    dialogs.interactive = arguments.picture is None

    import slicer
    from host import user
    from host.application.main_window import qSlicerMainWindow

    manager = application.moduleManager()
    manager.load_folder(ROOT / "COVIDSelfSeg")
    application.startupCompleted.emit()
    window = qSlicerMainWindow(manager, application.layoutManager().viewport())
    window.resize(*arguments.size)
    window.show()
    slicer.util.selectModule("COVIDSelfSeg")
    panel = slicer.modules.covidselfseg.widgetRepresentation().self()
    if arguments.scan is not None:
        node = slicer.util.loadVolume(str(arguments.scan))
        slicer.util.setSliceViewerLayers(background=node, fit=True)
    if arguments.segment:
        user.wait_until(lambda: panel.ui.segmentButton.enabled, seconds=120)
        user.press(panel.ui.segmentButton)
        user.wait_until(lambda: not panel.logic.isRunning, seconds=1800)
    if arguments.picture is None:
        return application.exec()
    user.wait_until(lambda: "Looking" not in panel.ui.setupSummaryLabel.text, seconds=120)
    if arguments.segment:
        user.press(getattr(panel.ui, f"{arguments.show}Button"))
    user.let_run(0.3)
    slicer.util.forceRenderAllViews()
    user.let_run(0.2)
    saved = window.grab().save(str(arguments.picture))
    panel.cleanup()
    return 0 if saved else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make app", description=__doc__.splitlines()[0])
    parser.add_argument("--scan", type=Path, metavar="FILE", help="a NIfTI or NRRD file to load")
    parser.add_argument("--segment", action="store_true", help="press Segment infection, and wait")
    parser.add_argument("--show", choices=_VIEWS, default="overlay", help="what the picture shows")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="save a picture of the window and leave")
    parser.add_argument("--size", nargs=2, type=int, default=(1400, 900), metavar=("WIDTH", "HEIGHT"))
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
