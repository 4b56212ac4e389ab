r"""Binary format of a journal file.

A file is a header and frames, all little-endian, followed by zeros while its writer is open (space is reserved in
advance, so that a full disk raises an error instead of SIGBUS).

Header, 64 bytes: the same 32 bytes twice, so that the file survives damage to one of them.

====== ===== ==========================================================================
offset bytes
====== ===== ==========================================================================
0      8     magic ``\x89MLJ\r\n\x1a\n`` (a text-mode copy changes it, as in PNG)
8      2     version, 1
10     2     reserved, 0
12     4     salt: random, repeated in every frame of this file
16     12    reserved, 0
28     4     CRC-32 of the 28 bytes before
====== ===== ==========================================================================

Frame, 24 bytes and a payload:

====== ===== ==========================================================================
offset bytes
====== ===== ==========================================================================
0      2     marker ``\xf5J``
2      4     salt of the file; a reader searches for marker and salt after damage
6      4     CRC-32 of everything after it in the frame
10     4     length of the payload
14     2     type, set by the caller
16     8     sequence number, increasing by one over all files of a session
24           payload
====== ===== ==========================================================================

The salt distinguishes the frames of this file from those of a journal *inside* a payload (a logged journal
file); the sequence number does so for a copy of the file's own frames.

A frame is valid when marker, length and CRC agree. Everything else (a torn tail, a damaged sector, zeros)
is skipped up to the next valid frame. A frame is read once, wherever a disk has put it; when both
copies of the header are damaged, the salt is that of most frames.

Two guarantees:

* *The death of the process*, however sudden, loses no frame whose `append` returned: it is in the page
  cache of the operating system.
* *A power failure* loses no frame that was appended before a completed `sync` (or ``append(..., sync=True)``), and of
  the others at most those of the last ``fsync_seconds``, after which a background thread syncs them, or of
  the milliseconds since ``sync_soon``.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from mlops_workbench.core.errors import StorageError

MAGIC = b"\x89MLJ\r\n\x1a\n"
VERSION = 1
SUFFIX = ".mlj"

#: First bytes of every frame, before the salt.
MARK = b"\xf5J"
#: Length of the salt in bytes.
SALT_BYTES = 4
#: Longest payload in bytes; a length beyond it is damage.
MAX_PAYLOAD = 1 << 30

_HEADER = struct.Struct("<8sHH4s12xI")
#: Length of the header in bytes, both copies.
HEADER_BYTES = 2 * _HEADER.size

_PREFIX = struct.Struct("<2s4sI")
_BODY = struct.Struct("<IHQ")
#: Length of a frame without its payload in bytes.
FRAME_BYTES = _PREFIX.size + _BODY.size

_WHOLE = struct.Struct("<2s4sIIHQ")

pack_body = _BODY.pack
pack_crc = struct.Struct("<I").pack
#: Marker with salt, and the CRC: what the writer puts before a body.
pack_prefix = struct.Struct(f"<{len(MARK) + SALT_BYTES}sI").pack


class Frame(NamedTuple):
    """A frame read from a file.

    Attributes
    ----------
    type : int
        Type number set by the writer.
    sequence : int
        Number among all frames of the session; a gap means that frames were lost to damage.
    payload : bytes
        The appended bytes.
    end : int
        Offset of the byte after the frame, at which a later read can start.
    """

    type: int
    sequence: int
    payload: bytes
    end: int


def pack_header(salt: bytes) -> bytes:
    """Return the header of a file with this salt."""
    head = _HEADER.pack(MAGIC, VERSION, 0, salt, 0)[:-4]
    copy = head + pack_crc(zlib.crc32(head))
    return copy + copy


def unpack_header(data: bytes) -> bytes | None:
    """Return the salt of a header, or None when both copies are damaged or not yet written.

    Raises
    ------
    StorageError
        The header is valid and of a version that this reader does not support.
    """
    for start in (0, _HEADER.size):
        copy = data[start : start + _HEADER.size]
        if len(copy) < _HEADER.size:
            break
        magic, version, _, salt, crc = _HEADER.unpack(copy)
        if magic == MAGIC and zlib.crc32(copy[:-4]) == crc:
            if version != VERSION:
                raise StorageError(
                    f"this journal has format version {version}, this reader supports version {VERSION}",
                    hint="upgrade mlops-workbench here to the version that wrote the journal",
                )
            return bytes(salt)
    return None


def unpack_prefix(data: bytes, start: int) -> tuple[bytes, int] | None:
    """Return the salt and payload length of a possible frame at `start`, or None when it cannot be one."""
    if len(data) - start < FRAME_BYTES or data[start : start + len(MARK)] != MARK:
        return None
    _, salt, _ = _PREFIX.unpack_from(data, start)
    length: int = _BODY.unpack_from(data, start + _PREFIX.size)[0]
    return (salt, length) if length <= MAX_PAYLOAD else None


def unpack_frame(data: bytes, start: int, length: int, offset: int) -> Frame | None:
    """Return the frame at `start` of `data`, which begins at `offset` of the file; None when its CRC differs."""
    body = start + _PREFIX.size
    end = start + FRAME_BYTES + length
    if end > len(data):
        return None
    _, _, crc = _PREFIX.unpack_from(data, start)
    if zlib.crc32(memoryview(data)[body:end]) != crc:
        return None
    _, type_number, sequence = _BODY.unpack_from(data, body)
    return Frame(type_number, sequence, data[body + _BODY.size : end], offset + end)


def unpack_frames(data: bytes, start: int, salt: bytes, offset: int, after: int) -> list[Frame]:
    """Return the consecutive frames from `start` of `data`, up to the first bytes that are not a valid frame.

    Equivalent to repeated calls of :func:`unpack_frame` at a third of the cost, which dominates the reading of a
    long journal.
    """
    frames: list[Frame] = []
    view, size = memoryview(data), len(data)
    unpack, crc32 = _WHOLE.unpack_from, zlib.crc32
    while start + FRAME_BYTES <= size:
        mark, found, crc, length, type_number, sequence = unpack(data, start)
        begin = start + FRAME_BYTES
        end = begin + length
        if mark != MARK or found != salt or end > size or sequence <= after:
            break
        if length > MAX_PAYLOAD or crc32(view[start + _PREFIX.size : end]) != crc:
            break
        frames.append(Frame(type_number, sequence, data[begin:end], offset + end))
        start, after = end, sequence
    return frames
