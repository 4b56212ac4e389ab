"""Binary tensors: raw values behind the JSON of a request or an answer.

The extension ``binary_tensor_data`` of the Open Inference Protocol. Numbers are little-endian and in row-major order, a
boolean is a byte, and a text its length in bytes (32 bits) and its UTF-8.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_workbench.serving.errors import InvalidRequest
from mlops_workbench.serving.protocols.datatypes import RAW

#: Header with the length of the JSON in front of the tensors, in requests and answers.
LENGTH_HEADER = "Inference-Header-Content-Length"
_LENGTH = struct.Struct("<I")
_NATIVE = {datatype: dtype.newbyteorder("=") for datatype, dtype in RAW.items()}


def split_body(body: bytes, header_length: str | None) -> tuple[bytes, memoryview | None]:
    """Return the JSON and the raw tensors of a body; None for these if it is only JSON.

    Parameters
    ----------
    body : bytes
        The body.
    header_length : str or None
        Value of the header `LENGTH_HEADER`.

    Raises
    ------
    InvalidRequest
        The length is not one of the body.
    """
    if header_length is None:
        return body, None
    text = header_length.strip()
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= len(body)):
        raise InvalidRequest(
            f"{LENGTH_HEADER} must be the length of the JSON in front of the tensors, at most {len(body)} bytes"
            f" here; got {text[:40]!r}"
        )
    length = int(text)
    return body[:length], memoryview(body)[length:]


def read_values(data: memoryview, datatype: str, size: int, name: str) -> NDArray[Any] | list[str]:
    """Values of one tensor in row-major order: an array of numbers or booleans, or a list of texts.

    Parameters
    ----------
    data : memoryview
        The bytes of this tensor.
    datatype : str
        A known datatype.
    size : int
        Number of values.
    name : str
        Name of the tensor, for the error message.

    Raises
    ------
    InvalidRequest
        The bytes are not that many values.
    """
    if datatype == "BYTES":
        return _read_texts(data, size, name)
    dtype = RAW[datatype]
    if len(data) != size * dtype.itemsize:
        raise InvalidRequest(
            f"input '{name}': {size} values of {datatype} are {size * dtype.itemsize} bytes, but binary_data_size is"
            f" {len(data)}"
        )
    values = np.frombuffer(data, dtype)
    if datatype == "BOOL":
        if size and values.max() > 1:
            raise InvalidRequest(f"input '{name}': element {int((values > 1).argmax())} is no byte 0 or 1 for BOOL")
        return values.astype(bool)
    # A copy, which is aligned and may be written to: models need either.
    return values.astype(_NATIVE[datatype])


def write_values(values: NDArray[Any], datatype: str) -> bytes:
    """An array as raw bytes of a datatype."""
    if datatype != "BYTES":
        dtype = np.dtype(bool) if datatype == "BOOL" else RAW[datatype]
        return values.astype(dtype, copy=False).tobytes()
    parts: list[bytes] = []
    for value in values.ravel().tolist():
        # The format has no missing value.
        text = b"" if value is None else str(value).encode("utf-8", "surrogateescape")
        parts += (_LENGTH.pack(len(text)), text)
    return b"".join(parts)


def _read_texts(data: memoryview, size: int, name: str) -> list[str]:
    content, end = bytes(data), len(data)
    # Each text has at least its length; so no size makes the loop longer than the body.
    if size * _LENGTH.size > end:
        raise InvalidRequest(
            f"input '{name}': {size} values of BYTES need more than the {end} bytes of binary_data_size"
        )
    texts: list[str] = []
    at = 0
    for element in range(size):
        start = at + _LENGTH.size
        at = start + _LENGTH.unpack_from(content, at)[0] if start <= end else end + 1
        if at > end:
            raise InvalidRequest(f"input '{name}': element {element} of BYTES is longer than binary_data_size")
        try:
            texts.append(content[start:at].decode())
        except UnicodeDecodeError:
            raise InvalidRequest(f"input '{name}': element {element} of BYTES is not valid UTF-8") from None
    if at != end:
        raise InvalidRequest(f"input '{name}': {end - at} bytes follow the {size} values of BYTES")
    return texts
