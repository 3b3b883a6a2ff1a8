"""The stand-in classes by the names under which modules and .ui files ask for them."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from host.application.main_window import qSlicerMainWindow
from host.application.scripted_module import (
    qSlicerScriptedLoadableModule,
    qSlicerScriptedLoadableModuleWidget,
)
from host.ctk.ctkCheckablePushButton import ctkCheckablePushButton
from host.ctk.ctkCollapsibleButton import ctkCollapsibleButton
from host.ctk.ctkCollapsibleGroupBox import ctkCollapsibleGroupBox
from host.ctk.ctkColorPickerButton import ctkColorPickerButton
from host.ctk.ctkComboBox import ctkComboBox
from host.ctk.ctkDirectoryButton import ctkDirectoryButton
from host.ctk.ctkDoubleSlider import ctkDoubleSlider
from host.ctk.ctkDoubleSpinBox import ctkDoubleSpinBox
from host.ctk.ctkExpandButton import ctkExpandButton
from host.ctk.ctkFittedTextBrowser import ctkFittedTextBrowser
from host.ctk.ctkMenuButton import ctkMenuButton
from host.ctk.ctkMessageBox import ctkMessageBox
from host.ctk.ctkPathLineEdit import ctkPathLineEdit
from host.ctk.ctkPushButton import ctkPushButton
from host.ctk.ctkRangeWidget import ctkRangeWidget
from host.ctk.ctkSliderWidget import ctkSliderWidget
from host.qmrml.qMRMLColorTableComboBox import qMRMLColorTableComboBox
from host.qmrml.qMRMLNodeComboBox import qMRMLNodeComboBox
from host.qmrml.qMRMLPlotView import qMRMLPlotView
from host.qmrml.qMRMLSegmentSelectorWidget import qMRMLSegmentSelectorWidget
from host.qmrml.qMRMLSegmentsTableView import qMRMLSegmentsTableView
from host.qmrml.qMRMLTableView import qMRMLTableView
from host.qmrml.qMRMLVolumeThresholdWidget import qMRMLVolumeThresholdWidget
from host.qmrml.qMRMLWidget import qMRMLWidget
from host.ui_loader import QUiLoader
from host.views.qMRMLPlotWidget import qMRMLPlotWidget
from host.views.qMRMLSliceWidget import qMRMLSliceWidget
from host.views.qMRMLTableWidget import qMRMLTableWidget
from host.views.qMRMLThreeDView import qMRMLThreeDView
from host.views.qMRMLThreeDWidget import qMRMLThreeDWidget


def _by_name(*classes: type) -> dict[str, type]:
    return {stand_in.__name__: stand_in for stand_in in classes}


_CTK_WIDGETS = _by_name(
    ctkCheckablePushButton,
    ctkCollapsibleButton,
    ctkCollapsibleGroupBox,
    ctkColorPickerButton,
    ctkComboBox,
    ctkDirectoryButton,
    ctkDoubleSlider,
    ctkDoubleSpinBox,
    ctkExpandButton,
    ctkFittedTextBrowser,
    ctkMenuButton,
    ctkPathLineEdit,
    ctkPushButton,
    ctkRangeWidget,
    ctkSliderWidget,
)
_QMRML_WIDGETS = _by_name(
    qMRMLColorTableComboBox,
    qMRMLNodeComboBox,
    qMRMLPlotView,
    qMRMLSegmentSelectorWidget,
    qMRMLSegmentsTableView,
    qMRMLTableView,
    qMRMLVolumeThresholdWidget,
    qMRMLWidget,
)

UI_CLASSES: dict[str, type[QWidget]] = _CTK_WIDGETS | _QMRML_WIDGETS
"""What a .ui file may use besides Qt's own classes."""

QT_CLASSES: dict[str, type] = _by_name(QUiLoader)
"""What ``qt`` has besides Qt's own classes."""

CTK_CLASSES: dict[str, type] = _CTK_WIDGETS | _by_name(ctkMessageBox)
"""The module ``ctk``."""

SLICER_CLASSES: dict[str, type] = _QMRML_WIDGETS | _by_name(
    qMRMLPlotWidget,
    qMRMLSliceWidget,
    qMRMLTableWidget,
    qMRMLThreeDView,
    qMRMLThreeDWidget,
    qSlicerMainWindow,
    qSlicerScriptedLoadableModule,
    qSlicerScriptedLoadableModuleWidget,
)
"""What the module ``slicer`` has besides VTK classes."""

QUiLoader.stand_ins = UI_CLASSES
