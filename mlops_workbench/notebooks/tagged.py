"""Sources of tagged cells, read without a notebook library."""

from __future__ import annotations

import json


def tagged_sources(content: bytes, tag: str) -> list[str]:
    """Return the sources of the code cells of a notebook file that have a tag, in order.

    Raises
    ------
    ValueError
        The content is not a notebook.
    """
    document = json.loads(content)
    cells = document.get("cells") if isinstance(document, dict) else None
    if not isinstance(cells, list):
        raise ValueError("the file is not a notebook")
    found = []
    for cell in cells:
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        metadata = cell.get("metadata")
        tags = metadata.get("tags") if isinstance(metadata, dict) else None
        if isinstance(tags, list) and tag in tags:
            source = cell.get("source")
            found.append("".join(map(str, source)) if isinstance(source, list) else str(source or ""))
    return found
