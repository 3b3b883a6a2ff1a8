"""Lung masks: the classical method and what it asks, the networks for dense lung, and lungmask's R231."""
