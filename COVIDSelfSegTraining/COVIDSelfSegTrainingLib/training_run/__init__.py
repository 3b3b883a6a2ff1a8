"""What goes on around the losses of a training: checkpoints, resuming, collapse, curves, several GPUs."""
