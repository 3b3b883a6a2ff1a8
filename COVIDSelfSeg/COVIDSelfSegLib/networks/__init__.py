"""Architectures only: no losses, no loading, no preprocessing. Tensors are (batch, channel, ...)."""
