"""Which of the masks below a folder belong to which of its scans."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from COVIDSelfSegLib.volume import bare_name

from .layouts import MaskKind, mask_of


class MaskSearch:
    """Parts the files below a folder into scans and masks, and finds each scan's masks.

    Args:
        root: the folder; what it is called says nothing.
        files: scans and masks below it.
    """

    def __init__(self, root: Path, files: Iterable[Path]) -> None:
        self.scans: list[Path] = []
        self._named: dict[tuple[str, MaskKind], list[Path]] = defaultdict(list)
        self._beside: dict[tuple[Path, str, MaskKind], list[Path]] = defaultdict(list)
        self._taken: set[Path] = set()
        for path in sorted(files):
            mask = mask_of(path.relative_to(root))
            if mask is None:
                self.scans.append(path)
            else:
                self._named[mask].append(path)
                self._beside[path.parent, *mask].append(path)
        self._scans_in = Counter(scan.parent for scan in self.scans)
        self._folders_of: dict[str, set[Path]] = defaultdict(set)
        for scan in self.scans:
            self._folders_of[bare_name(scan)].add(scan.parent)

    def take(self, scan: Path) -> dict[MaskKind, Path]:
        """The masks of a scan, one of a kind at most."""
        kinds: tuple[MaskKind, ...] = ("lesions", "lungs")
        masks = {kind: mask for kind in kinds if (mask := self._nearest(scan, kind)) is not None}
        self._taken.update(masks.values())
        return masks

    def left(self) -> list[Path]:
        """Masks of lesions or lungs that no scan took."""
        return [
            path
            for (_, kind), paths in self._named.items()
            if kind != "other"
            for path in paths
            if path not in self._taken
        ]

    def _nearest(self, scan: Path, kind: MaskKind) -> Path | None:
        """The mask called as the scan, in the nearest folder; or the only mask beside the only scan.

        Not one that lies nearer to another scan of this name: where every scan is called ``ct``, it is the
        mask of another patient.
        """
        folder, name = scan.parent, bare_name(scan)
        # First those beside it: to compare each of thousands of scans with each mask would take minutes.
        named = self._beside.get((folder, name, kind)) or self._named.get((name, kind))
        if named:
            apart, mask = min((_apart(mask.parent, folder), mask) for mask in named)
            if all(apart <= _apart(mask.parent, other) for other in self._folders_of[name]):
                return mask
        beside = self._beside.get((folder, "", kind))
        is_the_scan = self._scans_in[folder] == 1 or name.lower() == "scan"
        return beside[0] if beside and is_the_scan else None


def _apart(a: Path, b: Path) -> int:
    """How many folders lie on the way from one to another, but for two of one name.

    So the mask of ``scans/anna/ct`` is ``masks/anna/ct``, not that of another patient.
    """
    shared = 0
    for one, other in zip(a.parts, b.parts, strict=False):
        if one != other:
            break
        shared += 1
    return len(set(a.parts[shared:]) ^ set(b.parts[shared:]))
