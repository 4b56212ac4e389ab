"""Inputs at URLs: whether they exist, and which version of them."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlsplit

from mlops_workbench.core.addresses import without_credentials
from mlops_workbench.core.errors import InvalidInput, NotFound

_SECONDS = 30.0
#: Packages by the protocols that fsspec has drivers for, where its own message does not name one.
_PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
}
#: Answers of servers that serve a page, but not to this method.
_NO_HEAD = (400, 403, 405, 501)


def check_url(url: str) -> None:
    """Check that there is something at a URL.

    Raises
    ------
    NotFound
        There is nothing.
    InvalidInput
        It cannot be reached, or a package for its protocol is missing.
    """
    version_of_url(url)


def version_of_url(url: str) -> str:
    """What the storage says about the version of a URL's content: its ETag, its time, or its checksum.

    Returns
    -------
    str
        Empty if it says nothing. Raises like `check_url`.
    """
    return _of_server(url) if urlsplit(url).scheme in ("http", "https") else _of_storage(url)


def _of_server(url: str) -> str:
    import httpx

    shown = without_credentials(url)
    try:
        with httpx.Client(timeout=_SECONDS, follow_redirects=True) as client:
            answer = client.head(url)
            if answer.status_code in _NO_HEAD:
                with client.stream("GET", url, headers={"Range": "bytes=0-0"}) as answer:
                    pass
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise InvalidInput(f"{shown} cannot be reached: {type(error).__name__}: {error}".replace(url, shown)) from error
    if answer.status_code in (404, 410):
        raise NotFound(f"there is nothing at {shown} ({answer.status_code})")
    if answer.status_code >= 400:
        raise InvalidInput(f"{shown} answered {answer.status_code} {answer.reason_phrase}")
    headers = answer.headers
    size = headers.get("content-length", "")
    return str(headers.get("etag") or " ".join(filter(None, (headers.get("last-modified"), size))))


def _of_storage(url: str) -> str:
    import fsspec

    shown, scheme = without_credentials(url), urlsplit(url).scheme
    try:
        storage, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        package = _PACKAGES.get(scheme, getattr(error, "name", None) or "its driver")
        raise InvalidInput(
            f"{shown} needs the package {package}, which is not installed", hint=f"pip install {package}"
        ) from error
    except ValueError as error:
        raise InvalidInput(f"{shown} is not a URL that can be read: {error}".replace(url, shown)) from error
    try:
        if not storage.exists(path):
            raise NotFound(f"there is nothing at {shown}")
        return _checksum(storage, path)
    except NotFound:
        raise
    except Exception as error:  # each storage's driver has errors of its own
        raise InvalidInput(f"{shown} cannot be reached: {type(error).__name__}: {error}".replace(url, shown)) from error


def _checksum(storage: Any, path: str) -> str:
    about = storage.info(path)
    for name in ("ETag", "etag", "md5Hash", "content_md5", "crc32c"):
        if about.get(name):
            return str(about[name]).strip('"')
    if about.get("type") != "file":
        return ""
    plain = repr(sorted((key, str(about[key])) for key in ("size", "mtime", "LastModified", "updated") if key in about))
    return hashlib.sha256(plain.encode()).hexdigest()
