"""Annotated 2D slices for evaluation, which come as pictures: mapped to approximate HU.

Never trained on. A picture has lost its HU and its voxel size; the map below puts dark lung and soft tissue
where they belong and is good to some 80 HU, so scores on such slices are scores out of the usual domain.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from COVIDSelfSegLib.array_types import BoolArray, FloatArray
from COVIDSelfSegLib.errors import UserError
from COVIDSelfSegLib.lung_masks.classical import builtin_lung_mask
from COVIDSelfSegLib.lung_masks.network import LungNetwork
from COVIDSelfSegLib.segmentation import ValueKind
from COVIDSelfSegLib.volume import array_view
from PIL import Image
from scipy import ndimage

from ..pictures import DARK_LUNG_HU, DARK_SHARE, TISSUE_HU

_CHEST_MM = 330.0
"""Width that a chest in a picture is taken to have, since pictures carry no voxel size."""
_COPIES, _COPY_MM = 24, 6.0
"""A slice stands for a short stack of itself where a method needs a volume."""
_CT_NOISE_HU, _LEAST_SMOOTHING = 30.0, 0.5
"""Noise that a CT has without being equalised, and smoothing in pixels below which none is needed."""
_ARRAYS = ("image", "lung", "infection")
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
_DEEP = ("I;16", "I;16B", "I;16L", "I", "F")
"""Pillow's modes of more than 256 gray levels, which it would cut off at 255."""
_MOST_CLASSES = 8
"""Of a mask; one of more values is black and white, and was blurred by resizing or compression."""
_RADIOPAEDIA = re.compile(r"radiopaedia_\d+(?=_)")
_EVEN = 0.94
"""From this :func:`evenness` on the contrast of a picture counts as equalised."""


@dataclass(frozen=True)
class AnnotatedSlice:
    """One slice with its lesion mask.

    Attributes:
        name: of the slice in its set.
        hu: approximate HU (1, y, x) as an image of one slice, pixels of about the right size.
        lungs: published lung mask (y, x), None where there is none.
        lesions: published lesion mask (y, x).
        values: what ``hu`` are.
        case: the scan that it is a slice of; empty where that is not known.
    """

    name: str
    hu: sitk.Image
    lungs: BoolArray | None
    lesions: BoolArray
    values: ValueKind = "picture"
    case: str = ""

    @property
    def patient(self) -> str:
        """Whose slice it is, as far as that is known: named after the patient, the scan or the slice.

        Radiopaedia numbers the scans of a patient within one case: ``radiopaedia_29_86490_1`` and
        ``radiopaedia_29_86491_1`` are two.
        """
        numbered = _RADIOPAEDIA.match(self.case)
        return numbered[0] if numbered else self.case or self.name

    def lungs_of_stack(self, network: LungNetwork | None = None) -> npt.NDArray[np.uint8]:
        """Lung mask (y, x) that the built-in method finds in a stack of copies, with its network if given."""
        stack = sitk.GetImageFromArray(np.repeat(array_view(self.hu), _COPIES, axis=0))
        stack.SetSpacing((*self.hu.GetSpacing()[:2], _COPY_MM))
        return array_view(builtin_lung_mask(stack, network))[_COPIES // 2].copy()


def read_pictures(folder: Path) -> Iterator[AnnotatedSlice]:
    """The slices of a set like ``medseg_dev``: lung windows that vary from slice to slice.

    Args:
        folder: with ``images`` and ``masks``, pictures of the same names but for their endings; a mask is 0
            outside of lesions, and all its classes count as lesion.

    Raises:
        UserError: there is no picture, one has no mask of its size, or holds several.
    """
    pictures = _pictures_in(folder / "images")
    masks = {mask.stem: mask for mask in _pictures_in(folder / "masks")}
    if not pictures:
        raise _no_set(folder, "its folder 'images' holds no picture (PNG, JPEG, TIFF or BMP)")
    pairs = []
    for picture in pictures:
        mask = masks.get(picture.stem)
        if mask is None:
            raise _no_set(folder, f"'masks' holds no mask of {picture.name}")
        try:
            with Image.open(picture) as one, Image.open(mask) as other:
                sizes = {one.size, other.size}
                counts = {getattr(held, "n_frames", 1) for held in (one, other)}
        except OSError as error:
            raise _no_set(folder, f"{picture.name} or its mask cannot be read") from error
        if len(sizes) > 1:
            raise _no_set(folder, f"{picture.name} and its mask differ in size")
        if counts != {1}:
            raise _no_set(folder, f"{picture.name} or its mask holds several pictures")
        pairs.append((picture, mask))
    return _of_pictures(pairs)


def _of_pictures(pairs: Sequence[tuple[Path, Path]]) -> Iterator[AnnotatedSlice]:
    for picture, mask in pairs:
        gray = _gray_levels(picture)
        yield AnnotatedSlice(picture.stem, _as_scan(gray), None, _lesions_in(mask), _kind(gray))


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in _PICTURES and not file.name.startswith(".")
    )


