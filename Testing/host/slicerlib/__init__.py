"""Python modules that Slicer has and slicer-core has not: ``slicer.i18n``, ``slicer.packaging`` ..."""
