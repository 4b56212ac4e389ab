"""Canonical bytes of an Arrow column, independent of its chunks and of the memory below its nulls."""

from __future__ import annotations

from typing import Any

from mlops_workbench.data.content.canonical import encoded
from mlops_workbench.data.content.floats import update_floats


def update_arrow(state: Any, column: Any) -> None:
    """Add an Arrow array: its validity, then its values.

    Parameters
    ----------
    state : xxhash state
        State to update.
    column : pyarrow.ChunkedArray or pyarrow.Array
        Array of any type; text is added as UTF-8, dictionaries by their values.

    Raises
    ------
    Opaque
        It contains values of a type that Python cannot read.
    """
    import pyarrow as pa
    from pyarrow import types

    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    kind = column.type
    if isinstance(kind, pa.ExtensionType):
        chunks = [chunk.storage for chunk in chunks]
        kind = kind.storage_type
    if types.is_dictionary(kind):
        kind = kind.value_type
        chunks = [chunk.dictionary_decode() for chunk in chunks]
    if types.is_string_view(kind) or types.is_binary_view(kind):
        kind = pa.large_string() if types.is_string_view(kind) else pa.large_binary()
        chunks = [chunk.cast(kind) for chunk in chunks]
    for chunk in chunks:
        state.update(chunk.is_valid().to_numpy(zero_copy_only=False))
    present = [chunk.drop_null() if chunk.null_count else chunk for chunk in chunks]
    _update_values(state, present, kind)


def _update_values(state: Any, chunks: list[Any], kind: Any) -> None:
    import numpy
    import pyarrow as pa
    from pyarrow import types

    if types.is_boolean(kind):
        for chunk in chunks:
            state.update(chunk.to_numpy(zero_copy_only=False))
    elif _is_text(kind):
        _update_text(state, chunks, kind)
    elif types.is_struct(kind):
        for i in range(kind.num_fields):
            parts = [chunk.flatten()[i] for chunk in chunks]
            update_arrow(state, pa.chunked_array(parts, kind.field(i).type))
    elif types.is_list(kind) or types.is_large_list(kind):
        for chunk in chunks:
            state.update(chunk.value_lengths().cast(pa.int64()).to_numpy())
        update_arrow(state, pa.chunked_array([chunk.flatten() for chunk in chunks], kind.value_type))
    elif types.is_null(kind):
        return
    elif types.is_primitive(kind) or types.is_decimal(kind) or types.is_fixed_size_binary(kind):
        width = kind.bit_width // 8
        for chunk in chunks:
            buffer = chunk.buffers()[1]
            if buffer is not None:
                values = memoryview(buffer)[chunk.offset * width : (chunk.offset + len(chunk)) * width]
                if types.is_floating(kind):
                    update_floats(state, numpy.frombuffer(values, f"f{width}"))
                else:
                    state.update(values)
    else:
        for piece in encoded([value for chunk in chunks for value in chunk.to_pylist()]):
            state.update(piece)


def _update_text(state: Any, chunks: list[Any], kind: Any) -> None:
    import numpy
    from pyarrow import types

    large = types.is_large_string(kind) or types.is_large_binary(kind)
    spans = []
    for chunk in chunks:
        offsets, content = chunk.buffers()[1:]
        if offsets is None or not len(chunk):
            continue
        places = numpy.frombuffer(offsets, numpy.int64 if large else numpy.int32)
        places = places[chunk.offset : chunk.offset + len(chunk) + 1]
        # Lengths do not depend on the offset of the first text.
        state.update(numpy.diff(places).astype(numpy.int64, copy=False))
        spans.append((content, int(places[0]), int(places[-1])))
    for content, start, stop in spans:
        if content is not None:
            state.update(memoryview(content)[start:stop])


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(
        types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind)
    )
