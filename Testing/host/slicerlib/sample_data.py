"""The module ``SampleData``: modules register data sets there; the host downloads nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import slicer


@dataclass(frozen=True, eq=True)
class SampleDataSource:
    """One data set of the Sample Data module."""

    sampleName: str
    uris: tuple[str, ...] = ()
    fileNames: tuple[str | None, ...] = ()
    nodeNames: tuple[str | None, ...] = ()
    customDownloader: Callable[[SampleDataSource], Any] | None = None
    thumbnailFileName: str | None = None
    loadFileTypes: tuple[str | None, ...] = ()
    loadFiles: tuple[bool | None, ...] = ()
    loadFileProperties: dict[str, Any] = field(default_factory=dict, compare=False)
    checksums: tuple[str | None, ...] = ()


class SampleDataLogic:
    """Registers data sets by category in ``slicer.modules.sampleDataSources``."""

    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Callable[[SampleDataSource], Any] | None = None,
        thumbnailFileName: str | None = None,
        loadFileTypes: Any = None,
        loadFiles: Any = None,
        loadFileProperties: dict[str, Any] | None = None,
        checksums: Any = None,
        loadFileType: Any = None,
    ) -> None:
        """Add a data set; the same one twice is added once.

        Raises:
            ValueError: the data set has no name.
        """
        if not sampleName:
            raise ValueError("a data set needs a sampleName")
        source = SampleDataSource(
            sampleName,
            _as_tuple(uris),
            _as_tuple(fileNames),
            _as_tuple(nodeNames),
            customDownloader,
            thumbnailFileName,
            _as_tuple(loadFileTypes or loadFileType),
            _as_tuple(loadFiles),
            loadFileProperties or {},
            _as_tuple(checksums),
        )
        sources = SampleDataLogic.sampleDataSourcesByCategory().setdefault(category, [])
        if source not in sources:
            sources.append(source)

    @staticmethod
    def sampleDataSourcesByCategory(category: str | None = None) -> Any:
        """All categories as a dictionary, or the data sets of one category as a list."""
        if not hasattr(slicer.modules, "sampleDataSources"):
            slicer.modules.sampleDataSources = {}
        sources = slicer.modules.sampleDataSources
        return sources if category is None else sources.get(category, [])

    def downloadFromSource(self, source: SampleDataSource) -> Any:
        """Call the data set's own downloader.

        Raises:
            NotImplementedError: the data set would be downloaded from the network.
        """
        if source.customDownloader is None:
            raise NotImplementedError(f"the host downloads nothing, not even {source.sampleName}")
        return source.customDownloader(source)

    def downloadSamples(self, sampleName: str) -> list[Any]:
        """The nodes of the data set with a name."""
        for sources in self.sampleDataSourcesByCategory().values():
            for source in sources:
                if source.sampleName == sampleName:
                    result = self.downloadFromSource(source)
                    return list(result) if isinstance(result, (list, tuple)) else [result]
        return []


def downloadSample(sampleName: str) -> Any:
    """The first node of the data set with a name, ``None`` if there is no such data set."""
    nodes = SampleDataLogic().downloadSamples(sampleName)
    return nodes[0] if nodes else None


def _as_tuple(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)
