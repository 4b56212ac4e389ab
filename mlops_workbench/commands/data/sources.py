"""Resolves a reference to data: a file, a run, a version, or a table of the notebook."""

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


def find_sources(frontend: FrontEnd, client: Client, reference: str, name: str = "") -> list[DataSource]:
    """Data behind `reference`: an existing file, else a run or version, else a table of the notebook.

    A run may have several data sets, of which `name` selects one. Raises NotFound if `reference` is none of these.
    """
    if (path := as_path(reference)) is not None:
        return [_of_table(read_file(path), f"file {reference}", path.name)]
    from mlops_workbench.client.datasets import choose_version, find_versions

    try:
        versions = find_versions(client, reference)
    except NotFound as no_version:
        return [_of_expression(frontend, reference, no_version)]
    if name:
        versions = [choose_version(versions, name)]
    return [_of_version(version, reference) for version in versions]


def find_table(frontend: FrontEnd, reference: str) -> Any:
    """Rows of a file, or of an expression of the notebook."""
    path = as_path(reference)
    return frontend.table(reference) if path is None else read_file(path)


def _of_expression(frontend: FrontEnd, expression: str, no_version: NotFound) -> DataSource:
    try:
        data = frontend.table(expression)
    except InvalidInput as problem:
        raise NotFound(
            f"'{expression}' is not a file, a run, a version of data or a table", hint=no_version.hint or problem.hint
        ) from problem
    return _of_table(data, f"table {expression}", expression)


def _of_table(data: Any, label: str, name: str) -> DataSource:
    from mlops_workbench.data.describe import describe_dataset

    described = describe_dataset("", data, name)
    return DataSource(
        label, name, described.digest, described.covers, described.rows, described.profile, as_frame(data)
    )


def _of_version(version: DatasetVersion, reference: str) -> DataSource:
    label = f"{version.name} of run {version.run}" if version.run == reference else f"{version.name} ({reference})"
    return DataSource(
        label, version.name, version.digest, version.covers, version.rows, version.profile, kept=bool(version.snapshot)
    )


def with_rows(client: Client, source: DataSource) -> DataSource:
    """The source with the rows of its snapshot, if one was kept."""
    if source.frame is not None or not source.kept:
        return source
    from mlops_workbench.data.snapshot import read_snapshot

    return replace(source, frame=as_frame(read_snapshot(client.dataset_file(source.digest, "snapshot"))))


def pair_sources(a: list[DataSource], b: list[DataSource]) -> list[tuple[DataSource, DataSource]]:
    """Pairs of data sets to compare.

    Data sets of the same name, then the same data under two names. If nothing matches, the first of each side, which
    is the widest training data.
    """
    if len(a) == 1 or len(b) == 1:
        matching = [(x, y) for x in a for y in b if x.name == y.name or x.digest == y.digest]
        return matching[:1] or [(a[0], b[0])]
    pairs: list[tuple[DataSource, DataSource]] = []
    unpaired = list(b)
    for matches in (lambda x, y: x.name == y.name, lambda x, y: x.digest == y.digest):
        for x in a:
            match = next((y for y in unpaired if matches(x, y)), None)
            if match is not None and all(x is not paired for paired, _ in pairs):
                pairs.append((x, match))
                unpaired.remove(match)
    return pairs or [(a[0], b[0])]
