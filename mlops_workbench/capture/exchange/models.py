"""Models in the format of skops, which runs no code of the file when it is loaded."""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.trust import TRUSTED_TYPES


def write_model(model: Any, path: Path, ending: str, trusted: Collection[str]) -> None:
    """Write a model; `trusted` are the types that a workspace trusts besides the built-in list.

    Raises
    ------
    InvalidInput
        skops cannot save it, or it contains types that are not trusted.
    """
    from skops.io import dumps, get_untrusted_types

    try:
        content = dumps(model, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
        unknown = sorted(set(get_untrusted_types(data=content)) - TRUSTED_TYPES - set(trusted))
    except Exception as error:  # skops raises the errors of the classes inside
        raise InvalidInput(
            f"the model {type(model).__name__} cannot be saved with skops: {type(error).__name__}: {error}",
            hint="save only the fitted estimator, without files, connections and generators in it",
        ) from error
    if unknown:
        raise InvalidInput(_untrusted(model, unknown), hint=_trust(unknown))
    path.write_bytes(content)


def read_model(file: BinaryIO, ending: str, trusted: Collection[str]) -> Any:
    """Return the model in a file of skops.

    Raises
    ------
    InvalidInput
        The file is damaged, or contains types that are not trusted.
    """
    from skops.io import get_untrusted_types, loads

    content = file.read()
    known = TRUSTED_TYPES | set(trusted)
    try:
        unknown = sorted(set(get_untrusted_types(data=content)) - known)
        if unknown:
            raise InvalidInput(_untrusted(None, unknown), hint=_trust(unknown))
        return loads(content, trusted=sorted(known))
    except InvalidInput:
        raise
    except Exception as error:  # of the file's content, or of the installed version of the library
        raise InvalidInput(
            f"the model cannot be loaded: {type(error).__name__}: {error}",
            hint="check that save() wrote it, with the installed version of scikit-learn",
        ) from error


def _trust(types: list[str]) -> str:
    return f"if you trust their code: mlops trust {' '.join(types)}"


def _untrusted(model: Any, types: list[str]) -> str:
    what = "the model" if model is None else f"the model {type(model).__name__}"
    return f"{what} contains types that are not on the list of trusted types: {', '.join(types)}"
