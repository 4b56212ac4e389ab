"""Read the complete frames of a journal file, without changing the file."""

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
    """Yield the complete frames of a journal file in order.

    The file may be written to at the same time: complete frames are yielded, and a later call with the
    `end` of the last one continues there. Damaged bytes and a torn tail are skipped. If a disk put a block in the
    wrong place, the frames that it overwrote are lost: each frame is yielded once, and only frames of
    such a block are out of order. The file is read, not mapped, because its writer truncates it when it closes.

    Parameters
    ----------
    path : Path
        A file written by a `JournalWriter`.
    offset : int, default=0
        Where to start: 0, or the `end` of a frame read before.
    after : int, default=-1
        Highest sequence number read before. It is used only when there is damage after `offset`:
        frames up to this number are then skipped.

    Yields
    ------
    Frame
        The next complete frame.

    Raises
    ------
    StorageError
        The file cannot be read, or has a newer version.
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
                # An open writer may have completed the frame at `position` between the read of these bytes and
                # the read of the later frame: read again before treating it as damage.
                window.clear()
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
    """Return the salt of most frames, for a file with a damaged header; a single frame may be damaged too."""
    window = _Window(file, None, _Seen(-1))
    salts: Counter[bytes] = Counter()
    position = HEADER_BYTES
    while frame := window.frame(position) or window.next_frame(position + 1):
        start = frame.end - FRAME_BYTES - len(frame.payload)
        salts[os.pread(file, SALT_BYTES, start + len(MARK))] += 1
        position = frame.end
    return salts.most_common(1)[0][0] if salts else None


class _Seen:
    """Sequence numbers of the frames that were yielded."""

    def __init__(self, after: int) -> None:
        self.highest = after
        # Numbers below the highest one whose frames are lost, or lie behind a block in the wrong place.
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
    """A part of the file in memory, which moves with the reading."""

    def __init__(self, file: int, salt: bytes | None, seen: _Seen) -> None:
        self._file = file
        self._seen = seen
        # None accepts the frames of any salt.
        self._salt = salt
        self._start = 0
        self._data = b""

    def clear(self) -> None:
        """Discard the bytes in memory, so that the next call reads the file again."""
        self._start, self._data = 0, b""

    def frame(self, position: int) -> Frame | None:
        """Return the complete frame at `position`, or None when there is none or it was yielded before."""
        at = self._hold(position, FRAME_BYTES)
        prefix = unpack_prefix(self._data, at)
        if prefix is None or (self._salt is not None and prefix[0] != self._salt):
            return None
        at = self._hold(position, FRAME_BYTES + prefix[1])
        # The file may have changed between the two reads: the length is valid only if it is unchanged.
        if unpack_prefix(self._data, at) != prefix:
            return None
        frame = unpack_frame(self._data, at, prefix[1], self._start)
        if frame is None or frame.sequence in self._seen:
            return None
        return frame

    def following(self, position: int) -> list[Frame]:
        """Return the frames in memory that follow `position` without a gap."""
        if self._salt is None:
            return []
        return unpack_frames(self._data, position - self._start, self._salt, self._start, self._seen.highest)

    def next_frame(self, position: int) -> Frame | None:
        """Return the first complete frame at or after `position`."""
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
        """Load `size` bytes from `position`, fewer at the end of the file, and return their index in memory."""
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
