"""Layout descriptions: the XML in which a layout node says how views are arranged."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree as ET

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QSplitter, QTabWidget, QWidget

ViewOf = Callable[[str, str], QWidget]


def arrange(description: str, view_of: ViewOf) -> QWidget:
    """The widget that a layout description describes.

    Args:
        description: XML with ``layout``, ``item`` and ``view`` elements.
        view_of: gives the widget of a view by its node class and singleton tag.

    Raises:
        ValueError: an element or a layout type that Slicer does not know.
    """
    return _widget(ET.fromstring(description), view_of)  # noqa: S314 - written by the module under test


def _widget(element: ET.Element, view_of: ViewOf) -> QWidget:
    if element.tag == "view":
        return view_of(element.get("class", ""), element.get("singletontag", ""))
    if element.tag != "layout":
        raise ValueError(f"unknown element <{element.tag}> in a layout description")
    items = [(item, _widget(item[0], view_of)) for item in element.findall("item")]
    kind = element.get("type", "horizontal")
    if kind in {"horizontal", "vertical"}:
        return _splitter(kind, items)
    if kind == "grid":
        return _grid(items)
    if kind == "tab":
        return _tabs(items)
    raise ValueError(f"unknown layout type '{kind}'")


def _splitter(kind: str, items: list[tuple[ET.Element, QWidget]]) -> QSplitter:
    splitter = QSplitter(Qt.Orientation.Horizontal if kind == "horizontal" else Qt.Orientation.Vertical)
    splitter.setChildrenCollapsible(False)
    shares = [int(item.get("splitSize", "1")) for item, _ in items]
    for index, (_, widget) in enumerate(items):
        splitter.addWidget(widget)
        splitter.setStretchFactor(index, shares[index])
        widget.setVisible(True)
    splitter.setSizes([1000 * share for share in shares])  # else the sizes from before would set the shares
    return splitter


def _grid(items: list[tuple[ET.Element, QWidget]]) -> QWidget:
    container = QWidget()
    layout = QGridLayout(container)
    layout.setContentsMargins(0, 0, 0, 0)
    for item, widget in items:
        numbers = [int(item.get(name, default)) for name, default in _GRID_ATTRIBUTES]
        layout.addWidget(widget, *numbers)
        widget.setVisible(True)
    return container


_GRID_ATTRIBUTES = (("row", "0"), ("column", "0"), ("rowspan", "1"), ("colspan", "1"))


def _tabs(items: list[tuple[ET.Element, QWidget]]) -> QTabWidget:
    tabs = QTabWidget()
    for item, widget in items:
        tabs.addTab(widget, item.get("name", ""))
    return tabs
