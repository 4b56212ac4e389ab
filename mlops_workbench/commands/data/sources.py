"""What a word about data means: a file, a run, a version, or a table of the notebook."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlops_workbench.commands.frontend import FrontEnd
from mlops_workbench.core.datasets import DatasetVersion
from mlops_workbench.core.errors import InvalidInput, NotFound
from mlops_workbench.data.compare.source import DataSource
from mlops_workbench.data.files import as_path, read_file
from mlops_workbench.data.tables.frames import as_frame

if TYPE_CHECKING:
    from mlops_workbench.client.client import Client


def find_sources(frontend: FrontEnd, client: Client, word: str, name: str = "") -> list[DataSource]:
    """Data that a word stands for: an existing file, else a run or version, else a table of the notebook.

    Parameters
    ----------
    frontend : FrontEnd
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
        return [_of_expression(frontend, word, nothing)]
    if name:
        versions = [choose_version(versions, name)]
    return [_of_version(version, word) for version in versions]


def find_table(frontend: FrontEnd, word: str) -> Any:
    """The rows that a word stands for: a file, or an expression of the notebook."""
    path = as_path(word)
    return frontend.table(word) if path is None else read_file(path)


def _of_expression(frontend: FrontEnd, word: str, nothing: NotFound) -> DataSource:
    try:
        data = frontend.table(word)
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
    from mlops_workbench.data.snapshot import read_snapshot

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
