"""Write journals as a kernel does, without a kernel."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from mlops_workbench.core.ids import new_id, now_ms
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.records import (
    TYPE_NUMBERS,
    Artifact,
    Column,
    Model,
    Record,
    RunEnd,
    RunStart,
    SessionEnd,
    SessionStart,
)
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.journal import JournalWriter


class Recorder:
    """A session that journals into a workspace; by default that of the test's own, living process."""

    def __init__(
        self,
        workspace: Workspace,
        identity: ProcessIdentity | None = None,
        host: str = "",
        segment_bytes: int = 1 << 20,
    ) -> None:
        me = identity or ProcessIdentity.of()
        assert me is not None
        self.workspace = workspace
        self.session = new_id()
        self.writer = JournalWriter(workspace.journal, self.session, segment_bytes=segment_bytes, fsync_seconds=5.0)
        self.put(
            SessionStart(
                self.session,
                me.pid,
                me.started,
                host or socket.gethostname(),
                "ann",
                now_ms(),
                "a.ipynb",
                "3.11.9",
                "0",
            )
        )

    def put(self, *records: Record) -> None:
        for record in records:
            self.writer.append(TYPE_NUMBERS[type(record)], msgspec.msgpack.encode(record))

    def start(self, name: str = "boosted", experiment: str = "flights", **more: Any) -> str:
        uid = new_id()
        self.put(RunStart(uid, name, experiment, more.pop("start_ms", 0) or now_ms(), **more))
        return uid

    def end(self, uid: str, status: str = "FINISHED", **more: Any) -> None:
        self.put(RunEnd(uid, now_ms(), status, **more))

    def artifact(self, uid: str, path: str, data: bytes) -> None:
        self.put(Artifact(uid, path, self.workspace.blobs.put_bytes(data), len(data)))

    def model(self, uid: str, estimator: Any, frame: Any, name: str = "model", format: str = "skops") -> Model:
        record = model_record(self.workspace, uid, estimator, frame, name, format)
        self.put(record)
        return record

    def close(self) -> None:
        self.put(SessionEnd(now_ms()))
        self.writer.close()


def dead_process() -> ProcessIdentity:
    """Identity of a process that has ended."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    identity = None
    while identity is None:
        # A zombie still holds its id, so the start time is read before it is waited for.
        text = Path(f"/proc/{pid}/stat").read_text()
        identity = ProcessIdentity(pid, float(text[text.rindex(")") + 2 :].split()[19]))
    os.waitpid(pid, 0)
    return identity


def model_record(
    workspace: Workspace, uid: str, estimator: Any, frame: Any, name: str = "model", format: str = "skops"
) -> Model:
    """The record of a fitted estimator, its files in the workspace's blobs."""
    import cloudpickle
    import skops.io

    from mlops_workbench.core.trust import TRUSTED_TYPES

    untrusted: list[str] = []
    if format == "skops":
        data = skops.io.dumps(estimator)
        untrusted = sorted(set(skops.io.get_untrusted_types(data=data)) - TRUSTED_TYPES)
        files = {"model.skops": workspace.blobs.put_bytes(data)}
    else:
        files = {"model.pkl": workspace.blobs.put_bytes(cloudpickle.dumps(estimator))}
    inputs, outputs = columns(frame), []
    if inputs:
        head = frame.head(3)
        example = {
            "dataframe_split": {"columns": list(frame.columns), "data": json.loads(head.to_json(orient="values"))}
        }
        files["input_example.json"] = workspace.blobs.put_bytes(json.dumps(example).encode())
        kind = estimator.predict(frame.head(1)).dtype.kind
        outputs = [Column("prediction", {"f": "double", "i": "long"}.get(kind, "string"))]
    return Model(
        uid, name, "sklearn", format, files, inputs, outputs, type(estimator).__qualname__, ["scikit-learn"], untrusted,
        now_ms(),
    )  # fmt: skip


def columns(frame: Any) -> list[Column]:
    names = {"f": "double", "i": "long", "b": "boolean", "M": "datetime"}
    return [
        Column(str(name), names.get(dtype.kind, "string"), not bool(frame[name].isna().any()))
        for name, dtype in frame.dtypes.items()
    ]


def flights(rows: int = 120) -> pd.DataFrame:
    """A table of numbers with gaps, and text."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "distance": rng.normal(size=rows),
            "delay": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows)),
            "carrier": rng.choice(["AA", "DL", "Ü"], rows),
        }
    )
