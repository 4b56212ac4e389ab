"""Imports papermill without libraries that it imports for storage that pipelines do not use; they take a second."""

from __future__ import annotations

import sys

_UNUSED = ("rfc3987_syntax", "pyarrow")  # nbformat's check of URLs, papermill's HDFS paths

for _name in _UNUSED:
    sys.modules.setdefault(_name, None)  # type: ignore[arg-type]
try:
    import papermill
finally:
    for _name in _UNUSED:
        if sys.modules.get(_name, papermill) is None:
            del sys.modules[_name]
