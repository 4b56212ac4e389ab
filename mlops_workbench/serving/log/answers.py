"""Answered requests, and their encoding for the journal: a few microseconds each."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from mlops_workbench.serving.log.inputs import LoggedInputs, stored, stored_type
from mlops_workbench.serving.log.protection import Protection
from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.rows.signature import ColumnType
from mlops_workbench.serving.rows.values import Array
from mlops_workbench.serving.runtimes.estimator import Prediction


class Answered(msgspec.Struct, frozen=True):
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
        self.inputs = LoggedInputs(self.signature, self.input_types, self.is_matrix, protection)
        self.listed_outputs = [stored_type(kind) == "O" for kind, _ in self.output_forms]
        self.context = Context(
            *(self.model, self.version, self.digest, self.arm, self.protocol, self.status),
            columns=self.inputs.columns,
            dtypes=self.inputs.dtypes,
            is_matrix=self.inputs.is_matrix,
            outputs=tuple(
                Output(name, stored_type(kind), shape[0] if shape else 0)
                for name, (kind, shape) in zip(self.names, self.output_forms, strict=True)
            ),
            hashed=self.inputs.hashed,
        )

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
                layout.inputs.stored(inputs),
                stored(outputs, layout.listed_outputs),
            )
        )


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
