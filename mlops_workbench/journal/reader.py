"""Read a journal file: every whole frame, nothing else, and never a change to the file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mlops_workbench.core.errors import StorageError
from mlops_workbench.journal.format import (
    FRAME_BYTES,
    HEADER_BYTES,
    MARK,
    SALT_BYTES,
    Frame,
    unpack_frame,
    unpack_frames,
    unpack_header,
    unpack_prefix,
)

_CHUNK = 256 * 1024


def read_frames(path: Path, offset: int = 0, *, after: int = -1) -> Iterator[Frame]:
    """Frames of a journal file in order, as far as they are whole.

    The file may be written to at the same time: what is complete is given, and a later call with the
    `end` of the last frame goes on from there. Damaged bytes and a torn tail are skipped. A disk that
    put a block in the wrong place costs what it overwrote: each frame is given once, and only frames of
    such a block come out of order. The file is read, not mapped, because its writer cuts it to length
    when it closes.

    Parameters
    ----------
    path : Path
        A file that a `JournalWriter` made.
    offset : int, default=0
        Where to begin: 0, or the `end` of a frame that was read before.
    after : int, default=-1
        Highest sequence number that was read before. It only matters when there is damage after `offset`:
        frames up to this number are then known to be old ones.

    Yields
    ------
    Frame
        The next whole frame.

    Raises
    ------
    StorageError
        The file cannot be read, or is of a newer version.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StorageError(
            f"cannot read the journal: {error.strerror or error}", where=str(path), hint="check the file's permissions"
        ) from error
    try:
        try:
            salt = unpack_header(os.pread(file, HEADER_BYTES, 0))
        except StorageError as error:
            error.where = str(path)
            raise
        salt = salt or _likely_salt(file)
        if salt is None:
            return
        seen = _Seen(after)
        window = _Window(file, salt, seen)
        position = max(offset, HEADER_BYTES)
        while True:
            frame = window.frame(position) or window.next_frame(position + 1)
            if frame is None:
                return
            if frame.end - FRAME_BYTES - len(frame.payload) != position:
                # A writer at work may have completed the frame at `position` after these bytes were read and
                # before the ones of the later frame were: look again before calling it damage.
                window.forget()
                frame = window.frame(position) or window.next_frame(position + 1) or frame
            seen.add(frame.sequence)
            yield frame
            position = frame.end
            for frame in window.following(position):
                seen.add(frame.sequence)
                yield frame
                position = frame.end
    except OSError as error:
        raise StorageError(f"cannot read the journal: {error.strerror or error}", where=str(path)) from error
    finally:
        os.close(file)


def _likely_salt(file: int) -> bytes | None:
    """Salt of a file whose header is lost: that of most of its frames, for one of them may be damaged there."""
    window = _Window(file, None, _Seen(-1))
    salts: Counter[bytes] = Counter()
    position = HEADER_BYTES
    while frame := window.frame(position) or window.next_frame(position + 1):
        start = frame.end - FRAME_BYTES - len(frame.payload)
        salts[os.pread(file, SALT_BYTES, start + len(MARK))] += 1
        position = frame.end
    return salts.most_common(1)[0][0] if salts else None


class _Seen:
    """Sequence numbers of the frames that were given."""

    def __init__(self, after: int) -> None:
        self.highest = after
        # Below the highest one: numbers of frames that were lost, or lie behind a block in the wrong place.
        self._missing: list[range] = []

    def __contains__(self, sequence: int) -> bool:
        return sequence <= self.highest and not any(sequence in missing for missing in self._missing)

    def add(self, sequence: int) -> None:
        if sequence > self.highest:
            if sequence > self.highest + 1:
                self._missing.append(range(self.highest + 1, sequence))
            self.highest = sequence
            return
        for i, missing in enumerate(self._missing):
            if sequence in missing:
                parts = (range(missing.start, sequence), range(sequence + 1, missing.stop))
                self._missing[i : i + 1] = [part for part in parts if part]
                return


class _Window:
    """A piece of the file in memory, moved along as it is read."""

    def __init__(self, file: int, salt: bytes | None, seen: _Seen) -> None:
        self._file = file
        self._seen = seen
        # Without one any frame is taken for one of this file.
        self._salt = salt
        self._start = 0
        self._data = b""

    def forget(self) -> None:
        """Read again from the file what is asked for next."""
        self._start, self._data = 0, b""

    def frame(self, position: int) -> Frame | None:
        """The frame at `position`, None when there is no whole one that was not given yet."""
        at = self._hold(position, FRAME_BYTES)
        prefix = unpack_prefix(self._data, at)
        if prefix is None or (self._salt is not None and prefix[0] != self._salt):
            return None
        at = self._hold(position, FRAME_BYTES + prefix[1])
        # The file may have changed between the two reads, so the length counts only if it is still the same.
        if unpack_prefix(self._data, at) != prefix:
            return None
        frame = unpack_frame(self._data, at, prefix[1], self._start)
        if frame is None or frame.sequence in self._seen:
            return None
        return frame

    def following(self, position: int) -> list[Frame]:
        """Frames from `position` on, as far as those in memory follow one another without a gap."""
        if self._salt is None:
            return []
        return unpack_frames(self._data, position - self._start, self._salt, self._start, self._seen.highest)

    def next_frame(self, position: int) -> Frame | None:
        """The first whole frame at or after `position`."""
        marker = MARK + (self._salt or b"")
        while True:
            at = self._hold(position, FRAME_BYTES)
            rest = len(self._data) - at
            if rest < FRAME_BYTES:
                return None
            found = self._data.find(marker, at)
            if found < 0:
                position += rest - len(marker) + 1
                continue
            position = self._start + found
            frame = self.frame(position)
            if frame is not None:
                return frame
            position += 1

    def _hold(self, position: int, size: int) -> int:
        """Have `size` bytes from `position` in memory, fewer at the end of the file; return their index."""
        at = position - self._start
        if at < 0 or at + size > len(self._data):
            self._start = position
            self._data = self._read(position, max(size, _CHUNK))
            at = 0
        return at

    def _read(self, position: int, size: int) -> bytes:
        pieces = []
        while size > 0 and (piece := os.pread(self._file, size, position)):
            pieces.append(piece)
            position += len(piece)
            size -= len(piece)
        return b"".join(pieces)
