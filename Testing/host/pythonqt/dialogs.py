"""Modal dialogs: they wait for a person, so a test must have queued its answer or fails at once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from PySide6.QtCore import QCoreApplication

_WAITS_S = 0.12


class UnexpectedDialogError(RuntimeError):
    """A modal dialog would have blocked the test for ever."""


@dataclass
class Dialogs:
    """Answers for modal dialogs.

    Attributes:
        interactive: show real dialogs; only ``make app`` does.
        asked: which dialogs were asked for, for example ``("QFileDialog.getOpenFileName", (...))``, in order;
            of a message box that was built piece by piece, its text.
        opened_urls: what ``QDesktopServices.openUrl`` was asked to open; nothing is opened in a test.
    """

    interactive: bool = False
    asked: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    opened_urls: list[str] = field(default_factory=list)
    _answers: deque[Any] = field(default_factory=deque)

    def answer(self, value: Any) -> None:
        """Queue the answer of the next dialog: a path, a color, ``qt.QMessageBox.Yes`` ..."""
        from host.pythonqt import conversion

        self._answers.append(conversion.unwrap(value))

    def ask(self, what: str, args: tuple[Any, ...], show: Callable[[], Any]) -> Any:
        """The answer of a dialog; timers and workers go on while it waits for a person.

        Raises:
            UnexpectedDialogError: nobody is there to answer.
        """
        self.asked.append((what, args))
        if self._answers:
            answer, end = self._answers.popleft(), time.monotonic() + _WAITS_S
            while time.monotonic() < end:
                QCoreApplication.processEvents()
                time.sleep(0.005)
            return answer
        if self.interactive:
            return show()
        raise UnexpectedDialogError(
            f"{what}{args} would wait for a person; queue host.dialogs.answer(...) first"
        )

    def raise_unused(self) -> None:
        """Fail if an answer is left over, and forget it.

        Raises:
            AssertionError: a dialog that the test waits for was not asked for.
        """
        unused = list(self._answers)
        self._answers.clear()
        assert not unused, f"nothing was asked that these would answer: {unused}; asked was {self.asked}"

    def clear(self) -> None:
        """Forget queued answers and what was asked."""
        self.asked.clear()
        self.opened_urls.clear()
        self._answers.clear()


dialogs = Dialogs()
