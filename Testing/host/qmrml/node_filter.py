"""Which nodes a selector offers."""

from __future__ import annotations

from dataclasses import dataclass, field

import slicer


@dataclass
class NodeFilter:
    """The filtering properties of qMRMLNodeComboBox.

    Attributes:
        node_types: class names; nothing is offered while there are none.
        show_children: also offer nodes of derived classes, except those of ``hidden_child_types``.
        show_hidden: also offer nodes that hide from editors.
        attributes: by class name, which attributes a node must have; a value of ``None`` accepts any value.
    """

    node_types: list[str] = field(default_factory=list)
    show_children: bool = True
    hidden_child_types: list[str] = field(default_factory=list)
    show_hidden: bool = False
    attributes: dict[str, dict[str, str | None]] = field(default_factory=dict)

    def accepts(self, node: slicer.vtkMRMLNode) -> bool:
        """Whether the selector offers the node now."""
        if node.GetHideFromEditors() and not self.show_hidden:
            return False
        return self.accepts_type(node) and self._accepts_attributes(node)

    def accepts_type(self, node: slicer.vtkMRMLNode) -> bool:
        """Whether the node is of a class that the selector offers."""
        if not self.show_children:
            return node.GetClassName() in self.node_types
        wanted = any(node.IsA(name) for name in self.node_types)
        return wanted and not any(node.IsA(name) for name in self.hidden_child_types)

    def _accepts_attributes(self, node: slicer.vtkMRMLNode) -> bool:
        for class_name, wanted in self.attributes.items():
            if not node.IsA(class_name):
                continue
            for name, value in wanted.items():
                found = node.GetAttribute(name)
                if found is None or (value is not None and found != value):
                    return False
        return True
