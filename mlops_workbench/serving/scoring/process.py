"""The process that scores files: the request comes as JSON, reports go out as lines of JSON."""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import threading
import time
from typing import NoReturn

import msgspec

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.processes import leave
from mlops_workbench.serving.scoring.request import Failed, Report, ScoringRequest
from mlops_workbench.serving.scoring.run import score_files

#: Seconds that threads and exit handlers have at the end.
_LAST_SECONDS = 5.0


def main() -> NoReturn:
    """Score the files that are asked for, and end the process."""
    logging.basicConfig(stream=sys.stderr)
    signal.signal(signal.SIGTERM, _end)
    # What a model prints must not be among the reports.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    threading.Thread(target=_end_with_reader, args=(output.fileno(),), name="reader", daemon=True).start()

    def report(what: Report) -> None:
        try:
            output.write(msgspec.json.encode(what) + b"\n")
            output.flush()
        except OSError as error:
            raise KeyboardInterrupt from error

    code = 0
    try:
        try:
            request = msgspec.json.decode(sys.stdin.buffer.read(), type=ScoringRequest)
            # Last, so that no module of the user shadows an installed one.
            sys.path += [entry for entry in request.modules if entry not in sys.path]
            report(score_files(request, report))
        except WorkbenchError as error:
            code = 1
            report(Failed(error.to_dict()))
    except KeyboardInterrupt:
        code = 130
    # All is done, and nobody needs to read any more.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # The model's code may have left threads or exit handlers that never end.
    threading.Thread(target=_end_late, args=(code,), name="end", daemon=True).start()
    leave(code)


def _end_late(code: int) -> None:
    time.sleep(_LAST_SECONDS)
    os._exit(code)


def _end_with_reader(output: int) -> None:
    """End this process when nobody is left to read its reports."""
    poll = select.poll()
    poll.register(output, 0)
    poll.poll()
    os.kill(os.getpid(), signal.SIGTERM)


def _end(*_: object) -> NoReturn:
    raise KeyboardInterrupt
