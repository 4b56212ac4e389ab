"""The log of a process of the workbench."""

from __future__ import annotations

import logging
import sys
from types import TracebackType

from mlops_workbench.core.shown.plain_text import visible


class LineFormatter(logging.Formatter):
    """Formats a record so that its text can neither control a terminal nor look like another record."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Format a record; lines after the first are indented."""
        return visible(super().format(record)).replace("\n", "\n  ")


def log_to_stderr(level: int = logging.INFO) -> None:
    """Write the log of this process to stderr, with the exceptions that end the process."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level, handlers=[handler])

    def log_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            logging.getLogger("mlops_workbench").critical("the process ends", exc_info=(kind, error, trace))

    sys.excepthook = log_exception
