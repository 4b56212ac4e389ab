"""What a word about data means: a file, a run, a version, or a table of the notebook."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.commands.frontend import Face
from mlops_workbench.core.datasets import DatasetVersion
from mlops_workbench.core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    import pandas as pd

    from mlops_workbench.client.client import Client

_FILES = (".parquet", ".csv")


@dataclass(frozen=True)
class DataSource:
    """Data to compare: what is known of it, and the rows if they are at hand.

    Attributes
    ----------
    label : str
        What it is, in words.
    name : str
        Name of the data set.
    digest, covers : str
        Its version.
    rows : int
        Number of rows.
    profile : dict
        See :func:`mlops_workbench.data.profile.profile_table`.
    frame : DataFrame or None
        The rows: those of a table or file, or of a snapshot once it was fetched.
    kept : bool
        A snapshot was kept.
    """

    label: str
    name: str
    digest: str
    covers: str
    rows: int
    profile: dict[str, Any] = field(repr=False)
    frame: pd.DataFrame | None = field(default=None, repr=False)
    kept: bool = False


def find_sources(face: Face, client: Client, word: str, name: str = "") -> list[DataSource]:
    """Data that a word stands for: an existing file, else a run or version, else a table of the notebook.

    Parameters
    ----------
    face : Face
        Where the word was spoken.
    client : Client
        Of the control plane.
    word : str
        The word.
    name : str, optional
        Only this data set of a run.

    Returns
    -------
    list of DataSource
        Several for a run that used several.

    Raises
    ------
    NotFound
        It stands for nothing.
    """
    if (path := as_path(word)) is not None:
        return [_of_table(read_file(path), f"file {word}", path.name)]
    from mlops_workbench.client.datasets import choose_version, find_versions

    try:
        versions = find_versions(client, word)
    except NotFound as nothing:
        return [_of_expression(face, word, nothing)]
    if name:
        versions = [choose_version(versions, name)]
    return [_of_version(version, word) for version in versions]


def find_table(face: Face, word: str) -> Any:
    """The rows that a word stands for: a file, or an expression of the notebook."""
    path = as_path(word)
    return face.table(word) if path is None else read_file(path)


def as_path(word: str) -> Path | None:
    """The file or folder of that name, None when there is none with a table."""
    path = Path(word)
    try:
        return path if (path.suffix.lower() in _FILES and path.is_file()) or path.is_dir() else None
    except OSError:
        # An expression too long for a name.
        return None


def read_file(path: Path) -> pd.DataFrame:
    """A Parquet file or folder, or a CSV file, as a DataFrame.

    Raises
    ------
    InvalidInput
        It cannot be read.
    """
    import pandas as pd

    try:
        return pd.read_csv(path) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except (ValueError, OSError) as error:
        raise InvalidInput(f"cannot be read as a table: {error}", where=str(path)) from error


def as_frame(data: Any) -> pd.DataFrame | None:
    """Any kind of table as a DataFrame with names as text; None for what has no columns."""
    import pandas as pd

    from mlops_workbench.data.tables.columns import column_names
    from mlops_workbench.data.tables.kinds import kind_of

    kind = kind_of(data)
    if kind == "frame":
        frame = data.copy(deep=False)
        frame.columns = column_names(data)
        return frame
    if kind == "series":
        return data.to_frame(name=column_names(data)[0])
    if kind == "array" and data.ndim <= 2:
        return pd.DataFrame(data if data.ndim == 2 else data.reshape(-1, 1), columns=column_names(data))
    if kind == "arrow":
        return data.to_pandas()
    if kind == "polars":
        return (data if hasattr(data, "get_columns") else data.to_frame()).to_arrow().to_pandas()
    if kind == "records":
        frame = pd.DataFrame(list(data))
        frame.columns = [name if isinstance(name, str) else f"x{name}" for name in frame.columns]
        return frame
    return None


def _of_expression(face: Face, word: str, nothing: NotFound) -> DataSource:
    try:
        data = face.table(word)
    except InvalidInput as problem:
        raise NotFound(
            f"'{word}' is no file, no run, no version of data and no table", hint=nothing.hint or problem.hint
        ) from problem
    return _of_table(data, f"table {word}", word)


def _of_table(data: Any, label: str, name: str) -> DataSource:
    from mlops_workbench.data.describe import describe_dataset

    known = describe_dataset("", data, name)
    return DataSource(label, name, known.digest, known.covers, known.rows, known.profile, as_frame(data))


def _of_version(version: DatasetVersion, word: str) -> DataSource:
    label = f"{version.name} of run {version.run}" if version.run == word else f"{version.name} ({word})"
    return DataSource(
        label, version.name, version.digest, version.covers, version.rows, version.profile, kept=bool(version.snapshot)
    )


def with_rows(client: Client, source: DataSource) -> DataSource:
    """The source with its rows, if a snapshot of them was kept."""
    if source.frame is not None or not source.kept:
        return source
    from mlops_workbench.client.datasets import read_snapshot

    return replace(source, frame=as_frame(read_snapshot(client.dataset_file(source.digest, "snapshot"))))


def pair_sources(a: list[DataSource], b: list[DataSource]) -> list[tuple[DataSource, DataSource]]:
    """Which data set is to be compared with which.

    Those of one name; then the same data under two names; then, when nothing matches, the first of each side, which
    is the widest training data.
    """
    if len(a) == 1 or len(b) == 1:
        same = [(x, y) for x in a for y in b if x.name == y.name or x.digest == y.digest]
        return same[:1] or [(a[0], b[0])]
    pairs: list[tuple[DataSource, DataSource]] = []
    left = list(b)
    for matches in (lambda x, y: x.name == y.name, lambda x, y: x.digest == y.digest):
        for x in a:
            found = next((y for y in left if matches(x, y)), None)
            if found is not None and all(x is not paired for paired, _ in pairs):
                pairs.append((x, found))
                left.remove(found)
    return pairs or [(a[0], b[0])]
