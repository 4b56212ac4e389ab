"""nbformat, and other libraries, imported without what they load and the workbench does not use."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def imported_without(*names: str) -> Iterator[None]:
    """Let imports of these modules fail for a while, as if they were not installed.

    Not in a kernel, where the user's code may need what they offer.
    """
    hidden = [name for name in names if name not in sys.modules and "ipykernel" not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


#: jsonschema checks international URLs with it, which no notebook contains; it compiles a grammar for 0.7 seconds.
SLOW_URLS = "rfc3987_syntax"

with imported_without(SLOW_URLS):
    import nbformat

__all__ = ["SLOW_URLS", "imported_without", "nbformat"]
