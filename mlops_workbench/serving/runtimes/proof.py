"""Comparison of an endpoint's answers with those of the object that was fitted."""

from __future__ import annotations

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.data.fitted.answers import answer_columns, first_difference
from mlops_workbench.data.fitted.golden import GoldenRows
from mlops_workbench.serving.errors import InvalidModel
from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.runtimes.estimator import Runtime


def prove(runtime: Runtime, golden: list[GoldenRows], where: str) -> int:
    """Compare the answers of a runtime with the golden set of its model.

    Parameters
    ----------
    runtime : Runtime
        The loaded model.
    golden : list of GoldenRows
        Rows, and the answers of the fitted object.
    where : str
        For the error message.

    Returns
    -------
    int
        Number of rows that were compared.

    Raises
    ------
    InvalidModel
        An answer is another one.
    """
    compared = 0
    for rows in golden:
        names = tuple(dict.fromkeys(name.partition(":")[0] for name in rows.answers))
        if missing := [name for name in names if name not in runtime.outputs]:
            raise _unlike(rows, f"it has no {missing[0]}", where)
        columns = {column.name: values for column, values in zip(runtime.signature.columns, rows.columns, strict=True)}
        try:
            found = runtime.predict(Batch(runtime.signature, len(rows.columns[0]), columns), names)
        except WorkbenchError as error:
            raise _unlike(rows, error.message, where) from error
        answers = {name: found.outputs[name] for name in names}
        if difference := first_difference(rows.answers, answer_columns(answers)):
            raise _unlike(rows, difference, where)
        compared += len(rows.columns[0])
    return compared


def _unlike(rows: GoldenRows, difference: str, where: str) -> InvalidModel:
    return InvalidModel(
        f"the endpoint does not give the model's own answers to the {rows.kind} rows of its golden set: {difference}",
        where=where,
        hint="the libraries here may be others than those it was fitted with (requirements.txt beside the model), or "
        "it depends on time, chance, files or the index of its data",
    )
