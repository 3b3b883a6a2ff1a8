"""Types of arrays that many modules name in their signatures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
"""float32; each function says its shape and unit."""