def _gray_levels(picture: Path) -> npt.NDArray[np.uint8]:
    """Gray levels (y, x); more than 256 are reduced to as many, from the darkest to the brightest."""
    with Image.open(picture) as opened:
        if opened.mode not in _DEEP:
            return np.asarray(opened.convert("L"))
        deep = np.asarray(opened, np.float32)
    low, high = deep.min(), deep.max()
    levels: npt.NDArray[np.uint8] = np.rint((deep - low) / ((high - low) or 1) * 255).astype(np.uint8)
    return levels


def _lesions_in(mask: Path) -> BoolArray:
    """Where a mask (y, x) is a lesion, of whatever class: labels, or black and white with blurred borders."""
    with Image.open(mask) as opened:
        values = np.asarray(opened if opened.mode in _DEEP else opened.convert("L"))
    has_classes = np.unique(values).size <= _MOST_CLASSES + 1
    lesions: BoolArray = values > (0 if has_classes else values.max() / 2)
    return lesions


def read_arrays(file: Path) -> Iterator[AnnotatedSlice]:
    """The slices of a file like ``radiopaedia_slices_dev``: contrast-equalised, and upside down.

    Args:
        file: ``.npz`` with uint8 ``image``, ``lung`` and ``infection`` (slices, y, x) and ``case``, the scan
            of each slice. They lie as that set is published, with the spine at the top; ``upside_down``,
            False, says that they do not.

    Raises:
        UserError: it cannot be read, holds no slice, an array is missing, they are not as many slices of one
            size, or what it holds are no 8-bit gray levels.
    """
    try:
        with np.load(file) as held:
            absent = [name for name in (*_ARRAYS, "case") if name not in held]
            if absent:
                raise _no_set(file, f"it holds no array '{absent[0]}'")
            arrays, cases = [held[name] for name in _ARRAYS], held["case"]
            turn = -1 if "upside_down" not in held or held["upside_down"] else 1
    except (OSError, ValueError, TypeError, EOFError, BadZipFile, zlib.error) as error:
        raise _no_set(file, f"it cannot be read ({error})") from error
    if len({array.shape for array in arrays}) > 1 or arrays[0].ndim != 3 or len(cases) != len(arrays[0]):
        raise _no_set(file, "its arrays differ in size")
    if not len(cases):
        raise _no_set(file, "it holds no slice")
    if arrays[0].dtype != np.uint8:
        raise _no_set(file, f"its array 'image' holds {arrays[0].dtype}, where gray levels are uint8")
    return _of_arrays([array[:, ::turn] for array in arrays], cases)


def _of_arrays(arrays: Sequence[npt.NDArray[Any]], cases: npt.NDArray[Any]) -> Iterator[AnnotatedSlice]:
    for number, (gray, lungs, lesions) in enumerate(zip(*arrays, strict=True)):
        case = str(cases[number])
        masks = lungs.astype(bool), lesions.astype(bool)
        yield AnnotatedSlice(f"{case}_{number:03d}", _as_scan(gray), *masks, _kind(gray), case)


def _no_set(path: Path, reason: str) -> UserError:
    return UserError(
        f"{path} cannot be used as a set of annotated slices: {reason}.",
        why="Every slice is scored against its mask.",
        fix="Correct the set; docs/cohorts-and-evaluation.md says what it holds.",
    )


