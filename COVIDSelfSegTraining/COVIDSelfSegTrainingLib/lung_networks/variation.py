"""Other patients, scanners and file formats, for the lung networks: chests moved and bent, greys changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from COVIDSelfSegLib.array_types import FloatArray
from torch.nn import functional

from ..pictures import equalised_hu
from .corruption import smooth_noise

_AIR_HU = -1000.0
_EQUALISED_SHARE = 0.4
"""Of the pictures."""
_BEND_MM, _BEND_SCALE_MM = 6.0, 28.0
"""Standard deviation of how far places are bent along each axis, and how smooth the bend is."""
_STAIN_HU, _STAIN_SCALE_MM = 40.0, 12.0
"""Largest standard deviation of what dense tissue gains or loses, and how smooth the stains are."""
_DENSE_HU = -100.0


@dataclass(frozen=True)
class View:
    """A chest or a window of it; arrays are float32 (z, y, x). Air that comes in from beyond it is known.

    Attributes:
        hu: HU.
        lungs: 0 or 1.
        unknown: 0 or 1, 1 where ``lungs`` says nothing.
    """

    hu: FloatArray
    lungs: FloatArray
    unknown: FloatArray


def moved(
    view: View, window: tuple[int, int, int], voxel_mm: tuple[float, ...], rng: np.random.Generator
) -> View:
    """Turn, stretch, bend and shift a chest into the window; beyond the scan there is air.

    Args:
        view: of the whole chest; of one slice, it stays in its plane.
        window: voxels of what comes out (z, y, x).
        voxel_mm: of both (z, y, x).
        rng: draws all that is random.
    """
    inside = np.argwhere(view.lungs > 0)
    low, high = (inside.min(0), inside.max(0)) if len(inside) else (np.zeros(3), np.array(view.hu.shape) - 1)
    centre = (low + high) / 2 + rng.uniform(-0.5, 0.5, 3) * np.array([20, 8, 8])
    scale = rng.uniform(0.85, 1.15) * rng.uniform([0.6, 0.92, 0.92], [1.1, 1.08, 1.08])
    angle, tilt = rng.normal(0, 0.08, 2)
    turn = np.array([[1, tilt, 0], [-tilt, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    matrix = turn / scale[:, None]  # from the window's voxels to the scan's
    grid = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in window), indexing="ij"), -1)
    places = grid @ matrix.T + centre
    bend = np.stack([smooth_noise(window, voxel_mm, _BEND_SCALE_MM, rng) for _ in range(3)], -1)
    places += bend * (_BEND_MM / np.array(voxel_mm))
    if len(view.hu) == 1:
        places[..., 0] = 0
    unit = 2 * places / np.maximum(np.array(view.hu.shape) - 1, 1) - 1
    sampler = torch.from_numpy(unit[..., ::-1].astype(np.float32).copy())[None]
    layers = torch.from_numpy(np.stack([view.hu - _AIR_HU, view.lungs, view.unknown]))[None]
    sampled = functional.grid_sample(layers, sampler, align_corners=True)[0].numpy()
    hu = sampled[0] + np.float32(_AIR_HU)
    lungs, unknown = (sampled[1:] > np.array([0.5, 0]).reshape(2, 1, 1, 1)).astype(np.float32)
    if rng.random() < 0.35 and lungs.any():  # a scan cropped to the lungs and a margin
        inside = np.argwhere(lungs > 0)
        margin = rng.integers(0, 5, (2, 3))
        low, high = inside.min(0) - margin[0], inside.max(0) + 1 + margin[1]
        outside = np.ones(window, bool)
        outside[tuple(slice(max(a, 0), b) for a, b in zip(low, high, strict=True))] = False
        hu[outside], lungs[outside], unknown[outside] = _AIR_HU, 0, 0
    return View(hu, lungs, unknown)


def stained(hu: FloatArray, voxel_mm: tuple[float, ...], rng: np.random.Generator) -> FloatArray:
    """HU (z, y, x) with dense tissue denser here and thinner there: no organ is known by its grey."""
    stains = np.float32(rng.uniform(0, _STAIN_HU)) * smooth_noise(hu.shape, voxel_mm, _STAIN_SCALE_MM, rng)
    dense = np.clip((hu - _DENSE_HU) / -_DENSE_HU, 0, 1)
    result: FloatArray = (hu + dense * stains).astype(np.float32)
    return result


def as_picture(hu: FloatArray, lungs: FloatArray, rng: np.random.Generator) -> FloatArray:
    """HU (z, y, x) of an 8-bit picture mapped to HU: stretched, shifted and clipped, or equalised."""
    if lungs.any() and rng.random() < _EQUALISED_SHARE:
        white, clip = rng.uniform(200, 2000), np.exp(rng.uniform(np.log(1.5), np.log(10)))
        slices = torch.from_numpy(hu)[:, None], torch.from_numpy(lungs)[:, None]
        levels = (torch.full((len(hu),), float(value)) for value in (white, clip))
        hu = equalised_hu(*slices, *levels)[:, 0].numpy()
    stretched = (hu + 850) * np.exp(rng.normal(0, 0.1)) - 850 + rng.normal(0, 40)
    low, high = rng.uniform(-1300, -950), rng.uniform(20, 300)
    picture: FloatArray = np.clip(stretched, low, high).astype(np.float32)
    return picture


def scanned(hu: FloatArray, lungs: FloatArray, rng: np.random.Generator) -> FloatArray:
    """HU (z, y, x) with noise and a calibration error; contrast that lifts what is not lung."""
    scanned = hu + np.float32(rng.normal(0, 12))
    scanned += rng.standard_normal(hu.shape).astype(np.float32) * np.float32(rng.uniform(0, 25))
    if rng.random() < 0.3:
        scanned += np.where((lungs == 0) & (hu > -50), np.float32(rng.uniform(0, 150)), np.float32(0))
    clipped: FloatArray = np.clip(scanned, -1024, 1500)
    return clipped
