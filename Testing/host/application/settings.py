"""Settings files of their own, so that neither the user's settings nor those of another test are seen."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QCoreApplication, QSettings


def isolate(folder: Path) -> None:
    """Make ``qt.QSettings()`` and ``slicer.app.userSettings()`` store their values below ``folder``."""
    QCoreApplication.setOrganizationName("NA-MIC")
    QCoreApplication.setApplicationName("Slicer")
    QSettings.setDefaultFormat(QSettings.Format.IniFormat)
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(folder))
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.SystemScope, str(folder / "system"))


def clear() -> None:
    """Forget all settings."""
    settings = QSettings()
    settings.clear()
    settings.sync()
