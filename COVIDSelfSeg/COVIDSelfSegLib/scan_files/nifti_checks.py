"""What ITK takes from a NIfTI file without a word, and refuses in others: checked by its header.

The numbers in the code are the places (in bytes) of the fields of a NIfTI-1 header.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .gzip_checks import check_gzip
from .scan_refusals import refuse_nifti2, refuse_shear, refuse_spacing, refuse_unreadable

_HEADER_BYTES = 348
_NIFTI2_HEADER_BYTES = 540
"""Each header begins with its own length, in either order of bytes."""
_SCANNER = 1
"""Code of an affine to the scanner's own space."""
_SLANT, _OTHER_SIZE = 0.02, 0.01
"""Cosine of axes that are at right angles but for rounding (1.1 degrees), and the share by which two
statements of a voxel's size may differ likewise."""


def check_nifti(path: Path) -> None:
    """Refuse NIfTI-2, and what ITK's reader accepts in silence.

    ITK fills the missing part of a truncated file with arbitrary memory (for a compressed one see
    :func:`check_unpacked`), turns a spacing of 0, -1 or NaN into 1 mm, and does not mind an affine that says
    otherwise than the spacing.

    Args:
        path: a file that ends in ``.nii`` or ``.nii.gz``.

    Raises:
        UserError: it is refused (exit code 2).
    """
    header = _read(path, _HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        refuse_unreadable(path, "no header")
    if _NIFTI2_HEADER_BYTES in struct.unpack_from("<i", header) + struct.unpack_from(">i", header):
        refuse_nifti2(path)
    order = _byte_order(header)
    dim = struct.unpack_from(f"{order}8h", header, 40)
    if not 1 <= dim[0] <= 7:
        return  # no NIfTI: ITK judges it
    pixdim = struct.unpack_from(f"{order}8f", header, 76)
    for axis in range(1, min(dim[0], 3) + 1):
        if not (np.isfinite(pixdim[axis]) and pixdim[axis] > 0):
            refuse_spacing(path, f"{pixdim[axis]:g} mm along axis {axis}")
    if dim[0] >= 3:
        _check_affine(path, order, header)
    offset = struct.unpack_from(f"{order}f", header, 108)[0]
    if not abs(offset) < 2**31:  # of no number either
        refuse_unreadable(path, f"voxels begin at byte {offset}")
    if not _is_compressed(path):
        _, needed = _voxels_from_to(header)
        held = path.stat().st_size
        if held < needed:
            refuse_unreadable(path, f"{held} of {needed} bytes")


def check_unpacked(path: Path, image: sitk.Image) -> None:
    """Refuse a compressed file that is truncated or damaged; see :func:`.gzip_checks.check_gzip`.

    Args:
        path: a file that ends in ``.nii.gz``, of which :func:`check_nifti` has nothing to say.
        image: what ITK read from it.

    Raises:
        UserError: it is refused (exit code 2).
    """
    header = _read(path, _HEADER_BYTES)
    start, stop = _voxels_from_to(header)
    voxels = sitk.GetArrayViewFromImage(image)
    if _byte_order(header) == ">":
        voxels = voxels.byteswap()
    with path.open("rb") as packed:
        check_gzip(path, packed, voxels, stop, before=_read(path, start))


def _is_compressed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _read(path: Path, count: int) -> bytes:
    """The first bytes of what a file holds, unpacked."""
    try:
        with gzip.open(path) if _is_compressed(path) else path.open("rb") as file:
            return file.read(count)
    except (OSError, EOFError, zlib.error) as error:
        refuse_unreadable(path, str(error))


def _byte_order(header: bytes) -> str:
    return "<" if struct.unpack_from("<i", header)[0] == _HEADER_BYTES else ">"


def _voxels_from_to(header: bytes) -> tuple[int, int]:
    """The bytes between which the voxels lie.

    As ITK takes them: none begin within the header, and no axis has less than one.
    """
    order = _byte_order(header)
    dim = struct.unpack_from(f"{order}8h", header, 40)
    bits = struct.unpack_from(f"{order}h", header, 72)[0]
    start = max(int(struct.unpack_from(f"{order}f", header, 108)[0]), _HEADER_BYTES)
    return start, start + int(np.prod(np.maximum(dim[1 : dim[0] + 1], 1), dtype=np.int64)) * bits // 8


def _check_affine(path: Path, order: str, header: bytes) -> None:
    """Refuse an affine (sform) of other voxels than ``pixdim``, or of slices at a slant.

    Of the size ITK takes ``pixdim``, where most other programs take the affine, and for a slant the qform
    where there is one. An affine that leads to another scan or an atlas may say otherwise beside a qform.
    """
    to_qform, to_affine = struct.unpack_from(f"{order}2h", header, 252)
    if to_affine != _SCANNER and (to_affine <= 0 or to_qform > 0):
        return
    columns = np.array(struct.unpack_from(f"{order}12f", header, 280)).reshape(3, 4)[:, :3]
    sizes = np.linalg.norm(columns, axis=0)
    if not (sizes > 0).all():
        return  # ITK refuses it
    axes = columns / sizes
    if np.abs(axes.T @ axes - np.eye(3)).max() > _SLANT:
        refuse_shear(path)
    of_pixdim = np.array(struct.unpack_from(f"{order}3f", header, 80))
    if np.abs(sizes / of_pixdim - 1).max() > _OTHER_SIZE:
        first, second = (" x ".join(f"{mm:.4g}" for mm in one) for one in (of_pixdim, sizes))
        refuse_spacing(path, f"{first} by its field pixdim, {second} by its affine")
