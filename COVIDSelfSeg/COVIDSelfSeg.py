"""COVIDSelfSeg: finds COVID-19 lesions in a chest CT without hand-drawn labels.

From Slicer's Python console::

    ct = slicer.util.loadVolume("scan.nii.gz")
    logic = slicer.modules.covidselfseg.widgetRepresentation().self().logic
    logic.segment(ct)

See :class:`COVIDSelfSegLogic` for what else it does.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 (Slicer 5.8 has Python 3.9)
    raise RuntimeError("COVIDSelfSeg needs 3D Slicer 5.10 or later, with Python 3.11 or later.")

import qt
import slicer
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.events import Failure
from COVIDSelfSegSlicer import (
    display,
    layouts,
    resultNodes,
    results,
    sampleData,
    scanExport,
    selfTestData,
    setup,
)
from COVIDSelfSegSlicer.background import giveWay
from COVIDSelfSegSlicer.enabling import enable
from COVIDSelfSegSlicer.findingsSection import FindingsSection
from COVIDSelfSegSlicer.lungSegments import LungSegments
from COVIDSelfSegSlicer.runFailures import asError
from COVIDSelfSegSlicer.runFiles import RunFiles
from COVIDSelfSegSlicer.runSection import RunSection
from COVIDSelfSegSlicer.segmentationRun import Listeners, Progress, SegmentationRun
from COVIDSelfSegSlicer.setupSection import SetupSection
from COVIDSelfSegSlicer.thresholdSection import STEP, ThresholdSection, mayOverwrite
from COVIDSelfSegSlicer.waiting import waitFor
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

POLL_MS = 50


#
# Module
#


class COVIDSelfSeg(ScriptedLoadableModule):
    """What Slicer shows of the module."""

    def __init__(self, parent: object) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("COVIDSelfSeg")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = [_("The COVIDSelfSeg developers")]
        self.parent.helpText = _(
            "Finds COVID-19 lesions in a chest CT; trained without hand-drawn labels. A 3D network paints "
            "the lung as it would look healthy; the difference is a heatmap in HU. A 2D network, trained on "
            "such differences, gives the lesion probability; a threshold gives the segmentation.<br>"
            "Load a CT, press <b>Segment infection</b>, move the threshold, look in 3D.<br>"
            "<b>For research use only. Not a medical device.</b> Nothing leaves this computer."
        )
        self.parent.acknowledgementText = _(
            "The method follows Shabani et al., Computers in Biology and Medicine 149 (2022), and its "
            "follow-up with TransUNet (Chen et al. 2021). Lung masks can come from lungmask (Hofmanninger et "
            "al. 2020)."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)
        slicer.app.connect("startupCompleted()", layouts.register)


#
# Sample data
#


def registerSampleData() -> None:
    """Offer a phantom in the Sample Data module: made on the spot, nothing is downloaded."""
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="COVIDSelfSeg",
        sampleName="COVIDSelfSegPhantom",
        thumbnailFileName=str(Path(__file__).parent / "Resources" / "Icons" / "COVIDSelfSegPhantom.png"),
        customDownloader=sampleData.offerPhantom,
        # Slicer compares the lengths of these, and takes no None for the first two.
        uris=[],
        fileNames=[],
    )


#
# Widget
#


class COVIDSelfSegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: connects widgets, sections and logic."""

    def __init__(self, parent: object = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = COVIDSelfSegLogic()
        self._parameterNode: slicer.vtkMRMLScriptedModuleNode | None = None
        self._tableNode: slicer.vtkMRMLTableNode | None = None
        self._shownID: str | None = None
        self._updating = False
        self._sceneChanged = False
        self._shortcuts: list[qt.QShortcut] = []

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/COVIDSelfSeg.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self._fillSelectors()
        self.lungSegments = LungSegments(self.ui)
        self.runSection = RunSection(self.ui)
        self.thresholdSection = ThresholdSection(self.ui, self.onThreshold)
        self.findingsSection = FindingsSection(self.ui)
        self.setupSection = SetupSection(self.ui, self.updateButtons)

        self.parameterEditWidgets = [
            (self.ui.ctSelector, "CT"),
            (self.ui.lungMaskSelector, "LungMask"),
            (self.ui.volumeRenderingCheckBox, "VolumeRendering"),
        ]
        slicer.util.addParameterEditWidgetConnections(
            self.parameterEditWidgets, self.updateParameterNodeFromGUI
        )
        self.ui.lungMaskSelector.connect("nodeAboutToBeRemoved(vtkMRMLNode*)", self.onLungMaskRemoved)
        self.ui.segmentButton.connect("clicked(bool)", self.onSegmentButton)
        self.ui.overlayButton.connect("clicked(bool)", lambda: self._show(display.OVERLAY))
        self.ui.heatmapButton.connect("clicked(bool)", lambda: self._show(display.HEATMAP))
        self.ui.compareButton.connect("clicked(bool)", lambda: self._show(display.COMPARE))
        self.ui.show3DButton.connect("clicked(bool)", lambda: self._show(display.THREE_D))
        self.ui.blinkButton.connect("clicked(bool)", self.onBlink)
        self.ui.volumeRenderingCheckBox.connect("clicked(bool)", self.onCloud)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeAddedEvent, self.onNodesChanged)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self.onNodesChanged)

        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self.onTimer)
        self._timer.start()
        self.initializeParameterNode()
        self.setupSection.refresh()

    def enter(self) -> None:
        self.initializeParameterNode()
        self._installShortcuts()

    def exit(self) -> None:
        self._removeShortcuts()
        self.thresholdSection.settle()

    def cleanup(self) -> None:
        self._timer.stop()
        self.setupSection.stop()
        self.logic.abandon()
        self._removeShortcuts()
        self.setParameterNode(None)
        self.removeObservers()

    def onReload(self) -> None:
        """Reload the helpers too, which Slicer's own reload does not know."""
        for name in list(sys.modules):
            if name.split(".")[0] in ("COVIDSelfSegSlicer", "COVIDSelfSegLib"):
                del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    # Scene and parameter node

    def initializeParameterNode(self) -> None:
        self.setParameterNode(self.logic.getParameterNode())
        self._chooseCT()

    def setParameterNode(self, node: slicer.vtkMRMLScriptedModuleNode | None) -> None:
        if self._parameterNode is not None:
            self.removeObserver(self._parameterNode, "ModifiedEvent", self.updateGUIFromParameterNode)
        self._parameterNode = node
        if node is not None:
            self.addObserver(node, "ModifiedEvent", self.updateGUIFromParameterNode)
        self.updateGUIFromParameterNode()

    def updateGUIFromParameterNode(self, caller: object = None, event: object = None) -> None:
        if self._updating:
            return
        self._updating = True
        if self._parameterNode is not None:
            slicer.util.updateParameterEditWidgetsFromNode(self.parameterEditWidgets, self._parameterNode)
        self._updating = False
        chosenID = self.ctNode.GetID() if self.ctNode is not None else None
        if chosenID != self._shownID:
            self._shownID = chosenID
            self.runSection.forgetError()
        self.lungSegments.show(self._lungMaskNode)
        self._observeTable(resultNodes.findNode(self.ctNode, resultNodes.TABLE))
        self.thresholdSection.showResults(self.ctNode)
        self.findingsSection.showResults(self.ctNode)
        self.updateButtons()

    def _observeTable(self, node: slicer.vtkMRMLTableNode | None) -> None:
        """Let the slider follow when a lesion is written otherwise than by it."""
        if node is self._tableNode:
            return
        if self._tableNode is not None:
            self.removeObserver(self._tableNode, "ModifiedEvent", self.onTableModified)
        self._tableNode = node
        if node is not None:
            self.addObserver(node, "ModifiedEvent", self.onTableModified)

    def onTableModified(self, caller: object, event: object) -> None:
        self.thresholdSection.follow()

    def updateParameterNodeFromGUI(self, caller: object = None, event: object = None) -> None:
        if self._parameterNode is None or self._updating:
            return
        before = self.ctNode
        with slicer.util.NodeModify(self._parameterNode):
            slicer.util.updateNodeFromParameterEditWidgets(self.parameterEditWidgets, self._parameterNode)
        # A scene that is opened chooses where none was chosen; without a main window there are no views.
        switched = None not in (before, self.ctNode) and before is not self.ctNode
        if switched and slicer.app.layoutManager() is not None:
            display.follow(self.ctNode)

    def onLungMaskRemoved(self, node: slicer.vtkMRMLNode) -> None:
        """Choose none instead: by itself the selector goes to the next segmentation, whatever that holds."""
        if node is self.ui.lungMaskSelector.currentNode():
            self.ui.lungMaskSelector.setCurrentNode(None)

    def onSceneStartClose(self, caller: object, event: object) -> None:
        self.thresholdSection.forget()
        self.logic.abandon()
        self.runSection.showEnded()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller: object, event: object) -> None:
        self.initializeParameterNode()

    def onNodesChanged(self, caller: object, event: object) -> None:
        # A node that is added gets its image and its references later, and many may come at once.
        if not self._sceneChanged:
            self._sceneChanged = True
            qt.QTimer.singleShot(0, self._followScene)

    def _followScene(self) -> None:
        self._sceneChanged = False
        self._chooseCT()
        self.updateGUIFromParameterNode()

    def _chooseCT(self) -> None:
        """Choose the first volume that could be a CT where none is chosen."""
        if self._parameterNode is None or self.ctNode is not None:
            return
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
            if self.logic.isReady(node)[0]:
                self._parameterNode.SetNodeReferenceID("CT", node.GetID())
                return

    @property
    def ctNode(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        """The chosen CT, or None."""
        return self._parameterNode.GetNodeReference("CT") if self._parameterNode is not None else None

    @property
    def _lungMaskNode(self) -> slicer.vtkMRMLNode | None:
        """The lung mask that the user gives, or None."""
        return self._parameterNode.GetNodeReference("LungMask") if self._parameterNode is not None else None

    # What can be pressed, and why not

    def updateButtons(self) -> None:
        problem = self.setupSection.problem or self.logic.isReady(self.ctNode)[1]
        self.runSection.showReady(problem, self._isConsoleRunning)
        ui = self.ui
        for widget, what in (
            (ui.overlayButton, display.OVERLAY),
            (ui.heatmapButton, display.HEATMAP),
            (ui.compareButton, display.COMPARE),
            (ui.show3DButton, display.THREE_D),
            (ui.blinkButton, display.BLINK),
            (ui.volumeRenderingCheckBox, display.CLOUD),
        ):
            enable(widget, display.whyNotShown(self.ctNode, what))
        noGPU = "" if self.setupSection.hasGPU else _("Set-up shows no GPU; the CPU is used.")
        enable(ui.deviceSelector, noGPU)
        noLungmask = _(
            "lungmask or its weights are missing or damaged (see Set-up); the built-in method is used."
        )
        enable(ui.lungSourceSelector, "" if self.setupSection.hasLungmask else noLungmask)
        enable(ui.modelSelector, "" if ui.modelSelector.count else self.setupSection.problem)

    # Running

    @property
    def _isConsoleRunning(self) -> bool:
        """Whether a run is going on that this panel did not start."""
        return self.logic.isRunning and not self.runSection.isRunning

    def onSegmentButton(self) -> None:
        if self._isConsoleRunning:  # since a moment ago; it is not the panel's to cancel
            self.updateButtons()
            return
        if self.logic.isRunning:
            self.runSection.showCancelling()
            self.logic.cancel()
            return
        listeners = Listeners(
            onProgress=self.runSection.showProgress,
            onLog=self.runSection.log,
            onFinished=self.onFinished,
            onFailed=self.onFailed,
            onCancelled=self.onCancelled,
        )
        self.runSection.showStarted()
        try:
            self.logic.start(
                self.ctNode,
                self._lungMaskNode,
                lungSegmentIDs=self.lungSegments.chosenIDs,
                model=self.ui.modelSelector.currentData,
                builtinLungs=self.ui.lungSourceSelector.currentData == "builtin",
                device=self._chosenDevice(),
                listeners=listeners,
            )
        except UserError as error:
            self.runSection.showError(error)
        finally:
            if not self.logic.isRunning:
                self._endRun()

    def onTimer(self) -> None:
        self.setupSection.poll()
        try:
            self.logic.poll()
        except Exception:  # of ours; it has ended the run
            self._endRun()
            raise
        if self._isConsoleRunning != self.runSection.isWaiting:
            self.updateButtons()
        self.thresholdSection.poll()
        if self.logic.hasThread:
            giveWay()

    def onFinished(self, files: RunFiles) -> None:
        self.thresholdSection.settle()
        ctNode = self.logic.runningCT
        assert ctNode is not None  # the run that has ended is one of a CT
        assert self._parameterNode is not None  # a scene that closes would have ended the run
        try:
            results.checkFit(ctNode, files)
            overwrite = mayOverwrite(ctNode, files)
            with slicer.util.tryWithErrorDisplay(_("The results could not be shown."), waitCursor=True):
                results.setResults(ctNode, files, overwriteEdits=overwrite)
        except UserError as error:
            self._showErrorOf(ctNode, error)
            return
        finally:
            self._endRun()
        # What is seen is always of the chosen CT, and another one may have been chosen meanwhile.
        self._parameterNode.SetNodeReferenceID("CT", ctNode.GetID())
        if not display.whyNotShown(ctNode, display.OVERLAY):
            display.showFirstTime(ctNode)

    def onFailed(self, failure: Failure) -> None:
        self._showErrorOf(self.logic.runningCT, failure)
        self._endRun()

    def onCancelled(self) -> None:
        self._endRun()

    def _showErrorOf(self, ctNode: slicer.vtkMRMLScalarVolumeNode, error: UserError | Failure) -> None:
        """Show an error of a run, and of which CT where another one was chosen meanwhile."""
        self.runSection.showError(error, "" if ctNode is self.ctNode else ctNode.GetName())

    def _endRun(self) -> None:
        self.runSection.showEnded()
        self.updateGUIFromParameterNode()

    # Threshold and display

    def onThreshold(self, ctNode: slicer.vtkMRMLScalarVolumeNode, threshold: float) -> None:
        overwrite = mayOverwrite(ctNode)
        with slicer.util.WaitCursor():
            results.writeLesion(ctNode, threshold, overwriteEdits=overwrite)

    def onBlink(self) -> None:
        display.blink(self.ctNode)

    def onCloud(self, shown: bool) -> None:
        if not display.whyNotShown(self.ctNode, display.CLOUD):
            display.showCloud(self.ctNode, visible=shown)

    def onHeatmapKey(self) -> None:
        self.thresholdSection.settle()
        if not display.whyNotShown(self.ctNode, display.HEATMAP):
            display.toggleHeatmap(self.ctNode)

    def _show(self, what: str) -> None:
        if display.whyNotShown(self.ctNode, what):
            return
        self.thresholdSection.settle()
        self.logic.show(self.ctNode, what, volumeRendering=self.ui.volumeRenderingCheckBox.checked)

    def _installShortcuts(self) -> None:
        if self._shortcuts or slicer.util.mainWindow() is None:
            return
        actions = {
            "[": lambda: self.thresholdSection.move(-STEP),
            "]": lambda: self.thresholdSection.move(STEP),
            "B": self.onBlink,
            "H": self.onHeatmapKey,
        }
        for key, action in actions.items():
            shortcut = qt.QShortcut(slicer.util.mainWindow())
            shortcut.setKey(qt.QKeySequence(key))
            shortcut.connect("activated()", action)
            self._shortcuts.append(shortcut)

    def _removeShortcuts(self) -> None:
        for shortcut in self._shortcuts:
            shortcut.disconnect("activated()")
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts = []

    # Selectors

    def _fillSelectors(self) -> None:
        for text, value in ((_("automatic"), "auto"), (_("GPU"), "cuda"), (_("CPU"), "cpu")):
            self.ui.deviceSelector.addItem(text, value)
        for text, value in ((_("lungmask if it is there"), "auto"), (_("the built-in method"), "builtin")):
            self.ui.lungSourceSelector.addItem(text, value)

    def _chosenDevice(self) -> str:
        """What the user chose, as long as there is a choice: a GPU that was chosen may be gone."""
        return self.ui.deviceSelector.currentData if self.setupSection.hasGPU else "auto"


#
# Logic
#


class COVIDSelfSegLogic(ScriptedLoadableModuleLogic):
    """Segments and shows, with or without a panel.

    Three lines in the Python console do the whole job::

        ct = slicer.util.loadVolume("scan.nii.gz")
        logic = slicer.modules.covidselfseg.widgetRepresentation().self().logic
        logic.segment(ct); logic.showLesions3D(ct)

    The results lie beside the CT in the subject hierarchy; ``resultNodes.findNode(ct, role)`` finds them.
    """

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self._run: SegmentationRun | None = None
        self.runningCT: slicer.vtkMRMLScalarVolumeNode | None = None

    @property
    def isRunning(self) -> bool:
        """Whether a run is going on."""
        return self._run is not None and self._run.isRunning

    @property
    def hasThread(self) -> bool:
        """Whether a thread of a run writes or reads files at the moment."""
        return self._run is not None and self._run.hasThread

    def isReady(self, ctNode: slicer.vtkMRMLScalarVolumeNode | None) -> tuple[bool, str]:
        """Whether a CT can be segmented, and the reason if not: ``(bool, str)``."""
        if ctNode is None:
            return False, _("Choose a CT first.")
        if not isinstance(ctNode, slicer.vtkMRMLScalarVolumeNode):  # in the console
            return False, _("What was chosen is no volume.")
        image = ctNode.GetImageData()
        if image is None or 0 in image.GetDimensions():
            return False, _("The chosen volume holds no image.")
        if image.GetNumberOfScalarComponents() != 1 or ctNode.IsA("vtkMRMLLabelMapVolumeNode"):
            return False, _("The chosen volume is not a CT: it must hold one value for each voxel.")
        if ctNode.GetAttribute(resultNodes.ROLE) is not None:
            return False, _("The chosen volume is a result of this module; choose the CT that it came from.")
        reason = scanExport.whyItCannotStay(ctNode)
        return not reason, reason

    def segment(
        self,
        ctNode: slicer.vtkMRMLScalarVolumeNode,
        lungMaskNode: slicer.vtkMRMLNode | None = None,
        *,
        lungSegmentIDs: Sequence[str] | None = None,
        model: str | Path | None = None,
        builtinLungs: bool = False,
        device: str = "auto",
        threshold: float | None = None,
        onProgress: Callable[[float, str], None] | None = None,
        overwriteEdits: bool = False,
    ) -> slicer.vtkMRMLSegmentationNode:
        """Segment a CT and wait for the result; the application stays alive meanwhile.

        Args:
            ctNode: a scalar volume in HU.
            lungMaskNode: a segmentation or a label map that tells where the lungs are.
            lungSegmentIDs: which of its segments are lungs; all by default.
            model: name or path of a model package; a relative path is seen from Slicer's current folder.
            builtinLungs: do not use lungmask even where it could be.
            device: ``auto``, ``cpu`` or ``cuda``.
            threshold: lesion probability 0 .. 1; the model's calibrated one by default.
            onProgress: called with the fraction done (0 .. 1) and a message.
            overwriteEdits: do not keep copies of segments that were edited by hand.

        Returns:
            The segmentation node with right lung, left lung and lesion.

        Raises:
            UserError: the CT was refused, or something is missing; it says what, why and what to do.
            RuntimeError: the run was cancelled from elsewhere, or Slicer was closed.
        """
        outcome = {}

        def keep(name: str) -> Callable[..., None]:
            return lambda value=None: outcome.update({name: value})

        def tell(progress: Progress) -> None:
            if onProgress is not None:
                onProgress(progress.fraction, progress.message)

        listeners = Listeners(tell, logging.debug, keep("files"), keep("failure"), keep("cancelled"))
        self.start(
            ctNode,
            lungMaskNode,
            lungSegmentIDs=lungSegmentIDs,
            model=model,
            builtinLungs=builtinLungs,
            device=device,
            threshold=threshold,
            listeners=listeners,
        )
        waitFor(lambda: self.isRunning, self.poll, self.abandon)
        if "failure" in outcome:
            raise asError(outcome["failure"])
        if "files" not in outcome:
            raise RuntimeError("The run was cancelled.")
        results.checkFit(ctNode, outcome["files"])
        results.setResults(ctNode, outcome["files"], overwriteEdits=overwriteEdits)
        return resultNodes.nodeOf(ctNode, resultNodes.SEGMENTATION)

    def start(
        self,
        ctNode: slicer.vtkMRMLScalarVolumeNode,
        lungMaskNode: slicer.vtkMRMLNode | None = None,
        *,
        listeners: Listeners,
        lungSegmentIDs: Sequence[str] | None = None,
        model: str | Path | None = None,
        builtinLungs: bool = False,
        device: str = "auto",
        threshold: float | None = None,
    ) -> None:
        """Start a run that :meth:`poll` moves on; ``listeners`` are told what comes of it.

        Raises:
            UserError: the CT, the mask, the threshold or Slicer's temporary folder cannot be used.
            RuntimeError: a run is going on.
        """
        if self.isRunning:
            raise RuntimeError("A run is already in progress.")
        ready, reason = self.isReady(ctNode)
        if not ready:
            raise UserError(
                reason, why=_("Nothing was started."), fix=_("Choose a chest CT in Hounsfield units.")
            )
        arguments = ["--device", device or "auto"]
        if model:
            # The worker starts in another folder, from which a relative path would lead elsewhere.
            isPath = str(model).endswith(".safetensors")
            arguments += ["--model", str(Path(model).absolute() if isPath else model)]
        if builtinLungs:
            arguments.append("--builtin-lungs")
        if threshold is not None:
            results.checkThreshold(threshold)
            arguments += ["--threshold", repr(float(threshold))]
        files = scanExport.scanFiles(ctNode, lungMaskNode, lungSegmentIDs)
        self._run = SegmentationRun(files, arguments, setup.workerPython(), listeners)
        self.runningCT = ctNode

    def poll(self) -> None:
        """Move a run on as far as can be without waiting."""
        self._act(SegmentationRun.poll)

    def cancel(self) -> None:
        """End the run; the scene stays as it was before."""
        self._act(SegmentationRun.cancel)

    def abandon(self) -> None:
        """End the run at once without telling anybody; for when the panel or the scene goes."""
        self._act(SegmentationRun.abandon)

    def _act(self, act: Callable[[SegmentationRun], None]) -> None:
        """Do something with the run, and let go of it and of its CT once it has ended."""
        run = self._run
        if run is None:
            return
        try:
            act(run)
        except Exception:
            run.abandon()  # it would meet the same error at every poll
            raise
        finally:
            if self._run is run and not run.isRunning:  # a listener may have started the next one
                self._run = self.runningCT = None

    def setThreshold(
        self, ctNode: slicer.vtkMRMLScalarVolumeNode, threshold: float, overwriteEdits: bool = False
    ) -> None:
        """Write the lesion segment anew at a threshold of 0 .. 1; no network runs."""
        results.writeLesion(ctNode, threshold, overwriteEdits=overwriteEdits)

    def show(self, ctNode: slicer.vtkMRMLScalarVolumeNode, what: str, volumeRendering: bool = False) -> None:
        """Show the results in one of the ways of :mod:`COVIDSelfSegSlicer.display`.

        Raises:
            UserError: there are no results, what this way needs of them was deleted, or there are no views.
        """
        problem = display.whyNotShown(ctNode, what)
        if problem:
            raise UserError(
                problem,
                why=_("What a run left is shown in Slicer's views."),
                fix=_("Segment the infection of this CT, in a Slicer with its main window."),
            )
        if what == display.HEATMAP:
            display.showHeatmap(ctNode)
        elif what == display.COMPARE:
            display.showCompare(ctNode)
        elif what == display.THREE_D:
            display.show3D(ctNode, volumeRendering)
        else:
            display.showOverlay(ctNode)

    def showOverlay(self, ctNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Lesions over the CT."""
        self.show(ctNode, display.OVERLAY)

    def showHeatmap(self, ctNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        """HU above expected healthy over the CT, with a color bar."""
        self.show(ctNode, display.HEATMAP)

    def showCompare(self, ctNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        """CT, pseudo-healthy and difference in three linked views."""
        self.show(ctNode, display.COMPARE)

    def showLesions3D(self, ctNode: slicer.vtkMRMLScalarVolumeNode, volumeRendering: bool = False) -> None:
        """Translucent lungs and red lesions in 3D."""
        self.show(ctNode, display.THREE_D, volumeRendering)


#
# Test
#


class COVIDSelfSegTest(ScriptedLoadableModuleTest):
    """Runs in a real Slicer, with or without PyTorch, a model or a main window."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        for test in (self.test_resultsAreShownAndMoved, self.test_phantomIsSegmented):
            self.setUp()
            test()

    def test_resultsAreShownAndMoved(self) -> None:
        """Nodes, segments, surfaces, threshold and displays; no worker is needed for them."""
        self.delayDisplay("Showing made-up results")
        ct, files = selfTestData.madeUpRun()
        logic = COVIDSelfSegLogic()
        ready, reason = logic.isReady(ct)
        self.assertTrue(ready, reason)
        results.setResults(ct, files)
        self._checkAndShow(logic, ct)

    def test_phantomIsSegmented(self) -> None:
        """The whole way: a phantom, the worker, its results."""
        problem = selfTestData.whatTheWorkerLacks()
        if problem:
            self.delayDisplay(f"Not segmenting a phantom: {problem}")
            return
        self.delayDisplay("Making a phantom")
        ct = sampleData.makePhantom()
        self.delayDisplay("Segmenting it")
        logic = COVIDSelfSegLogic()
        segmentation = logic.segment(ct, builtinLungs=True, device="cpu")
        self.assertEqual(segmentation.GetSegmentation().GetNumberOfSegments(), 3)
        self._checkAndShow(logic, ct)

    def _checkAndShow(self, logic: COVIDSelfSegLogic, ct: slicer.vtkMRMLScalarVolumeNode) -> None:
        curve = resultNodes.curveOf(ct)
        assert curve is not None
        self.assertGreater(curve.infected_ml(0.1), curve.infected_ml(0.9))
        logic.setThreshold(ct, 0.3)
        self.assertAlmostEqual(resultNodes.thresholdOf(ct), 0.3)
        if slicer.app.layoutManager() is not None:  # there is none without a main window
            for show in (logic.showOverlay, logic.showHeatmap, logic.showCompare, logic.showLesions3D):
                show(ct)
            layouts.showConventional()
        self.delayDisplay("Test passed")
