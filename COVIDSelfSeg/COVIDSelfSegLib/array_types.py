"""Types of arrays that many modules name in their signatures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
"""float32; each function says its shape and unit."""

BoolArray = npt.NDArray[np.bool_]
"""A mask."""

LabelArray = npt.NDArray[np.uint8]
"""A label map; each function says what its numbers are."""
