"""``python -m mlops_workbench.serving.scoring``: the request comes as JSON, reports go out as lines of JSON."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import NoReturn

import msgspec

from mlops_workbench.serving.runtimes.skops_alone import import_skops

import_skops()

from mlops_workbench.core.errors import WorkbenchError  # noqa: E402
from mlops_workbench.serving.scoring.request import Failed, Report, ScoringRequest  # noqa: E402
from mlops_workbench.serving.scoring.run import score_files  # noqa: E402


def main() -> int:
    """Score the files that are asked for; 0 when that is done."""
    logging.basicConfig(stream=sys.stderr)
    signal.signal(signal.SIGTERM, _end)
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=ScoringRequest)
    # Last, so that no module of the user shadows an installed one.
    sys.path += [entry for entry in request.modules if entry not in sys.path]
    # What a model prints must not be among the reports.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def report(what: Report) -> None:
        output.write(msgspec.json.encode(what) + b"\n")
        output.flush()

    try:
        report(score_files(request, report))
    except WorkbenchError as error:
        report(Failed(error.to_dict()))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _end(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    # For the user's own transformers, as in the process of an endpoint.
    sys.path.append(os.getcwd())  # noqa: PTH109
    sys.exit(main())
