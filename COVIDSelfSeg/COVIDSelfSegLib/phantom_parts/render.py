"""From a phantom's anatomy to its slices: materials, vessels, lesions, blur, noise."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from ..array_types import FloatArray
from ..frame import LungFrame
from ..hounsfield import as_stored
from ..lung_labels import LEFT, RIGHT
from ..painting import FILLED_HU, LEAST_FILLING
from .anatomy import Anatomy, Body, smooth_noise
from .scanner import Acquisition
from .vessels import Tubes, rasterise

_AIR, _LUMEN, _WALL = -1000.0, -985.0, 10.0
_FAT, _MUSCLE, _ORGAN = -105.0, 52.0, 42.0
_MARROW, _CORTEX = 190.0, 520.0
_TABLE = -180.0
_FINEST_SLICE_MM = 1.25
"""Thicker slices are averaged from several, so that thin vessels fade in them as they do in a scanner."""
_WORKERS = 2


@dataclass(frozen=True)
class Scene:
    """Everything a phantom is rendered from.

    Attributes:
        anatomy: the patient.
        acquisition: the scanner.
        grid: empty image with the scan's geometry.
        coarse: frame over the whole scan on which ``fields`` and ``rough`` lie.
        fields: depth fields of the organs.
        rough: smooth noise, about -1 .. 1.
        fine: frame over the whole scan on which ``filling`` lies.
        filling: lesions, 0 .. 1.
        vessels: arteries and veins of the right and the left lung.
    """

    anatomy: Anatomy
    acquisition: Acquisition
    grid: sitk.Image
    coarse: LungFrame
    fields: Body
    rough: FloatArray
    fine: LungFrame
    filling: FloatArray
    vessels: list[tuple[Tubes, Tubes]]


def render(scene: Scene, seed: int) -> tuple[sitk.Image, sitk.Image, sitk.Image, sitk.Image]:
    """Scan, healthy twin, lung mask and lesion mask of a scene."""
    columns, rows, count = scene.acquisition.size
    scan = np.empty((count, rows, columns), np.int16)
    twin = np.empty_like(scan)
    lungs = np.empty((count, rows, columns), np.uint8)
    lesions = np.empty_like(lungs)
    painter = _SlicePainter(scene)

    def make(z: int) -> None:
        healthy, excess, lungs[z], lesions[z] = painter.slice(z)
        noise = _noise(scene.acquisition, np.random.default_rng([seed, 1, z]))
        twin[z] = as_stored(healthy + noise)
        scan[z] = np.where(lesions[z], as_stored(healthy + excess + noise), twin[z])

    with ThreadPoolExecutor(_WORKERS) as pool:
        list(pool.map(make, range(count)))
    images = []
    for array in (scan, twin, lungs, lesions):
        image = sitk.GetImageFromArray(array)
        image.CopyInformation(scene.grid)
        images.append(image)
    return images[0], images[1], images[2], images[3]


class _SlicePainter:
    """Renders one slice after the other; slices do not depend on each other."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        acquisition, anatomy = scene.acquisition, scene.anatomy
        middle = anatomy.height / 2
        self.fields = {name: getattr(scene.fields, name) for name in scene.fields.__dataclass_fields__}
        coarse_axes = acquisition.axes_mm(scene.coarse, middle)
        fine_axes = acquisition.axes_mm(scene.fine, middle)
        self.texture = smooth_noise(fine_axes, 5.0, anatomy.noise_phase[1], octaves=2)
        self.parenchyma = self._parenchyma(coarse_axes)
        self.parts = math.ceil(acquisition.slice_mm / _FINEST_SLICE_MM)
        self.vessels, self.bronchi, self.walls = self._rasterise(middle)

    def slice(self, z: int) -> tuple[FloatArray, FloatArray, npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Healthy HU before noise, HU that lesions add, lung labels, lesion mask of slice ``z``."""
        columns, rows, _ = self.scene.acquisition.size
        healthy, painted, filling, right, left = np.zeros((5, rows, columns), np.float32)
        for part in range(self.parts):
            place = z + (part + 0.5) / self.parts - 0.5
            hu, fill, depths = self._thin_slice(place, z * self.parts + part)
            healthy = healthy + hu
            painted = painted + hu + fill * np.maximum(FILLED_HU - hu, 0)
            filling = filling + fill
            right, left = right + depths[0], left + depths[1]
        blur = self.scene.acquisition.blur_mm / self.scene.acquisition.pixel_mm
        smooth = ndimage.gaussian_filter(healthy / self.parts, blur)
        excess = ndimage.gaussian_filter((painted - healthy) / self.parts, blur)
        lungs = np.where(right > 0, RIGHT, np.where(left > 0, LEFT, 0)).astype(np.uint8)
        lesions = (lungs > 0) & (filling / self.parts > LEAST_FILLING)
        return smooth, np.where(lesions, excess, 0), lungs, lesions.astype(np.uint8)

    def _thin_slice(
        self, place: float, index: int
    ) -> tuple[FloatArray, FloatArray, tuple[FloatArray, FloatArray]]:
        """HU without lesions, filling, and depth in the lungs, at one height."""
        scene = self.scene
        depth = {name: scene.coarse.plane(field, place) for name, field in self.fields.items()}
        texture = scene.fine.plane(self.texture, place)
        lung = np.maximum(depth["right"], depth["left"])
        hu = np.full(lung.shape, _AIR, np.float32)
        hu = _layer(hu, depth["table"], _TABLE)
        hu = _layer(hu, depth["skin"], _FAT + 12 * texture)
        hu = _layer(hu, depth["muscle"], _MUSCLE + 14 * texture)
        # Fat fills the gaps between the organs of the mediastinum, where the noise says so.
        gaps = 6 * scene.coarse.plane(scene.rough, place) - 2
        inside = depth["muscle"] - scene.anatomy.wall
        hu = _layer(hu, inside, _ORGAN + 12 * texture)
        hu = _layer(hu, np.minimum(inside - 4, gaps), _FAT + 10 * texture)
        hu = _layer(hu, depth["blood"], scene.anatomy.blood_hu + 6 * texture)
        hu = _layer(hu, depth["bone"], np.where(depth["bone"] < 2.5, _CORTEX, _MARROW) + 60 * texture)
        hu = _layer(hu, depth["gas"], _LUMEN)
        hu = _layer(hu, lung, self._lung(place, index, texture, depth["fissure"]))
        hu = _layer(hu, depth["airway"] + 1.6, _WALL)
        hu = _layer(hu, depth["airway"], _LUMEN)
        return hu, scene.fine.plane(scene.filling, place), (depth["right"], depth["left"])

    def _lung(self, place: float, index: int, texture: FloatArray, fissure: FloatArray) -> FloatArray:
        """Parenchyma with fissures, vessels and bronchi, as if the lung were everywhere."""
        scene = self.scene
        hu = scene.coarse.plane(self.parenchyma, place) + scene.anatomy.texture_hu * texture
        hu = hu + 260 * np.clip(1 + fissure / 0.9, 0, 1)
        vessel = min(scene.anatomy.blood_hu, 180.0)
        for covered, level in (
            (self.vessels[index], vessel),
            (self.walls[index], _WALL - 60),
            (self.bronchi[index], _LUMEN),
        ):
            share = covered.astype(np.float32) / 255
            hu = hu + share * (level - hu)
        return hu

    def _parenchyma(self, axes: tuple[FloatArray, FloatArray, FloatArray]) -> FloatArray:
        """HU of the lung tissue on the coarse grid: gravity, large patches, a denser dependent rim."""
        anatomy = self.scene.anatomy
        back = axes[1] / anatomy.half_depth
        patches = smooth_noise(axes, 28.0, anatomy.noise_phase[1], octaves=2)
        hu = anatomy.lung_hu + 0.5 * anatomy.gravity_hu * back[:, None] + 14 * patches
        rim = np.exp(-np.maximum(self.scene.fields.lungs, 0) / 3.5)
        dependent = np.clip(2 * back - 0.7, 0, 1)[:, None]
        return (hu + anatomy.atelectasis_hu * rim * dependent * (0.6 + 0.8 * patches)).astype(np.float32)

    def _rasterise(
        self, middle: float
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Vessels, bronchial lumina and bronchial walls on the thin slices, 0 .. 255."""
        acquisition = self.scene.acquisition
        columns, rows, count = acquisition.size
        whole = LungFrame.whole_scan(self.scene.grid, 0.0)
        z, y, x = acquisition.axes_mm(whole, middle)
        thin = acquisition.slice_mm / self.parts
        origin = np.array([z[0] - acquisition.slice_mm / 2 + thin / 2, y[0], x[0]])
        step = np.array([thin, acquisition.pixel_mm, acquisition.pixel_mm])
        shape = (count * self.parts, rows, columns)
        trees = [tree for pair in self.scene.vessels for tree in pair]
        # A bronchus runs beside each artery, hence two rasters for one shifted tree.
        beside = np.array([0.6, 1.2, 0.9])
        bronchi = [arteries.thicker_than(0.9).moved(beside, 0.85) for arteries, _ in self.scene.vessels]
        walls = [Tubes(tube.starts, tube.ends, tube.radii * 1.25 + 0.3) for tube in bronchi]
        return (
            rasterise(Tubes.join(trees), shape, origin, step),
            rasterise(Tubes.join(bronchi), shape, origin, step),
            rasterise(Tubes.join(walls), shape, origin, step),
        )


def _layer(hu: FloatArray, depth: FloatArray, level: FloatArray | float) -> FloatArray:
    """Lay a material over what is there; its border is one millimetre soft."""
    cover = np.clip(depth + 0.5, 0, 1)
    return hu + cover * (level - hu)


def _noise(acquisition: Acquisition, rng: np.random.Generator) -> FloatArray:
    columns, rows, _ = acquisition.size
    white = rng.standard_normal((rows, columns), dtype=np.float32)
    grain = acquisition.grain_mm / acquisition.pixel_mm
    coloured = ndimage.gaussian_filter(white, grain) if grain > 0 else white
    return acquisition.offset_hu + acquisition.noise_hu / max(float(coloured.std()), 1e-6) * coloured
