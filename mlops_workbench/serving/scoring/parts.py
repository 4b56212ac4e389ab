"""Input files in parts that fit the memory."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from mlops_workbench.core.errors import InvalidInput, did_you_mean, first_line
from mlops_workbench.serving.errors import InvalidRequest
from mlops_workbench.serving.protocols.delimited import line_columns
from mlops_workbench.serving.protocols.parquet import is_text, wanted_columns
from mlops_workbench.serving.rows.signature import Signature

PARQUET, CSV = ".parquet", ".csv"

#: Values and rows of a part, which determine the memory that is used.
_VALUES, _FEWEST, _MOST = 1 << 20, 256, 16_384
#: Bytes that are read from a column at a time.
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Part:
    """Rows of one file: row groups that a worker reads, a table in Arrow's stream format, or lines of CSV.

    Attributes
    ----------
    file : int
        Place of the file among the inputs.
    done : float
        Share of all inputs that has been read with this part.
    """

    file: int
    done: float
    groups: tuple[int, ...] = ()
    table: bytes = b""
    lines: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True)
class InputFile:
    """A file whose columns fit the model.

    Attributes
    ----------
    path : Path
        The file.
    size : int
        Bytes.
    names : list of str
        Columns.
    columns : list of str
        Columns that are read from a Parquet file.
    texts : list of str
        Those of them with texts.
    kept : dict of str to DataType
        Columns that are copied to the output.
    """

    path: Path
    size: int
    names: list[str]
    columns: list[str]
    texts: list[str]
    kept: dict[str, Any]

    @property
    def is_parquet(self) -> bool:
        """Whether it is Parquet; otherwise it is CSV."""
        return self.path.suffix.lower() == PARQUET

    def open(self) -> Any:
        """Open a Parquet file, of which not more is read than what is asked for."""
        return parquet.ParquetFile(self.path, pre_buffer=False, buffer_size=_READ_BYTES, read_dictionary=self.texts)

    def read(self, file: Any, groups: Sequence[int]) -> pa.Table:
        """Read row groups."""
        return file.read_row_groups(list(groups), columns=self.columns, use_threads=False)


def input_file(path: Path, signature: Signature, keep: Sequence[str]) -> InputFile:
    """Look at the columns of a file.

    Raises
    ------
    InvalidInput
        It is not readable, or a column is missing.
    """
    with _readable(path):
        if path.suffix.lower() == PARQUET:
            with parquet.ParquetFile(path, pre_buffer=False) as file:
                schema = file.schema_arrow
            names = list(schema.names)
            wanted = [names[at] for at in wanted_columns(names, signature).values()]
            kept = {name: _plain(schema.field(name).type) for name in _present(keep, names, path)}
            columns = list(dict.fromkeys([*wanted, *kept]))
            texts = [name for name in wanted if is_text(schema.field(name).type)]
            return InputFile(path, path.stat().st_size, names, columns, texts, kept)
        if path.suffix.lower() != CSV:
            raise InvalidInput(f"'{path.suffix}' is no suffix of a table", hint="name it .parquet or .csv")
        with open(path, encoding="utf-8-sig", newline="") as lines:
            header = next((line for line in csv.reader(lines, strict=True) if line), None)
        if header is None:
            raise InvalidInput("the file is empty; the first line must name the columns")
        line_columns(header, [], signature)
        kept = dict.fromkeys(_present(keep, header, path), pa.string())
        return InputFile(path, path.stat().st_size, header, [], [], kept)


def parts(files: Sequence[InputFile], width: int) -> Iterator[Part]:
    """The parts of the files in order.

    Parameters
    ----------
    files : sequence of InputFile
        The files.
    width : int
        Number of inputs of the model.

    Raises
    ------
    InvalidInput
        A file cannot be read.
    """
    total, before = max(sum(file.size for file in files), 1), 0
    for place, file in enumerate(files):
        most = max(_FEWEST, min(_MOST, _VALUES // max(width, len(file.columns), 1)))
        with _readable(file.path):
            found = _groups(file, most) if file.is_parquet else _lines(file, most)
            for share, rows in found:
                yield Part(place, (before + share * file.size) / total, **rows)
        before += file.size


def _groups(file: InputFile, most: int) -> Iterator[tuple[float, dict[str, Any]]]:
    with file.open() as opened:
        metadata = opened.metadata
        total, done = max(metadata.num_rows, 1), 0
        small: list[int] = []
        rows = 0
        for group in range(metadata.num_row_groups):
            size = metadata.row_group(group).num_rows
            if small and rows + size > most:
                done += rows
                yield done / total, {"groups": tuple(small)}
                small, rows = [], 0
            if size <= 2 * most:
                small.append(group)
                rows += size
                continue
            # Too large for the memory of a worker.
            batches = opened.iter_batches(most, row_groups=[group], columns=file.columns, use_threads=False)
            for batch in batches:
                done += batch.num_rows
                yield done / total, {"table": _stream(batch)}
        if rows:
            yield 1.0, {"groups": tuple(small)}


def _lines(file: InputFile, most: int) -> Iterator[tuple[float, dict[str, Any]]]:
    with open(file.path, "rb") as raw:
        # The text layer reads ahead, but its position cannot be asked for while it is iterated.
        size = max(os.fstat(raw.fileno()).st_size, 1)
        text = _text(raw)
        reader = csv.reader(text, strict=True)
        next(line for line in reader if line)
        found: list[list[str]] = []
        for line in reader:
            if line:
                found.append(line)
            if len(found) == most:
                yield min(raw.tell() / size, 1.0), {"lines": found}
                found = []
        if found:
            yield 1.0, {"lines": found}


def _text(raw: Any) -> Any:
    import io

    return io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")


def _stream(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def _plain(kind: Any) -> Any:
    """The type of a column in the output, whose texts may be dictionaries in one file and not in another."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _present(keep: Sequence[str], names: Sequence[str], path: Path) -> list[str]:
    for name in keep:
        if name not in names:
            raise InvalidInput(f"there is no column '{name}' to keep; {did_you_mean(name, names)}", where=str(path))
    return list(keep)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Say in which file something is wrong."""
    try:
        yield
    except InvalidRequest as error:
        raise InvalidInput(error.message, where=str(path), hint=error.hint) from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the file is not valid UTF-8: {error.reason}", where=str(path)) from None
    except csv.Error as error:
        raise InvalidInput(f"the file is not valid CSV: {error}", where=str(path)) from None
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"the file cannot be read: {first_line(error)}", where=str(path)) from error
    except InvalidInput as error:
        if error.where is None:
            raise InvalidInput(error.message, where=str(path), hint=error.hint) from error
        raise
