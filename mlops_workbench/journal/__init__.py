"""A framed, checksummed, append-only log of opaque payloads."""

from mlops_workbench.journal.format import Frame
from mlops_workbench.journal.reader import read_frames
from mlops_workbench.journal.writer import ForkedWriter, JournalWriter, NotSynced

__all__ = ["ForkedWriter", "Frame", "JournalWriter", "NotSynced", "read_frames"]
