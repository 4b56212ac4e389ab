"""Prints the OpenAPI document: ``python -m mlops_workbench.control.openapi``."""

from __future__ import annotations

import json
import sys

from mlops_workbench.control.app import create_app


def document() -> str:
    """The OpenAPI document, formatted so that a change shows as a small diff."""
    return json.dumps(create_app().openapi(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
