"""The layout manager and its views: real nodes, logics and displayable managers, rendered into memory."""
