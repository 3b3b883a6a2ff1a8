"""A small scripted module as extensions have it, for the host's own tests."""

import logging

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class Sample(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Sample")
        self.parent.categories = ["Testing"]
        self.parent.contributors = ["The host's tests"]
        self.parent.helpText = _("Counts voxels above a threshold.")
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="Sample",
        sampleName="Zeros",
        uris=[],
        fileNames=[],
        customDownloader=lambda _source: makeZeros(),
    )


def makeZeros():
    import numpy as np

    return slicer.util.addVolumeFromArray(np.zeros((4, 5, 6)), name="Zeros")


class SampleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.calls = []
        self.cleaned = 0
        self._parameterNode = None
        self._updating = False

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/Sample.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = SampleLogic()
        self.parameterEditWidgets = [
            (self.ui.inputSelector, "Input"),
            (self.ui.thresholdSlider, "Threshold"),
            (self.ui.invertCheckBox, "Invert"),
        ]
        slicer.util.addParameterEditWidgetConnections(
            self.parameterEditWidgets, self.updateParameterNodeFromGUI
        )
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)

    def enter(self):
        self.calls.append("enter")
        self.setParameterNode(self.logic.getParameterNode())

    def exit(self):
        self.calls.append("exit")
        self.setParameterNode(None)

    def cleanup(self):
        self.cleaned += 1
        self.removeObservers()

    def onSceneStartClose(self, caller, event):
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, node):
        if self._parameterNode is not None:
            self.removeObserver(self._parameterNode, "ModifiedEvent", self.updateGUIFromParameterNode)
        self._parameterNode = node
        if node is not None:
            self.addObserver(node, "ModifiedEvent", self.updateGUIFromParameterNode)
            self.updateGUIFromParameterNode()

    def updateGUIFromParameterNode(self, caller=None, event=None):
        if self._parameterNode is None or self._updating:
            return
        self._updating = True
        slicer.util.updateParameterEditWidgetsFromNode(self.parameterEditWidgets, self._parameterNode)
        self.ui.applyButton.enabled = self.ui.inputSelector.currentNode() is not None
        self.ui.applyButton.toolTip = "" if self.ui.applyButton.enabled else _("Choose a volume first.")
        self._updating = False

    def updateParameterNodeFromGUI(self, caller=None, event=None):
        if self._parameterNode is None or self._updating:
            return
        with slicer.util.NodeModify(self._parameterNode):
            slicer.util.updateNodeFromParameterEditWidgets(self.parameterEditWidgets, self._parameterNode)

    def onApplyButton(self):
        volume = self.ui.inputSelector.currentNode()
        count = self.logic.count(volume, self.ui.thresholdSlider.value, self.ui.invertCheckBox.checked)
        self.ui.resultLabel.text = _("{count} voxels").format(count=count)
        self.ui.progressBar.value = 100


class SampleLogic(ScriptedLoadableModuleLogic):
    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)

    def count(self, volumeNode, threshold, invert=False):
        array = slicer.util.arrayFromVolume(volumeNode)
        logging.info("counting")
        return int(((array < threshold) if invert else (array >= threshold)).sum())


class SampleTest(ScriptedLoadableModuleTest):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.assertEqual(SampleLogic().count(makeZeros(), 0.5), 0)
