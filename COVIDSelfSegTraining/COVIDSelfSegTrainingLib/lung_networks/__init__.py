"""Training of the two networks for dense lung."""
