"""Compressed bodies of requests and answers: gzip and deflate."""

from __future__ import annotations

import gzip
import zlib

from mlops_workbench.serving.errors import BodyTooLarge, InvalidRequest, UnsupportedMedia

#: Codings that are understood, in the order of preference.
CODINGS = ("gzip", "deflate")
#: Smallest answer that is compressed for a client that names several codings, as HTTP libraries do by default.
_WORTH_IT = 4096
_LEVEL = 1
_STEP = 1 << 20
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


def check_coding(content_encoding: str) -> str:
    """The coding that a ``Content-Encoding`` header names; empty for none.

    Raises
    ------
    UnsupportedMedia
        Another coding than gzip and deflate, or several.
    """
    coding = content_encoding.strip().lower().removeprefix("x-")
    if coding in ("", "identity"):
        return ""
    if coding not in CODINGS:
        raise UnsupportedMedia(
            f"Content-Encoding '{content_encoding[:40]}' is not supported; send the body as it is, or as"
            f" {' or '.join(CODINGS)}"
        )
    return coding


def decompress(body: bytes, coding: str, most: int) -> bytes:
    """Return a body as it was before it was compressed.

    Parameters
    ----------
    body : bytes
        The body; of several streams in a row if it is gzip.
    coding : str
        ``gzip``, or ``deflate``: zlib's format, or the bare stream that some clients send.
    most : int
        Largest result in bytes; no more than that is decompressed.

    Raises
    ------
    BodyTooLarge
        The result is larger.
    InvalidRequest
        The body is damaged or not of this coding.
    """
    if coding == "gzip":
        return _inflate(body, _GZIP, most, "gzip")
    try:
        return _inflate(body, _ZLIB, most, "deflate")
    except InvalidRequest:
        # Most bare streams fail as zlib's format at once, by its first two bytes.
        return _inflate(body, _RAW, most, "deflate")


def response_coding(accept_encoding: str, size: int) -> str:
    """The coding of an answer of `size` bytes for an ``Accept-Encoding`` header; empty for none.

    A client that names one coding was told to ask for it, and gets it. A list is what HTTP libraries send by default:
    small answers would only become slower.
    """
    weights: dict[str, float] = {}
    for part in accept_encoding.lower().split(","):
        coding, *parameters = (piece.strip() for piece in part.split(";"))
        if coding:
            weights[coding.removeprefix("x-")] = _weight(parameters)
    if len(weights) > 1 and size < _WORTH_IT:
        return ""
    best = max(CODINGS, key=lambda coding: weights.get(coding, weights.get("*", 0.0)))
    weight = weights.get(best, weights.get("*", 0.0))
    return best if size and weight > 0 and weight >= weights.get("identity", 0.0) else ""


def compress(body: bytes, coding: str) -> bytes:
    """Return a body in a coding."""
    return gzip.compress(body, _LEVEL, mtime=0) if coding == "gzip" else zlib.compress(body, _LEVEL)


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _inflate(body: bytes, window: int, most: int, coding: str) -> bytes:
    found = bytearray()
    rest = body
    try:
        while True:
            stream = zlib.decompressobj(window)
            while not stream.eof:
                piece = stream.decompress(rest, min(_STEP, most - len(found) + 1))
                found += piece
                if len(found) > most:
                    raise BodyTooLarge(f"the decompressed body is larger than {most >> 20} MiB (serving.max_body_mb)")
                rest = stream.unconsumed_tail
                if not piece and not rest and not stream.eof:
                    raise InvalidRequest(f"the body ends before its {coding} stream does")
            rest = stream.unused_data
            if not rest:
                return bytes(found)
            if window != _GZIP:
                raise InvalidRequest(f"{len(rest)} bytes follow the {coding} stream of the body")
    except zlib.error as error:
        raise InvalidRequest(f"the body is not valid {coding}: {error}") from None
