"""Summaries of the files of an endpoint's logs, kept from one reading to the next."""

from __future__ import annotations

from pathlib import Path

from mlops_workbench.serving.log.asked import AskedRows
from mlops_workbench.serving.log.catalog import DayFiles, Entry
from mlops_workbench.serving.log.kinds import FeedbackFiles, PredictionFiles


class LogSummaries:
    """What is known of the files of an endpoint's logs; kept by who reads them again, it reads new files only.

    Parameters
    ----------
    predictions, feedback : Path
        Folders of the workspace; missing ones count as empty.
    endpoint : str
        Endpoint name.
    """

    def __init__(self, predictions: Path, feedback: Path, endpoint: str) -> None:
        self.folders = (predictions / f"endpoint={endpoint}", feedback / f"endpoint={endpoint}")
        asked = AskedRows(self.folders[0])
        self._kinds: tuple[PredictionFiles | FeedbackFiles, ...] = (PredictionFiles(), FeedbackFiles(asked))
        self._days = tuple(DayFiles(folder) for folder in self.folders)
        self._segments: dict[Path, Entry] = {}

    def read(self) -> tuple[list[tuple[Path, Entry]], list[tuple[Path, Entry]]]:
        """Files of the predictions and of the feedback; call it in `reading`.

        Raises
        ------
        OSError, pyarrow.ArrowException
            A file is damaged.
        """
        found: tuple[list[tuple[Path, Entry]], list[tuple[Path, Entry]]] = ([], [])
        segments = {}
        for kind, days, files in zip(self._kinds, self._days, found, strict=True):
            for day in days.read():
                if day.damaged:
                    raise OSError(f"{day.folder / day.damaged[0]} is damaged")
                files += [(day.folder / entry.name, entry) for entry in day.compacted]
                for name in day.segments:
                    path = day.folder / name
                    segments[path] = self._segments.get(path) or kind.summary(path)
                    files.append((path, segments[path]))
        self._segments = segments
        return found
