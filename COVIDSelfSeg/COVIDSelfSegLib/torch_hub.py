"""Where torch keeps weights that were downloaded, known without importing torch."""

from __future__ import annotations

import os
from pathlib import Path

R231_FILE = "unet_r231-d5d2fc3d.pth"
"""Published weights of lungmask's R231; the name ends in the beginning of their SHA-256."""


def checkpoint_file(name: str) -> Path:
    """Where ``torch.hub`` puts and looks for a file of weights."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = Path(os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))).expanduser()  # noqa: PTH118
    return home / "hub" / "checkpoints" / name
