"""Widgets that say in their tooltip why they are disabled."""

from __future__ import annotations

import qt

_READY = "COVIDSelfSegReadyToolTip"


def enable(widget: qt.QWidget, reasonNot: str = "") -> None:
    """Enable a widget with its own tooltip, or disable it with the reason as tooltip.

    Args:
        widget: of the panel.
        reasonNot: why it cannot be used; empty enables it.
    """
    ready = widget.property(_READY)
    if ready is None:
        ready = widget.toolTip
        widget.setProperty(_READY, ready)
    widget.enabled = not reasonNot
    widget.toolTip = reasonNot or ready
