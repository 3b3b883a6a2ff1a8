"""``slicer.util.mainWindow()``: a window with the panel of one module beside the views."""

from __future__ import annotations

import slicer
from PySide6.QtCore import QEvent, QObject, QSize, Qt, Signal, Slot
from PySide6.QtWidgets import QComboBox, QDockWidget, QFrame, QMainWindow, QScrollArea, QWidget

from host.application.module_manager import qSlicerModuleManager
from host.application.scripted_module import qSlicerScriptedLoadableModuleWidget
from host.properties import declared

_PANEL_WIDTH = 430


class qSlicerModuleSelectorToolBar(QComboBox):
    """Stands for the module selector: chooses whose panel is shown."""

    moduleSelected = Signal(str)

    def __init__(self, manager: qSlicerModuleManager, parent: QWidget) -> None:
        super().__init__(parent)
        self._manager = manager
        self.activated.connect(lambda row: self.selectModule(self.itemData(row)))

    @Slot(str)
    def selectModule(self, name: str) -> None:
        """Show a module's panel.

        Raises:
            LookupError: there is no scripted module of that name, or it has no panel.
        """
        module = self._manager.scripted_module(name)
        if module.widgetRepresentation() is None:
            raise LookupError(f"the module {name} has no panel")
        if self.findData(name) < 0:
            self.addItem(module.title, name)
        self.setCurrentIndex(self.findData(name))
        self.moduleSelected.emit(name)

    selectedModule = declared(str, lambda self: self.currentData() or "", selectModule)


class _ModulePanel(QScrollArea):
    """As in Slicer, never narrower than the panel that it holds needs to be."""

    def minimumSizeHint(self) -> QSize:
        needed = self.widget().minimumSizeHint().width() if self.widget() else 0
        return QSize(needed + self.verticalScrollBar().sizeHint().width(), super().minimumSizeHint().height())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.Resize, QEvent.Type.LayoutRequest):
            self.updateGeometry()
        return super().eventFilter(watched, event)


class qSlicerMainWindow(QMainWindow):
    """Stands for the main window: module selector, panel, views and status bar."""

    def __init__(self, manager: qSlicerModuleManager, viewport: QWidget) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self.setWindowTitle("Test host for Slicer modules (not 3D Slicer)")
        self._manager = manager
        self._entered: qSlicerScriptedLoadableModuleWidget | None = None
        self._selector = qSlicerModuleSelectorToolBar(manager, self)
        self._panel = _ModulePanel()
        self._panel.setWidgetResizable(True)
        self._panel.setFrameShape(QFrame.Shape.NoFrame)
        dock = QDockWidget(self)
        dock.setObjectName("PanelDockWidget")
        dock.setTitleBarWidget(self._selector)
        dock.setWidget(self._panel)
        self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, dock)
        self.resizeDocks([dock], [_PANEL_WIDTH], Qt.Orientation.Horizontal)
        self.setCentralWidget(viewport)
        viewport.show()  # it was hidden after a picture was taken of it
        self.statusBar()
        self._selector.moduleSelected.connect(self._show_panel)

    @Slot(result=QObject)
    def moduleSelector(self) -> qSlicerModuleSelectorToolBar:
        return self._selector

    @Slot(result=QObject)
    def pythonConsole(self) -> QWidget:
        return slicer.app.pythonConsole()

    def _show_panel(self, name: str) -> None:
        widget = self._manager.scripted_module(name).widgetRepresentation()
        if widget is None or widget is self._entered:
            return
        if self._entered is not None:
            self._entered.exit()
            self._panel.takeWidget()
        self._entered = widget
        self._panel.setWidget(widget)
        widget.enter()
