"""Outputs of a running cell: streams in one piece, bounded in size, and without the values of secrets."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from typing import Any

from mlops_workbench.notebooks.format import nbformat
from mlops_workbench.pipelines.cells.reasons import shortened
from mlops_workbench.pipelines.cells.secret_values import SecretValues

#: Of what is printed after the bound, so many characters are kept from the end.
_TAIL = 256 * 1024
#: Longest text of an exception, and of its traceback.
_LONGEST_ERROR = 1 << 20
_SHOWN = ("execute_result", "display_data", "update_display_data")


class MaskedMessages:
    """Messages of a kernel without the values of secrets, also when a value comes in several stream messages.

    Parameters
    ----------
    secrets : SecretValues
        The secrets.
    """

    def __init__(self, secrets: SecretValues) -> None:
        self._secrets = secrets
        # By stream: the end of its text with which a value may begin.
        self._held: dict[str, str] = {}

    def of(self, message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The message, after what was kept of earlier ones; nothing if all of it is kept."""
        if not self._secrets:
            yield message
            return
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            name = content["name"]
            text = self._secrets.mask(self._held.pop(name, "") + content["text"])
            end = len(text) - self._secrets.begun(text)
            if end < len(text):
                self._held[name] = text[end:]
            if end:
                yield message | {"content": content | {"text": text[:end]}}
            return
        for name, text in self._held.items():
            header = {**message["header"], "msg_type": "stream"}
            yield message | {"header": header, "msg_type": "stream", "content": {"name": name, "text": text}}
        self._held.clear()
        yield message | {"content": self._secrets.mask_all(content)}


class CellOutputs:
    """Keeps the outputs of a cell below a bound, and joins the messages of a stream.

    Up to the bound everything is kept; of the rest, a note with its size and the last part of what was printed.
    Exceptions are always kept.

    Parameters
    ----------
    limit : int
        Bytes that are kept of a cell.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.clear()

    def clear(self) -> None:
        """Begin with the outputs of another cell."""
        self._kept = 0
        self._left_out = 0
        # The last output, if it is a stream, and its text in parts: joining them at every message takes quadratic time.
        self._stream: Any = None
        self._parts: list[str] = []
        # The note about what was left out, and the end of what was printed.
        self._rest: Any = None
        self._tail: deque[str] = deque()
        self._tail_length = 0

    def bounded(self, message: dict[str, Any]) -> dict[str, Any]:
        """The message, with a note in place of what is larger than the bound by itself."""
        kind, content = message["msg_type"], message["content"]
        if kind in _SHOWN and (size := _size(content.get("data", {}))) > self._limit:
            return message | {"content": content | {"data": self._note_for(content["data"], size), "metadata": {}}}
        if kind == "error" and len(content["evalue"]) + sum(map(len, content["traceback"])) > _LONGEST_ERROR:
            trace = shortened("\n".join(content["traceback"]), _LONGEST_ERROR)
            short = {"evalue": shortened(content["evalue"], _LONGEST_ERROR), "traceback": trace.split("\n")}
            return message | {"content": content | short}
        return message

    def added(self, outputs: list[Any], output: Any, *, referred: bool) -> None:
        """Take an output into account that was appended to the cell's.

        Parameters
        ----------
        outputs : list of NotebookNode
            Outputs of the cell; the last one is `output`.
        output : NotebookNode
            The output.
        referred : bool
            Whether it may be updated later, so that it must keep its place.
        """
        if len(outputs) == 1:
            # The first one, or the first after the cell cleared its output.
            self.clear()
        if output.output_type == "stream":
            outputs.pop()
            self._add_text(outputs, output)
            return
        self.settle()
        self._stream = None
        if output.output_type == "error":
            return
        size = _size(output.data)
        if self._kept + size <= self._limit:
            self._kept += size
        elif referred:
            output.data = nbformat.from_dict(self._note_for(output.data, size))  # type: ignore[no-untyped-call]
        else:
            outputs.pop()
            self._leave_out(outputs, size)

    def settle(self) -> None:
        """Put the text of streams that was received so far into the notebook."""
        if self._stream is not None and self._parts:
            self._parts = ["".join(self._parts)]
            self._stream["text"] = self._parts[0]
        if self._rest is not None:
            tail = "".join(self._tail)[-_TAIL:]
            self._tail, self._tail_length = deque([tail]), len(tail)
            text = f"\n[{self._left_out / 1e6:,.1f} MB of output were left out: {self._setting()}]\n"
            self._rest["text"] = text + (f"[the end of it:]\n{tail}" if tail else "")

    def _add_text(self, outputs: list[Any], output: Any) -> None:
        text = output.text
        room = max(0, self._limit - self._kept) if self._rest is None else 0
        if room:
            size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
            part = text if size <= room else text[: room * len(text) // size]
            self._kept += min(size, room)
            self._part_of_stream(outputs, output, part)
            text = text[len(part) :]
        if text:
            self._leave_out(outputs, len(text))
            self._tail.append(text[-_TAIL:])
            self._tail_length += len(self._tail[-1])
            while self._tail_length - len(self._tail[0]) > _TAIL:
                self._tail_length -= len(self._tail.popleft())

    def _part_of_stream(self, outputs: list[Any], output: Any, part: str) -> None:
        if self._stream is None or not outputs or outputs[-1] is not self._stream or self._stream.name != output.name:
            self.settle()
            self._stream, self._parts = nbformat.from_dict({**output, "text": ""}), []  # type: ignore[no-untyped-call]
            outputs.append(self._stream)
        self._parts.append(part)

    def _leave_out(self, outputs: list[Any], size: int) -> None:
        self._left_out += size
        if self._rest is None:
            self.settle()
            self._rest = nbformat.v4.new_output("stream", name="stdout", text="")  # type: ignore[no-untyped-call]
            outputs.append(self._rest)

    def _note_for(self, data: dict[str, Any], size: int) -> dict[str, Any]:
        note = f"[an output of {size / 1e6:,.1f} MB ({', '.join(data)}) was left out: {self._setting()}]"
        return {"text/plain": note}

    def _setting(self) -> str:
        return f"a cell keeps {self._limit / 1e6:g} MB, see max_output_mb of [pipelines] in workbench.toml"


def _size(data: dict[str, Any]) -> int:
    return sum(len(value) if isinstance(value, str) else len(json.dumps(value)) for value in data.values())
