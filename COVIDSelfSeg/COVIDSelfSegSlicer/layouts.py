"""Our own view layout: CT, pseudo-healthy and difference side by side, moved together."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

COMPARE_ID = 5177
"""Any number that is neither Slicer's nor another extension's."""
CT_VIEW, HEALTHY_VIEW, DIFFERENCE_VIEW = "COVID-CT", "COVID-Healthy", "COVID-Difference"

_VIEW = """<item><view class="vtkMRMLSliceNode" singletontag="{tag}">
<property name="orientation" action="default">Axial</property>
<property name="viewlabel" action="default">{label}</property>
<property name="viewcolor" action="default">{color}</property>
</view></item>"""


def showCompare() -> None:
    """Switch to the layout, and tell Slicer of it first if it does not know it."""
    layoutManager = slicer.app.layoutManager()
    layoutNode = layoutManager.layoutLogic().GetLayoutNode()
    if not layoutNode.IsLayoutDescription(COMPARE_ID):
        layoutNode.AddLayoutDescription(COMPARE_ID, _description())
    layoutManager.setLayout(COMPARE_ID)
    for name in (CT_VIEW, HEALTHY_VIEW, DIFFERENCE_VIEW):
        composite = layoutManager.sliceWidget(name).mrmlSliceCompositeNode()
        composite.SetLinkedControl(True)
        composite.SetHotLinkedControl(True)


def isCompare() -> bool:
    """Whether the three views are shown."""
    return slicer.app.layoutManager().layout == COMPARE_ID


def showConventional() -> None:
    """Leave our own layout and any that shows no slices for Slicer's four views."""
    layoutManager = slicer.app.layoutManager()
    shown = layoutManager.layout
    withoutSlices = slicer.vtkMRMLLayoutNode.SlicerLayoutOneUp3DView
    if shown in (COMPARE_ID, withoutSlices):
        layoutManager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)


def showOnly3D() -> None:
    """One large 3D view."""
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUp3DView)


def sliceCompositeNodes() -> dict:
    """Composite nodes of the slice views that are shown, by the name of the view."""
    layoutManager = slicer.app.layoutManager()
    return {
        name: layoutManager.sliceWidget(name).mrmlSliceCompositeNode()
        for name in layoutManager.sliceViewNames()
        if layoutManager.sliceWidget(name) is not None
    }


def _description() -> str:
    views = (
        (CT_VIEW, _("CT"), "#F34A33"),
        (HEALTHY_VIEW, _("healthy"), "#6EB04B"),
        (DIFFERENCE_VIEW, _("difference"), "#EDD54C"),
    )
    items = "".join(_VIEW.format(tag=tag, label=label, color=color) for tag, label, color in views)
    return f'<layout type="horizontal" split="true">{items}</layout>'
