"""What can be had without learning anything: the measure of whether the networks are worth it.

All take HU (z, y, x) and a lung mask on the same grid and give a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from COVIDSelfSegLib.array_types import BoolArray
from scipy import ndimage

HuArray = npt.NDArray[np.floating] | npt.NDArray[np.integer]

THRESHOLDS_HU = (-780, -760, -740, -720, -700, -680, -650, -600, -550, -500)
"""From which a best threshold is chosen, with the truth in view: an upper bound for any threshold."""
DIFFERENCES_HU = (50, 75, 100, 150, 200, 250, 300, 400)
"""Likewise for the generator's difference."""
_LEAST_PIXELS = 50
_STEPS = 100


def hu_threshold(hu: HuArray, lungs: BoolArray, level: float) -> BoolArray:
    """Everything in the lung that is denser than ``level``."""
    return (hu > level) & lungs


def threshold_without_vessels(
    hu: HuArray, lungs: BoolArray, pixel_mm: float, level: float = -720.0, *, vessels_hu: float = -50.0
) -> BoolArray:
    """Dense lung less its vessels and its rim, smoothed; see :func:`thresholds_without_vessels`."""
    levels = thresholds_without_vessels(hu, lungs, pixel_mm, (level,), vessels_hu=vessels_hu)
    return next(mask for _, mask in levels)


def thresholds_without_vessels(
    hu: HuArray,
    lungs: BoolArray,
    pixel_mm: float,
    levels: Sequence[float] = THRESHOLDS_HU,
    *,
    vessels_hu: float = -50.0,
) -> Iterator[tuple[float, BoolArray]]:
    """Dense lung less its vessels and its rim, smoothed: each level, and its mask.

    After a blur of 1 mm, bright structures thinner than 6 mm (white top-hat of 100 HU) and values from
    ``vessels_hu`` on count as vessels, and with these much of a consolidation; the outermost 3 mm of the
    lung, where tissue shines in, do not count; what is thinner than 3 mm goes.
    """

    def pixels(mm: float) -> int:
        return max(1, round(mm / pixel_mm))

    within = np.where(lungs, hu, -850).astype(np.float32)
    smooth = ndimage.gaussian_filter(within, (0, 1 / pixel_mm, 1 / pixel_mm))
    size = max(3, pixels(6) | 1)
    vessels = (ndimage.white_tophat(smooth, size=(1, size, size)) >= 100) | (hu >= vessels_hu)
    cross = ndimage.generate_binary_structure(2, 1)[None]
    searched = ndimage.binary_erosion(lungs, cross, iterations=pixels(3)) & ~vessels
    for level in levels:
        dense = hu_threshold(smooth, searched, level)
        yield level, ndimage.binary_opening(dense, cross, iterations=pixels(1.5))


def otsu_per_slice(hu: HuArray, lungs: BoolArray) -> BoolArray:
    """The denser of two classes in each slice's lung, parted where their variance is least (Otsu 1979)."""
    return _per_slice(hu, lungs, _otsu)


def mixture_per_slice(hu: HuArray, lungs: BoolArray) -> BoolArray:
    """The denser of two Gaussians fitted to each slice's lung (expectation maximisation)."""
    return _per_slice(hu, lungs, _mixture)


def _per_slice(
    hu: HuArray, lungs: BoolArray, level_of: Callable[[npt.NDArray[np.float64]], float]
) -> BoolArray:
    mask = np.zeros(lungs.shape, bool)
    for plane, (values, inside) in zip(mask, zip(hu, lungs, strict=True), strict=True):
        if inside.sum() >= _LEAST_PIXELS:
            plane[:] = inside & (values > level_of(values[inside].astype(np.float64)))
    return mask


def _otsu(values: npt.NDArray[np.float64]) -> float:
    counts, edges = np.histogram(values, bins=256)
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = len(values) - below
    sums = np.cumsum(counts * middles)
    gap = sums[:-1] / np.maximum(below, 1) - (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    return float(edges[1:-1][np.argmax(below * above * gap**2)])


def _mixture(values: npt.NDArray[np.float64]) -> float:
    """The lowest level above the thinner Gaussian's mean at which the denser one is likelier, or infinity."""
    means = np.percentile(values, (25, 95))
    spreads = np.full(2, max(values.std(), 1.0))
    weights = np.array([0.7, 0.3])
    for _ in range(_STEPS):
        likely = _likelihood(values, means, spreads, weights)
        share = likely / np.maximum(likely.sum(axis=0), 1e-300)
        mass = np.maximum(share.sum(axis=1), 1e-6)
        before = means
        means = (share @ values) / mass
        squares = share * (values[None] - means[:, None]) ** 2
        spreads = np.maximum(np.sqrt(squares.sum(axis=1) / mass), 1.0)
        weights = mass / len(values)
        if np.abs(means - before).max() < 0.1:
            break
    dense, thin = (1, 0) if means[1] >= means[0] else (0, 1)
    # Where there is one tissue alone, that may be beyond both means.
    levels = np.linspace(means[thin], values.max(), 1000)
    likely = _likelihood(levels, means, spreads, weights)
    is_dense = likely[dense] > likely[thin]
    return float(levels[np.argmax(is_dense)]) if is_dense.any() else float("inf")


def _likelihood(
    values: npt.NDArray[np.float64],
    means: npt.NDArray[np.float64],
    spreads: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Of each value under both Gaussians (2, n), without the constant they share."""
    off = (values[None] - means[:, None]) / spreads[:, None]
    return weights[:, None] / spreads[:, None] * np.exp(-0.5 * off**2)
