"""The result of a query as a Parquet file, streamed: by DuckDB for its URLs, by SQLAlchemy for others."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mlops_workbench.core.errors import InvalidInput, NotFound

#: Begins a connection that is in an environment variable.
IN_ENVIRONMENT = "secret:"
_ROWS = 50_000


def write_query(root: Path, query: str, connection: str, path: Path) -> None:
    """Write the rows of a query, atomically.

    Parameters
    ----------
    root : Path
        Folder that relative paths in the connection, and in queries of DuckDB, refer to.
    query : str
        The query.
    connection : str
        ``duckdb://`` (queries over files), ``duckdb:///path``, a URL of SQLAlchemy, or ``secret:NAME`` for one in an
        environment variable.
    path : Path
        The Parquet file.

    Raises
    ------
    InvalidInput
        The query fails, returns no rows, or has columns that Parquet cannot hold. Messages have no password, and
        nothing of a connection that is a secret.
    NotFound
        The database file does not exist.
    """
    address = _address(connection)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    try:
        if address.startswith("duckdb:"):
            _by_duckdb(root, query, address, Path(temporary))
        else:
            _by_sqlalchemy(root, query, address, Path(temporary))
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except (InvalidInput, NotFound) as error:
        raise type(error)(_without(error.message, connection, address), hint=error.hint) from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def _address(connection: str) -> str:
    if not connection.startswith(IN_ENVIRONMENT):
        return connection
    name = connection.removeprefix(IN_ENVIRONMENT)
    address = os.environ.get(name, "")
    if not address:
        raise InvalidInput(
            f"the environment variable {name} of its connection is not set where the stage runs",
            hint="set it for the control plane, and start it again",
        )
    return address


def _by_duckdb(root: Path, query: str, address: str, path: Path) -> None:
    import duckdb

    file = address.removeprefix("duckdb:").removeprefix("//").removeprefix("/")
    database = str(_existing(root, file)) if file and file != ":memory:" else ":memory:"
    try:
        with duckdb.connect(database, read_only=database != ":memory:") as connection:
            connection.execute("SET file_search_path = ?", [str(root)])
            statements = connection.extract_statements(query)
            reads = duckdb.StatementType.SELECT, duckdb.StatementType.MULTI  # the second is a PIVOT
            if len(statements) != 1 or statements[0].type not in reads:
                raise InvalidInput("the query is not one statement that returns rows", hint="write a SELECT")
            connection.sql(_without_end(query)).write_parquet(str(path), compression="zstd")
    except duckdb.Error as error:
        raise InvalidInput(f"the query failed: {_line(str(error))}") from error


def _without_end(query: str) -> str:
    """A query of DuckDB without the semicolon that ends it: it becomes a part of another statement."""
    import duckdb

    for position, kind in reversed(duckdb.tokenize(query)):
        if kind != duckdb.token_type.comment:
            return query[:position] if query[position] == ";" else query
    return query


def _by_sqlalchemy(root: Path, query: str, address: str, path: Path) -> None:
    import sqlalchemy
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    try:
        url = sqlalchemy.engine.make_url(address)
        if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
            url = url.set(database=str(_existing(root, str(url.database))))
        engine = sqlalchemy.create_engine(url)
    except NoSuchModuleError as error:
        raise InvalidInput(
            f"there is no driver for '{address.partition(':')[0]}:' here",
            hint="install the package with its SQLAlchemy dialect",
        ) from error
    except ArgumentError as error:
        raise InvalidInput(
            "its connection is not a URL", hint="write a URL such as sqlite:///data/orders.db"
        ) from error
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"its connection needs the package {error.name}, which is not installed", hint=f"pip install {error.name}"
        ) from error
    try:
        with engine.connect() as connection:
            # Without parameters, so that '%' and ':name' in the query stand for themselves.
            options = {"stream_results": True, "no_parameters": True, "max_row_buffer": _ROWS}
            result = connection.execution_options(**options).exec_driver_sql(query)
            if not result.returns_rows:
                raise InvalidInput("the query returns no rows", hint="write a SELECT")
            names = list(result.keys())
            double = next((name for name in names if names.count(name) > 1), None)
            if double is not None:
                raise InvalidInput(f"the query returns two columns '{double}'", hint="rename one: SELECT a AS x")
            _write_rows(names, iter(lambda: result.fetchmany(_ROWS), []), path)
    except SQLAlchemyError as error:
        raise InvalidInput(f"the query failed: {_line(str(getattr(error, 'orig', None) or error))}") from error
    finally:
        engine.dispose()


def _write_rows(names: list[str], batches: Iterator[Sequence[Any]], path: Path) -> None:
    """Write rows whose types are known only when all of them were seen."""
    import pyarrow as pa
    from pyarrow import ipc, parquet

    with tempfile.TemporaryDirectory(prefix="mlops-query-", dir=path.parent) as folder:
        parts: list[Path] = []
        schema = pa.schema([(name, pa.null()) for name in names])
        for rows in batches:
            table = pa.table([_column(name, [row[at] for row in rows]) for at, name in enumerate(names)], names=names)
            schema = _unified(schema, table.schema)
            parts.append(Path(folder, str(len(parts))))
            with ipc.new_file(parts[-1], table.schema) as writer:
                writer.write_table(table)
        with parquet.ParquetWriter(path, schema, compression="zstd") as whole:
            for part in parts:
                with pa.memory_map(str(part)) as source:
                    whole.write_table(ipc.open_file(source).read_all().cast(schema))


def _unified(known: Any, new: Any) -> Any:
    import pyarrow as pa

    try:
        return pa.unify_schemas([known, new], promote_options="permissive")
    except pa.ArrowException as error:
        raise InvalidInput(
            f"a column of the query has values of several types: {_line(str(error))}", hint="CAST it to one type"
        ) from error


def _column(name: str, values: list[Any]) -> Any:
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        pass
    kinds = {type(value).__name__ for value in values if value is not None}
    if len(kinds) > 1 and not kinds <= {"int", "float", "Decimal"}:
        raise InvalidInput(
            f"column '{name}' has values of several types: {', '.join(sorted(kinds))}", hint="CAST it to one type"
        )
    # Numbers of unlike size, and types that Parquet does not have, such as UUIDs.
    numbers = kinds <= {"int", "float", "Decimal"}
    try:
        return pa.array([None if value is None else float(value) if numbers else str(value) for value in values])
    except OverflowError as error:
        raise InvalidInput(f"column '{name}' has a number that is too large", hint="CAST it to text") from error


def _existing(root: Path, file: str) -> Path:
    path = root / file
    if not path.is_file():
        raise NotFound(f"the database {file} does not exist", where=str(path))
    return path


def _without(message: str, connection: str, address: str) -> str:
    """A message without the password of a connection, and without any part of one that is a secret."""
    import sqlalchemy

    try:
        url = sqlalchemy.engine.make_url(address)
    except sqlalchemy.exc.ArgumentError:
        return message.replace(address, connection)
    parts = [address, url.password or ""]
    if connection.startswith(IN_ENVIRONMENT):
        parts += [url.host or "", url.username or "", url.database or "", str(url.query.get("password", ""))]
    for part in filter(None, parts):
        message = message.replace(str(part), "***")
    return message


def _line(text: str) -> str:
    return " ".join(text.split())[:400]
