"""The body of a phantom: a chest described by smooth depth fields.

A depth field says how many millimetres a point lies inside an organ (negative outside), roughly. Fields are
evaluated on a coarse grid; interpolated and cut at zero they give smooth borders at any resolution.
Coordinates are in mm: z up from the lowest point of the lungs, y to the back, x to the patient's left,
the spine near x = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..array_types import FloatArray
from ..perlin import perlin

Axes = tuple[FloatArray, FloatArray, FloatArray]
"""Coordinates along z, y and x in mm."""
Point = tuple[float, float, float]

NEVER = np.float32(-99.0)


@dataclass(frozen=True)
class Anatomy:
    """Measures of one patient, in mm and HU, drawn once from a seed.

    Attributes:
        height: from the lowest lung tip to the apex.
        half_width: of the thoracic cavity at its widest.
        half_depth: of the thoracic cavity, front to back.
        wall: thickness of muscle and bone around the cavity.
        fat: thickness of the fat under the skin.
        domes: rise of the right and left diaphragm dome.
        heart: centre (z, y, x).
        heart_size: semi-axes (z, y, x).
        carina: where the trachea divides (z, y, x).
        hila: where vessels enter the right and the left lung.
        rib_step: distance between ribs.
        lung_hu: parenchyma at mid height.
        gravity_hu: how much denser the lung is at the back than at the front.
        atelectasis_hu: extra density of the dependent subpleural rim.
        texture_hu: amplitude of the parenchymal texture.
        blood_hu: of heart and large vessels; above 100 with contrast agent.
        stomach_gas: semi-axis of the gas bubble under the left dome, 0 for none.
        noise_phase: offsets of the noise that makes every border irregular.
    """

    height: float
    half_width: float
    half_depth: float
    wall: float
    fat: float
    domes: tuple[float, float]
    heart: Point
    heart_size: Point
    carina: Point
    hila: tuple[Point, Point]
    rib_step: float
    lung_hu: float
    gravity_hu: float
    atelectasis_hu: float
    texture_hu: float
    blood_hu: float
    stomach_gas: float
    noise_phase: tuple[Point, Point]


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw a patient."""
    height = rng.uniform(215, 285)
    half_width = rng.uniform(122, 150)
    half_depth = half_width * rng.uniform(0.66, 0.8)
    middle = 0.52 * height
    heart_size = (rng.uniform(48, 62), rng.uniform(40, 52), rng.uniform(48, 64))
    contrast = rng.random() < 0.25
    return Anatomy(
        height=height,
        half_width=half_width,
        half_depth=half_depth,
        wall=rng.uniform(18, 26),
        fat=rng.uniform(6, 26),
        domes=(rng.uniform(55, 85), rng.uniform(40, 70)),
        heart=(0.27 * height, -0.28 * half_depth, rng.uniform(14, 30)),
        heart_size=heart_size,
        carina=(0.64 * height, rng.uniform(2, 12), rng.uniform(-4, 2)),
        hila=(
            (middle, rng.uniform(4, 16), -rng.uniform(34, 42)),
            (middle + 8, rng.uniform(4, 16), rng.uniform(36, 44)),
        ),
        rib_step=rng.uniform(22, 27),
        lung_hu=rng.uniform(-890, -800),
        gravity_hu=rng.uniform(10, 90),
        atelectasis_hu=rng.choice([0.0, rng.uniform(60, 220)], p=[0.6, 0.4]),
        texture_hu=rng.uniform(15, 40),
        blood_hu=rng.uniform(130, 320) if contrast else rng.uniform(35, 55),
        stomach_gas=rng.choice([0.0, rng.uniform(15, 38)]),
        noise_phase=(_phase(rng), _phase(rng)),
    )


