"""MLflow's exceptions as errors a user can act on, and as a decision: try again, or never."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterator

from mlops_workbench.core.addresses import without_credentials
from mlops_workbench.core.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    StorageError,
    Unauthorized,
    Unavailable,
    WorkbenchError,
)

#: What MLflow will refuse again, however often it is asked.
PERMANENT = (InvalidInput, NotFound, Conflict)

_BAD_PATH = {errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EINVAL, errno.EILSEQ}

_REFUSED = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "MALFORMED_REQUEST", "MAX_LIST_LENGTH_EXCEEDED"}
_MISSING = {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}
_CONFLICT = {"RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS", "INVALID_STATE", "RESOURCE_CONFLICT"}
_DENIED = {"PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"}


@contextlib.contextmanager
def translated(uri: str) -> Iterator[None]:
    """Turn what MLflow, its HTTP client, its database or the place of its artifacts raise into a `WorkbenchError`.

    Raises
    ------
    Unavailable
        The server or database does not answer, or is of another schema version, or something fails in a way that is
        not known here; later it may work.
    Unauthorized
        Missing or wrong credentials.
    InvalidInput, NotFound, Conflict
        MLflow refused the request for good.
    StorageError
        Files cannot be read or written.
    """
    import requests
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    shown = without_credentials(uri)
    try:
        yield
    except WorkbenchError:
        raise
    except MlflowException as error:
        raise _of_mlflow(error, shown) from error
    except requests.HTTPError as error:
        code = error.response.status_code if error.response is not None else 500
        if code in (401, 403):
            raise Unauthorized(f"the tracking server refused access ({code})", where=shown) from error
        if 400 <= code < 500 and code != 429:
            raise InvalidInput(f"the tracking server refused a request: {_redacted(error)}", where=shown) from error
        raise Unavailable(f"the tracking server failed: {_redacted(error)}", where=shown) from error
    except requests.RequestException as error:
        raise Unavailable(
            f"the tracking server does not answer: {_redacted(error)}",
            where=shown,
            hint="start it, or check tracking.uri",
        ) from error
    except SQLAlchemyError as error:
        # What the driver said; around it SQLAlchemy puts the statement and a link.
        reason = getattr(error, "orig", None) or error
        raise Unavailable(
            f"the tracking database does not answer: {_redacted(reason).partition(chr(10))[0]}",
            where=shown,
            hint="see that it runs, has room and is whole; runs wait in the journals until it answers",
        ) from error
    except OSError as error:
        if error.errno in _BAD_PATH:
            raise InvalidInput(f"not a path for an artifact: {error.strerror}", where=str(error.filename)) from error
        raise StorageError(
            f"cannot keep or read an artifact: {error.strerror or error}",
            where=str(error.filename or shown),
            hint="check that the artifact folder is writable and has room",
        ) from error
    except ImportError as error:
        raise Unavailable(
            f"a package that this store needs is not installed: {error}", where=shown, hint="install it and restart"
        ) from error
    except Exception as error:
        # The places of artifacts (S3, Google, Azure, ...) raise exceptions of their own, from packages that are not
        # known here.
        raise Unavailable(
            f"the store failed: {type(error).__name__}: {_redacted(error)}"[:500],
            where=shown,
            hint="check its credentials and settings; nothing is lost, delivery goes on when it works",
        ) from error


def _reason(text: str) -> str:
    caused = re.search(r"Caused by \w+\(.*?: (?P<reason>[^:]+?)[\"')]*\)*$", text.splitlines()[0] if text else "")
    return caused["reason"] if caused else text.partition("\n")[0][:300]


def _redacted(error: Exception) -> str:
    """The error's text without user names and passwords in URLs."""
    return re.sub(r"(?<=//)[^/@\s'\"]+@", "", str(error))


def _of_mlflow(error: Exception, shown: str) -> WorkbenchError:
    code = str(getattr(error, "error_code", "INTERNAL_ERROR"))
    text = _redacted(error)
    if "out-of-date database schema" in text:
        return Unavailable(
            "the tracking database was made by another version of MLflow",
            where=shown,
            hint="stop all writers, back the database up and run 'mlflow db upgrade URI', or install the MLflow "
            "version that made it",
        )
    if text.startswith("API request to"):
        # Not an answer of MLflow but of the network, a proxy or some other server; a 404 of theirs says nothing
        # about a run.
        code = "PERMISSION_DENIED" if code in _DENIED else "UNREACHABLE"
    if code in _MISSING:
        return NotFound(text, where=shown)
    if code in _CONFLICT:
        return Conflict(text, where=shown)
    if code in _DENIED:
        return Unauthorized(text, where=shown, hint="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")
    if code in _REFUSED:
        return InvalidInput(text, where=shown)
    return Unavailable(
        f"the tracking store does not answer: {_reason(text) or code}",
        where=shown,
        hint="start the MLflow server, or check tracking.uri; nothing is lost, delivery goes on when it answers",
    )
