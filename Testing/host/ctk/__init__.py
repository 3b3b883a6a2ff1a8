"""Widgets of the Common Toolkit (CTK), one class a file, with the interface of the real ones.

What the real classes do not declare as property, signal, slot or invokable is not declared here either: for
example ``ctkSliderWidget.setRange`` and ``ctkCollapsibleButton.setCollapsed`` are C++ only.
"""