@dataclass(frozen=True)
class Body:
    """Depth fields of one patient on a coarse grid, (z, y, x) float32 in mm, positive inside."""

    skin: FloatArray
    muscle: FloatArray
    right: FloatArray
    left: FloatArray
    blood: FloatArray
    bone: FloatArray
    airway: FloatArray
    gas: FloatArray
    fissure: FloatArray
    table: FloatArray

    @property
    def lungs(self) -> FloatArray:
        """Depth in either lung."""
        return np.maximum(self.right, self.left)


def body(anatomy: Anatomy, axes: Axes, rough: FloatArray) -> Body:
    """Evaluate all depth fields.

    Args:
        anatomy: the patient.
        axes: coordinates along z, y and x in mm.
        rough: (z, y, x) smooth noise of about -1 .. 1 that moves borders by some millimetres.
    """
    z, y, x = axes[0][:, None, None], axes[1][:, None], axes[2]
    cavity = _cavity(anatomy, z, y, x) + 2.5 * rough
    skin = _skin(anatomy, z, y, x) + 4 * rough
    spine, bone = _spine_and_ribs(anatomy, z, y, x, cavity)
    blood = _heart_and_vessels(anatomy, z, y, x) + 2 * rough
    middle = np.maximum(_mediastinum(anatomy, z, y, x), spine + 4) + 2 * rough
    middle = np.maximum(middle, blood + 4)
    airway = _airway(anatomy, z, y, x)
    not_lung = np.maximum(middle, airway + 3.0)
    sides = []
    for sign, dome in zip((-1, 1), anatomy.domes, strict=True):
        floor = _above_diaphragm(anatomy, (z, y, x), sign, dome) + 3 * rough
        side = np.minimum(cavity, sign * x - 2)
        sides.append(np.minimum(np.minimum(side, floor), -not_lung).astype(np.float32))
    gas = np.full_like(cavity, NEVER)
    if anatomy.stomach_gas:
        radius = anatomy.stomach_gas
        top = _dome_top(anatomy, anatomy.domes[1])
        gas = _ball(z - (top - radius - 14), y + 20, x - 62, (radius, radius, 1.2 * radius))
        gas = np.minimum(gas, -(sides[1] + 4))
    return Body(
        skin=skin.astype(np.float32),
        muscle=np.minimum(skin - anatomy.fat, cavity + anatomy.wall).astype(np.float32),
        right=sides[0],
        left=sides[1],
        blood=blood.astype(np.float32),
        bone=np.maximum(bone, spine).astype(np.float32),
        airway=airway.astype(np.float32),
        gas=gas.astype(np.float32),
        fissure=_fissures(anatomy, z, y, x, rough),
        table=_table(anatomy, z, y, x),
    )


def smooth_noise(axes: Axes, cell_mm: float, phase: Point, octaves: int) -> FloatArray:
    """Perlin noise of about -1 .. 1 on a grid in mm."""
    places = [
        torch.from_numpy(axis / np.float32(cell_mm) + np.float32(offset))[None]
        for axis, offset in zip(axes, phase, strict=True)
    ]
    noise: FloatArray = (1.6 * perlin(places, octaves=octaves)[0]).numpy()
    return noise


def _phase(rng: np.random.Generator) -> Point:
    a, b, c = rng.uniform(0, 200, 3)
    return float(a), float(b), float(c)


def _ball(z: FloatArray, y: FloatArray, x: FloatArray, semi_axes: Point) -> FloatArray:
    """Depth in an ellipsoid at the origin of the given offsets."""
    radius = np.sqrt((z / semi_axes[0]) ** 2 + (y / semi_axes[1]) ** 2 + (x / semi_axes[2]) ** 2)
    return (1 - radius) * min(semi_axes)


def _tube(places: Axes, start: Point, end: Point, radius: float) -> FloatArray:
    """Depth in a straight tube with round ends."""
    z, y, x = places
    axis = np.subtract(end, start)
    squared = float(axis @ axis)
    along = (axis[0] * (z - start[0]) + axis[1] * (y - start[1]) + axis[2] * (x - start[2])) / squared
    along = np.clip(along, 0, 1)
    off = [place - (start[number] + along * axis[number]) for number, place in enumerate(places)]
    return radius - np.sqrt(off[0] ** 2 + off[1] ** 2 + off[2] ** 2)


