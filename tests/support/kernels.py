"""Real kernels that record into a workspace, and what they recorded."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

from mlops_workbench.core.records import Artifact, Record, RunEnd, RunStart, Tags, decode
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.journal import read_frames

DEADLINE = 90


def read_records(root: Path) -> list[Record]:
    """All records of a workspace, file by file."""
    found = []
    for path in sorted((root / ".mlops" / "journal").glob("*.mlj")):
        for frame in read_frames(path):
            record = decode(frame.type, frame.payload)
            assert record is not None
            found.append(record)
    return found


def surrounds(record: Record) -> bool:
    """Whether it tells of the resources or the environment of a run, and not of what its code did."""
    if isinstance(record, Tags):
        return all(name.startswith("mlflow.source.git.") or name == "mlops.energy" for name in record.values)
    if isinstance(record, Artifact):
        return record.path in ("environment.json", "git.diff")
    return getattr(record, "origin", "") == "system"


class Records:
    """Records of a workspace, by kind and run."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def all(self) -> list[Record]:
        return read_records(self.root)

    def of(self, kind: type, run: str = "") -> list[Any]:
        """Records of a kind, of the latest run with this name or uid; not what is recorded around every run."""
        found = [record for record in self.all() if isinstance(record, kind) and not surrounds(record)]
        if not run:
            return found
        uids = [start.run_uid for start in self.of(RunStart) if run in (start.name, start.run_uid)]
        assert uids, f"no run {run}"
        return [record for record in found if record.run_uid == uids[-1]]

    def start(self, run: str) -> RunStart:
        return self.of(RunStart, run)[-1]

    def end(self, run: str) -> RunEnd:
        ends = self.of(RunEnd, run)
        assert len(ends) == 1, f"{len(ends)} ends of {run}"
        return ends[0]

    def values(self, kind: type, run: str) -> dict[str, Any]:
        """Values of all records of a kind, the last one of each name."""
        return {name: value for record in self.of(kind, run) for name, value in record.values.items()}

    def blob(self, digest: str) -> bytes:
        return Workspace.open(self.root).blobs.get(digest).read_bytes()


class Kernel:
    """A real kernel, with the extension loaded unless `loads` is false."""

    def __init__(self, root: Path, *, loads: bool = True, **environment: str) -> None:
        self.root = root
        self.records = Records(root)
        self.manager = KernelManager(kernel_name="python3")
        env = {name: value for name, value in os.environ.items() if not name.startswith(("MLOPS_", "MLFLOW_"))}
        self.manager.start_kernel(
            cwd=str(root),
            env={
                **env,
                "MLOPS_WORKSPACE": str(root),
                "MPLBACKEND": "module://matplotlib_inline.backend_inline",
                **environment,
            },
        )
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=DEADLINE)
        if loads:
            self.run("from mlops_workbench.magics.track import register_track\nregister_track(get_ipython())")

    def run(
        self, code: str, *, fails: bool = False, when: Callable[[dict[str, Any]], None] | None = None
    ) -> list[dict[str, Any]]:
        """Execute a cell and give its outputs; `when` sees every output as it comes."""
        request = self.client.execute(code, store_history=True)
        outputs: list[dict[str, Any]] = []
        deadline = time.monotonic() + DEADLINE
        while True:
            message = self.client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                break
            if kind in ("stream", "display_data", "execute_result", "error"):
                outputs.append({"output_type": kind, **content})
                if when is not None:
                    when(outputs[-1])
        reply = self._reply(request)
        if reply["status"] == "aborted" and time.monotonic() < deadline:
            # ipykernel drops what reaches it in the moment after an error.
            return self.run(code, fails=fails, when=when)
        assert reply["status"] == ("error" if fails else "ok"), outputs
        return outputs

    def send(self, code: str) -> str:
        """Execute a cell without waiting for it."""
        return self.client.execute(code)

    def _reply(self, request: str) -> dict[str, Any]:
        while True:
            try:
                message = self.client.get_shell_msg(timeout=DEADLINE)
            except queue.Empty:
                raise AssertionError("the kernel does not answer") from None
            if message["parent_header"].get("msg_id") == request:
                return message["content"]

    def close(self) -> None:
        self.client.stop_channels()
        if self.manager.is_alive():
            self.manager.shutdown_kernel(now=False)
        self.manager.cleanup_resources()


def until(found: Callable[[], Any], what: str) -> Any:
    """Wait for something to become true."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {DEADLINE} s for {what}")
