"""Answered requests, and their encoding for the journal: a few microseconds each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from mlops_workbench.serving.log.protection import Protection, without_secrets
from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.rows.signature import ColumnType
from mlops_workbench.serving.rows.values import Array
from mlops_workbench.serving.runtimes.estimator import Prediction


@dataclass(frozen=True)
class Answered:
    """One answered request.

    Attributes
    ----------
    request_id : str
        Its id; rows are numbered from 0 within it.
    answered_us, event_us : int
        Time of the answer, and event time of its rows, in microseconds since 1970, UTC.
    model : str
        Registered model.
    version, digest
        Version that answered, and the digest of its files.
    arm : str
        Arm of a roll-out, by default ``champion``.
    protocol : str
        ``v2`` or ``invocations``.
    status : int
        HTTP status.
    total_us, predict_us : int
        Time from the last byte of the request to the answer, and of the model alone.
    batch, prediction
        Input and output.
    """

    request_id: str
    answered_us: int
    event_us: int
    model: str
    version: int
    digest: str
    arm: str
    protocol: str
    status: int
    total_us: int
    predict_us: int
    batch: Batch
    prediction: Prediction


class Output(msgspec.Struct, frozen=True, array_like=True):
    """Name and NumPy type of an output, and its second dimension; 0 for none."""

    name: str
    dtype: str
    width: int


class Context(msgspec.Struct, frozen=True, array_like=True):
    """What many answers have in common.

    Attributes
    ----------
    model, version, digest, arm, protocol, status
        As in :class:`Answered`.
    columns : tuple of (str, str)
        Names and MLflow types of the inputs.
    dtypes : tuple of str
        NumPy types of the inputs; a single one if they are one array of shape (rows, columns). Of ``O``, the values
        are a list; of any other, bytes.
    is_matrix : bool
        Whether the inputs are one array.
    outputs : tuple of Output
        The outputs.
    hashed : tuple of str
        Inputs that have hashes instead of values. Inputs that are left out of the log are not in `columns`.
    """

    model: str
    version: int
    digest: str
    arm: str
    protocol: str
    status: int
    columns: tuple[tuple[str, ColumnType], ...]
    dtypes: tuple[str, ...]
    is_matrix: bool
    outputs: tuple[Output, ...]
    hashed: tuple[str, ...] = ()


class Record(msgspec.Struct, frozen=True, array_like=True):
    """An answer without its context.

    Attributes
    ----------
    context : int
        Number of the context within the session.
    rows : int
        Number of rows.
    inputs, outputs : list of bytes or list
        Values of each column and output, see :class:`Context`.
    """

    context: int
    request_id: str
    answered_us: int
    event_us: int
    total_us: int
    predict_us: int
    rows: int
    inputs: list[Any]
    outputs: list[Any]


class _Layout:
    """A context in use, with what the next answer is compared with."""

    def __init__(
        self, number: int, answered: Answered, inputs: list[Array], outputs: list[Array], protection: Protection
    ) -> None:
        batch = answered.batch
        self.number = number
        self.model, self.version, self.digest = answered.model, answered.version, answered.digest
        self.arm, self.protocol, self.status = answered.arm, answered.protocol, answered.status
        # A model that is loaded has one signature object.
        self.signature = batch.signature
        self.is_matrix = batch.is_matrix
        self.input_types = [array.dtype for array in inputs]
        self.names = list(answered.prediction.outputs)
        self.output_forms = [(array.dtype, array.shape[1:]) for array in outputs]
        columns = self.signature.columns
        kinds = [inputs[0].dtype] * len(columns) if self.is_matrix else self.input_types
        actions = [protection.action(column.name, kind) for column, kind in zip(columns, kinds, strict=True)]
        self._protection = protection
        self._actions = list(zip(range(len(columns)), [column.name for column in columns], actions, strict=True))
        self._protected = any(action != "keep" for action in actions)
        hashed = tuple(name for _, name, action in self._actions if action == "hash")
        if self._protected:
            kept = [
                (column, kind) for column, kind, action in zip(columns, kinds, actions, strict=True) if action != "drop"
            ]
            shown = tuple((one.name, one.type) if one.name not in hashed else (one.name, "string") for one, _ in kept)
            dtypes = tuple("O" if one.name in hashed else _stored_type(kind) for one, kind in kept)
        else:
            shown = tuple((column.name, column.type) for column in columns)
            dtypes = tuple(_stored_type(kind) for kind in self.input_types)
        self._texts = [
            (place, name) for place, (name, kind) in enumerate(shown) if kind == "string" and name not in hashed
        ]
        self.listed_outputs = [_stored_type(kind) == "O" for kind, _ in self.output_forms]
        self.context = Context(
            *(self.model, self.version, self.digest, self.arm, self.protocol, self.status),
            columns=shown,
            dtypes=dtypes,
            is_matrix=self.is_matrix and not self._protected,
            outputs=tuple(
                Output(name, _stored_type(kind), shape[0] if shape else 0)
                for name, (kind, shape) in zip(self.names, self.output_forms, strict=True)
            ),
            hashed=hashed,
        )
        self._listed_inputs = [kind == "O" for kind in dtypes]

    def stored_inputs(self, inputs: list[Array]) -> list[Any]:
        """The inputs as they are kept: without values that must not be in clear."""
        stored = self._without_protected(inputs) if self._protected else _stored(inputs, self._listed_inputs)
        for place, name in self._texts:
            if isinstance(stored[place], list):
                stored[place] = without_secrets(name, stored[place])
        return stored

    def _without_protected(self, inputs: list[Array]) -> list[Any]:
        columns = list(inputs[0].T) if self.is_matrix else inputs
        stored: list[Any] = []
        for place, name, action in self._actions:
            if action == "hash":
                stored.append(self._protection.hashes(name, columns[place]))
            elif action == "keep":
                stored += _stored([columns[place]], [self._listed_inputs[len(stored)]])
        return stored

    def fits(self, answered: Answered, inputs: list[Array], outputs: list[Array]) -> bool:
        batch = answered.batch
        return (
            batch.signature is self.signature
            and batch.is_matrix is self.is_matrix
            and answered.digest == self.digest
            and answered.protocol == self.protocol
            and answered.version == self.version
            and answered.status == self.status
            and answered.model == self.model
            and answered.arm == self.arm
            and list(answered.prediction.outputs) == self.names
            and [array.dtype for array in inputs] == self.input_types
            and [(array.dtype, array.shape[1:]) for array in outputs] == self.output_forms
        )


class AnswerEncoder:
    """Encodes the answers of one session; a context precedes the first answer that refers to it.

    Parameters
    ----------
    protection : Protection, optional
        What becomes of the inputs; by default only secrets are left out.
    """

    def __init__(self, protection: Protection | None = None) -> None:
        self._protection = protection or Protection()
        self._encoder = msgspec.msgpack.Encoder(enc_hook=str)
        self._layouts: list[_Layout] = []
        self._last: _Layout | None = None

    def encode(self, answered: Answered) -> tuple[bytes | None, bytes]:
        """Payloads of the context, None if it is a known one, and of the answer."""
        inputs = answered.batch.arrays
        outputs = list(answered.prediction.outputs.values())
        layout, context = self._last, None
        if layout is None or not layout.fits(answered, inputs, outputs):
            layout = next((known for known in self._layouts if known.fits(answered, inputs, outputs)), None)
            if layout is None:
                layout = _Layout(len(self._layouts), answered, inputs, outputs, self._protection)
                context = self._encoder.encode((layout.number, layout.context))
                self._layouts.append(layout)
            self._last = layout
        return context, self._encoder.encode(
            (
                layout.number,
                answered.request_id,
                answered.answered_us,
                answered.event_us,
                answered.total_us,
                answered.predict_us,
                answered.batch.rows,
                layout.stored_inputs(inputs),
                _stored(outputs, layout.listed_outputs),
            )
        )


def _stored_type(kind: np.dtype[Any]) -> str:
    return "O" if kind.kind in "OSU" else kind.str


def _stored(arrays: list[Array], listed: list[bool]) -> list[Any]:
    return [array.tolist() if is_listed else array.tobytes() for array, is_listed in zip(arrays, listed, strict=True)]


decode_context = msgspec.msgpack.Decoder(tuple[int, Context]).decode
decode_record = msgspec.msgpack.Decoder(Record).decode


def joined(parts: list[Any], dtype: str) -> Array:
    """One array of the values of several answers."""
    if dtype != "O":
        return np.frombuffer(b"".join(parts), dtype=np.dtype(dtype))
    values = [value for part in parts for value in part]
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