def _cavity(anatomy: Anatomy, z: FloatArray, y: FloatArray, x: FloatArray) -> FloatArray:
    """Depth in the thoracic cavity, which narrows to the apex as a dome."""
    up = np.clip((z / anatomy.height - 0.2) / 0.82, -0.4, 0.999)
    above, below = np.maximum(up, 0), np.minimum(up, 0)
    profile = np.sqrt(1 - above**2.6) - 0.25 * below**2
    wide, deep = anatomy.half_width * profile, anatomy.half_depth * (0.15 + 0.85 * profile)
    back = y - 0.08 * anatomy.half_depth * (1 - profile)
    radius = ((np.abs(x) / wide) ** 2.4 + (np.abs(back) / deep) ** 2.4) ** (1 / 2.4)
    depth = np.minimum((1 - radius) * np.minimum(wide, deep), anatomy.height - z)
    return depth.astype(np.float32)


def _skin(anatomy: Anatomy, z: FloatArray, y: FloatArray, x: FloatArray) -> FloatArray:
    shoulders = 1 + 0.18 / (1 + np.exp(-(z - 0.85 * anatomy.height) / 18))
    around = anatomy.wall + anatomy.fat + 6
    wide = (anatomy.half_width + around) * shoulders
    deep = anatomy.half_depth + around
    radius = ((np.abs(x) / wide) ** 2.5 + (np.abs(y) / deep) ** 2.5) ** (1 / 2.5)
    return ((1 - radius) * deep).astype(np.float32)


