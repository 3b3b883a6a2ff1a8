"""Training of COVIDSelfSeg's models on unlabelled scans; see ``presets`` for what a training is."""
