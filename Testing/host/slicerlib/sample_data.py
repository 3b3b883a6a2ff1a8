"""The module ``SampleData``: modules register data sets there; the host downloads nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer


class SampleDataSource:
    """One data set of the Sample Data module.

    As in Slicer, what is not given for each file is filled up where ``uris`` is a list or a string, and the
    lengths of all are compared, so that no ``uris`` at all is an error.

    Raises:
        TypeError: ``uris`` or ``fileNames`` is None.
        ValueError: they are not as many as each other.
    """

    def __init__(
        self,
        sampleName: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        checksums: Any = None,
        loadFiles: Any = None,
        customDownloader: Callable[[SampleDataSource], Any] | None = None,
        thumbnailFileName: str | None = None,
        loadFileTypes: Any = None,
        loadFileProperties: dict[str, Any] | None = None,
    ) -> None:
        self.sampleName = sampleName
        self.customDownloader = customDownloader
        self.thumbnailFileName = thumbnailFileName
        self.loadFileProperties = loadFileProperties or {}
        optional = {"nodeNames": nodeNames, "checksums": checksums, "loadFiles": loadFiles}
        of_files: dict[str, Any] = {
            "uris": uris, "fileNames": fileNames, "loadFileTypes": loadFileTypes, **optional
        }  # fmt: skip
        if isinstance(uris, str):
            of_files = {name: [value] for name, value in of_files.items()}
        elif isinstance(uris, (list, tuple)):
            of_files |= {name: [None] * len(uris) for name, value in optional.items() if value is None}
            if loadFileTypes is None or isinstance(loadFileTypes, str):
                of_files["loadFileTypes"] = [loadFileTypes] * len(uris)
        if len({len(values) for values in of_files.values()}) > 1:
            raise ValueError("All fields of sample data source must have the same length")
        for name, values in of_files.items():
            setattr(self, name, values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SampleDataSource) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


class SampleDataLogic:
    """Registers data sets by category in ``slicer.modules.sampleDataSources``."""

    @staticmethod
    def registerCustomSampleDataSource(category: str = "Custom", **fields: Any) -> None:
        """Add a data set; the same one twice is added once. The category is made before the data set."""
        sources = SampleDataLogic.sampleDataSourcesByCategory().setdefault(category, [])
        source = SampleDataSource(**fields)
        if source not in sources:
            sources.append(source)

    @staticmethod
    def sampleDataSourcesByCategory(category: str | None = None) -> Any:
        """All categories as a dictionary, or the data sets of one category as a list."""
        if not hasattr(slicer.modules, "sampleDataSources"):
            slicer.modules.sampleDataSources = {}
        sources = slicer.modules.sampleDataSources
        return sources if category is None else sources.get(category, [])


def pressButton(category: str, sampleName: str) -> Any:
    """What a click on a data set in the module's panel does, for tests: only that calls its downloader.

    Raises:
        NotImplementedError: the data set would be downloaded from the network.
    """
    for source in SampleDataLogic.sampleDataSourcesByCategory(category):
        if source.sampleName == sampleName:
            if source.customDownloader is None:
                raise NotImplementedError(f"the host downloads nothing, not even {sampleName}")
            return source.customDownloader(source)
    raise LookupError(f"{category} has no button {sampleName}")