def approximate_hu(gray: npt.NDArray[np.uint8]) -> FloatArray:
    """Map gray levels of a chest slice to approximate HU.

    A linear map that sends the 8th percentile of the dark lung to -880 HU and the most frequent level of
    soft tissue to +40. Outside air is no anchor: windows clip it. In a picture that is noisier than a CT
    (equalising lifts noise) both are looked up in a smoothed copy: a low percentile of noisy lung is a
    property of the noise.
    """
    picture = gray.astype(np.float32)
    lung, tissue = _anchors(picture)
    noise_hu = _noise(gray) * (TISSUE_HU - DARK_LUNG_HU) / (tissue - lung)
    # A Gaussian lowers white noise by 2 sqrt(pi) times its standard deviation in pixels.
    smoothing = noise_hu / _CT_NOISE_HU / (2 * np.sqrt(np.pi))
    if smoothing > _LEAST_SMOOTHING:
        lung, tissue = _anchors(ndimage.gaussian_filter(picture, smoothing))
    scale = (TISSUE_HU - DARK_LUNG_HU) / (tissue - lung)
    return (DARK_LUNG_HU + (picture - lung) * scale).astype(np.float32)


def evenness(gray: npt.NDArray[np.uint8]) -> float:
    """How evenly a picture uses its gray levels, 0 .. 1: the entropy of all but black and white.

    A chest in a window has two hills, dark lung and bright tissue; equalising contrast levels them.
    """
    levels = np.bincount(gray.ravel(), minlength=256)[1:255].astype(float)
    if not levels.any():
        return 0.0
    smooth = ndimage.gaussian_filter1d(levels, 3)
    share = smooth[smooth > 0] / smooth.sum()
    return float(-(share * np.log(share)).sum() / np.log(len(levels)))


def _kind(gray: npt.NDArray[np.uint8]) -> ValueKind:
    return "equalised" if evenness(gray) > _EVEN else "picture"


def _anchors(picture: FloatArray) -> tuple[float, float]:
    """Gray levels of dark lung and of soft tissue, at least one level apart."""
    # A blank picture, as stacks of slices are padded with, has one level alone.
    cut = max(_otsu(picture), float(picture.min()) + 1.0)
    dark, _ = ndimage.label(picture < cut)
    outside = np.unique(np.concatenate([dark[0], dark[-1], dark[:, 0], dark[:, -1]]))
    inside = (dark > 0) & ~np.isin(dark, outside)
    if inside.sum() < 0.01 * picture.size:
        inside = picture < cut
    lung = float(np.quantile(picture[inside], DARK_SHARE))
    levels = np.bincount(np.rint(picture[picture >= cut]).astype(int), minlength=256).astype(float)
    tissue = float(np.argmax(ndimage.gaussian_filter1d(levels, 2, mode="nearest")))
    return lung, max(tissue, lung + 1.0)


def _noise(gray: npt.NDArray[np.uint8]) -> float:
    """Standard deviation of the noise in gray levels (Immerkaer 1996), where nothing is black or white."""
    bent = np.outer([1, -2, 1], [1, -2, 1])
    seen = ndimage.binary_erosion((gray > 0) & (gray < 255), np.ones((3, 3)))
    curvature = np.abs(ndimage.convolve(gray.astype(np.float32), bent))[seen]
    return float(np.median(curvature) / (6 * 0.6745)) if curvature.size else 0.0


def _as_scan(gray: npt.NDArray[np.uint8]) -> sitk.Image:
    hu = approximate_hu(gray)
    body = np.flatnonzero((hu > -300).mean(axis=0) > 0.05)
    width = body[-1] - body[0] + 1 if body.size else gray.shape[1]
    image = sitk.GetImageFromArray(np.clip(np.rint(hu), -1400, 1000).astype(np.int16)[None])
    image.SetSpacing((_CHEST_MM / width, _CHEST_MM / width, _COPY_MM))
    return image


def _otsu(picture: FloatArray) -> float:
    """Level that parts dark from bright best (Otsu 1979)."""
    image = sitk.GetImageFromArray(np.rint(picture).astype(np.uint8))
    otsu = sitk.OtsuThresholdImageFilter()
    otsu.Execute(image)
    return float(otsu.GetThreshold())