def _spine_and_ribs(
    anatomy: Anatomy, z: FloatArray, y: FloatArray, x: FloatArray, cavity: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Depth in the vertebrae (with discs), and in ribs, sternum and vertebrae."""
    place = 0.78 * anatomy.half_depth
    vertebra = (1 - np.sqrt((x / 21) ** 2 + ((y - place) / 17) ** 2)) * 17
    process = np.minimum(6 - np.abs(x), 22 - np.abs(y - place - 34))
    spine = np.maximum(vertebra, process) + 0 * z
    disc = np.abs((z / anatomy.rib_step) % 1 - 0.5) * anatomy.rib_step
    bones = np.where(vertebra > -3, np.minimum(vertebra, disc - 2.5), process)
    slope = z - 0.38 * y
    to_rib = np.abs((slope / anatomy.rib_step) % 1 - 0.5) * anatomy.rib_step
    rib = 4.6 - np.sqrt((cavity + 8.5) ** 2 + (to_rib / 1.5) ** 2)
    rib = np.where((np.abs(x) > 16) & (z < 1.03 * anatomy.height), rib, NEVER)
    front = -(anatomy.half_depth + 9)
    sternum = np.minimum(np.minimum(18 - np.abs(x), 6 - np.abs(y - front)), z - 0.3 * anatomy.height)
    sternum = np.minimum(sternum, 0.86 * anatomy.height - z)
    return spine, np.maximum(np.maximum(bones, rib), sternum)


def _mediastinum(anatomy: Anatomy, z: FloatArray, y: FloatArray, x: FloatArray) -> FloatArray:
    """The tissue between the lungs: thin in front, wide around trachea and hila, wide below at the spine."""
    half_depth = anatomy.half_depth
    width = 5 + 21 / (1 + np.exp(-(y + 0.35 * half_depth) / 9)) + 8 * np.exp(-(((y - half_depth) / 40) ** 2))
    width = width * (1 + 0.25 * np.exp(-(((z - anatomy.hila[0][0]) / 30) ** 2)))
    slab = width - np.abs(x - 3)
    hila = [_ball(z - at[0], y - at[1], x - at[2] * 0.85, (20, 15, 13)) for at in anatomy.hila]
    return np.maximum(np.maximum(slab, hila[0]), hila[1])


def _heart_and_vessels(anatomy: Anatomy, z: FloatArray, y: FloatArray, x: FloatArray) -> FloatArray:
    """Heart, aorta with its arch, and the main pulmonary arteries up to the hila."""
    at = anatomy.heart
    heart = _ball(z - at[0], y - at[1], x - at[2], anatomy.heart_size)
    arch = 0.72 * anatomy.height
    back = 0.5 * anatomy.half_depth
    parts = [
        heart,
        _tube((z, y, x), (at[0], -20.0, 2.0), (arch - 14, -14.0, -10.0), 15.0),
        _tube((z, y, x), (arch - 14, -14.0, -10.0), (arch, 8.0, 12.0), 13.0),
        _tube((z, y, x), (arch, 8.0, 12.0), (arch - 12, back - 4, 22.0), 12.0),
        _tube((z, y, x), (arch - 12, back - 4, 22.0), (-120.0, back + 8, 14.0), 11.5),
        _tube((z, y, x), (anatomy.hila[0][0] + 6, -10.0, 8.0), anatomy.hila[0], 9.0),
        _tube((z, y, x), (anatomy.hila[0][0] + 6, -10.0, 8.0), anatomy.hila[1], 9.0),
        _tube((z, y, x), (at[0], -16.0, -26.0), (anatomy.height + 40, -10.0, -24.0), 8.5),
    ]
    return np.maximum.reduce(parts)


def _airway(anatomy: Anatomy, z: FloatArray, y: FloatArray, x: FloatArray) -> FloatArray:
    """Depth in the lumen of trachea and main bronchi."""
    carina = anatomy.carina
    parts = [_tube((z, y, x), carina, (anatomy.height + 120, carina[1] - 14, carina[2]), 8.0)]
    for hilum in anatomy.hila:
        end = (hilum[0] + 10, hilum[1] + 4, 0.85 * hilum[2])
        parts.append(_tube((z, y, x), carina, end, 5.6))
    return np.maximum.reduce(parts)


def _dome_top(anatomy: Anatomy, dome: float) -> float:
    return 0.02 * anatomy.height + dome


def _above_diaphragm(anatomy: Anatomy, places: Axes, side: int, dome: float) -> FloatArray:
    """Height above the diaphragm of one side: a dome that sinks towards the chest wall."""
    z, y, x = places
    off = (x - side * 0.48 * anatomy.half_width) / (0.62 * anatomy.half_width)
    back = (y + 0.05 * anatomy.half_depth) / (0.95 * anatomy.half_depth)
    height = np.maximum(1 - off**2 - back**2, 0) ** 0.7
    # In front the lung ends higher than at the back.
    front = 0.22 * np.maximum(anatomy.half_depth * 0.3 - y, 0)
    return (z - np.maximum(_dome_top(anatomy, dome) * height, front)) * 0.7


def _fissures(anatomy: Anatomy, z: FloatArray, y: FloatArray, x: FloatArray, rough: FloatArray) -> FloatArray:
    """Distance from the oblique fissures (and the horizontal one on the right), negative, 0 on them."""
    oblique = (z - 0.42 * anatomy.height) * 0.72 - 0.69 * (y + 5) + 6 * rough
    horizontal = np.where(x < 0, z - 0.5 * anatomy.height + 0.05 * y + 5 * rough, 99.0)
    horizontal = np.where(oblique < 0, 99.0, horizontal)
    return -np.minimum(np.abs(oblique), np.abs(horizontal)).astype(np.float32)


def _table(anatomy: Anatomy, z: FloatArray, y: FloatArray, x: FloatArray) -> FloatArray:
    top = anatomy.half_depth + anatomy.wall + anatomy.fat + 12 - (x / 60) ** 2
    return (np.minimum(4 - np.abs(y - top - 4), 220 - np.abs(x)) + 0 * z).astype(np.float32)
