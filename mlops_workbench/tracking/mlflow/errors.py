"""MLflow's exceptions as errors that a user can act on, permanent or worth a retry."""

from __future__ import annotations

import contextlib
import errno
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

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
from mlops_workbench.core.files import disk_error
from mlops_workbench.tracking.sqlite import is_damaged

#: Errors that a retry does not change.
PERMANENT = (InvalidInput, NotFound, Conflict)
#: Hint of errors about MLflow's database.
DATABASE_HINT = "check that it is running, not damaged and has free space; runs stay in the journals until it answers"

_BAD_PATH = {errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EINVAL, errno.EILSEQ}

_REFUSED = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "MALFORMED_REQUEST", "MAX_LIST_LENGTH_EXCEEDED"}
_MISSING = {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}
_CONFLICT = {"RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS", "INVALID_STATE", "RESOURCE_CONFLICT"}
_DENIED = {"PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"}


@contextlib.contextmanager
def translated(uri: str) -> Iterator[None]:
    """Convert exceptions of MLflow, its HTTP client, its database and its artifact store to a `WorkbenchError`.

    Raises
    ------
    Unavailable
        The server or database does not answer or has another schema version, or the failure is of an unknown type;
        a retry may work.
    Unauthorized
        Missing or wrong credentials.
    InvalidInput, NotFound, Conflict
        MLflow refused the request permanently.
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
            f"the tracking server does not answer: {_reason(_redacted(error))}",
            where=shown,
            hint="start it, or check tracking.uri",
        ) from error
    except SQLAlchemyError as error:
        # The driver's message, without the statement and link that SQLAlchemy adds.
        reason = getattr(error, "orig", None) or error
        disk = disk_error(error, Path.cwd())
        said = disk.message if disk is not None else _redacted(reason).partition(chr(10))[0]
        hint = begin_again_hint(uri) if is_damaged(reason) else disk.hint if disk is not None else DATABASE_HINT
        raise Unavailable(f"the tracking database does not answer: {said}", where=shown, hint=hint) from error
    except OSError as error:
        if error.errno in _BAD_PATH:
            raise InvalidInput(f"invalid artifact path: {error.strerror}", where=str(error.filename)) from error
        raise StorageError(
            f"cannot write or read an artifact: {error.strerror or error}",
            where=str(error.filename or shown),
            hint="check that the artifact folder is writable and has free space",
        ) from error
    except ImportError as error:
        raise Unavailable(
            f"a package that this store needs is not installed: {error}", where=shown, hint="install it and restart"
        ) from error
    except Exception as error:
        # Artifact stores (S3, Google, Azure, ...) raise exceptions of packages that are not imported here.
        raise Unavailable(
            f"the store failed: {type(error).__name__}: {_redacted(error)}"[:500],
            where=shown,
            hint="check its credentials and settings; nothing is lost, delivery continues when it works",
        ) from error


def begin_again_hint(uri: str) -> str:
    """Hint with the command by which a damaged SQLite database is begun again."""
    file = shlex.quote(uri.removeprefix("sqlite:///"))
    return (
        f"it is damaged. To begin again: mlops down; mv {file} {file}.damaged; mlops up - the runs that the journals "
        "still have are delivered again, and their models registered again"
    )


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
            "the tracking database was created by another version of MLflow",
            where=shown,
            hint="stop all writers, back the database up and run 'mlflow db upgrade URI', or install the MLflow "
            "version that created it",
        )
    if text.startswith("API request to"):
        # The answer of a proxy or another server, whose 404 does not mean that a run is missing.
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
        hint="start the MLflow server, or check tracking.uri; nothing is lost, delivery continues when it answers",
    )
