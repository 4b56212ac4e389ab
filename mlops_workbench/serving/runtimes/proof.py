"""Comparison of an endpoint's answers with those of the object that was fitted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.data.fitted.answers import answer_columns, first_difference
from mlops_workbench.data.fitted.golden import GoldenRows
from mlops_workbench.serving.compiled.compiler import compiled
from mlops_workbench.serving.compiled.nouns import NotCompiled, Program, Rows, Unusual
from mlops_workbench.serving.compiled.trees import MANY
from mlops_workbench.serving.errors import InvalidModel
from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.runtimes.estimator import Runtime
from mlops_workbench.serving.runtimes.onnx import missing_libraries, onnx_program

log = logging.getLogger("mlops_workbench.serving")

#: Largest difference of probabilities of a program; XGBoost itself computes with floats of 32 bits.
_PROBABILITIES = 1e-6
#: ONNX Runtime computes many probabilities with floats of 32 bits.
_ONNX_PROBABILITIES = 1e-5
#: Rows of each kind that a program is also asked about one by one.
_SINGLE = 64


def prove(runtime: Runtime, golden: list[GoldenRows], kind: Literal["auto", "sklearn", "onnx"], where: str) -> int:
    """Compare the answers of a runtime with the golden set of its model, and compile it if that gives them, too.

    If it is not compiled, ``runtime.uncompiled`` says why.

    Parameters
    ----------
    runtime : Runtime
        The loaded model.
    golden : list of GoldenRows
        Rows, and the answers of the fitted object.
    kind : str
        ``auto`` tries the compiled form, then that of ONNX where its libraries are installed; ``sklearn`` none.
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
        if missing := [name for name in _methods(rows) if name not in runtime.outputs]:
            raise _unlike(rows, f"it has no {missing[0]}", where)
        count = len(rows.columns[0])
        try:
            difference = _difference(runtime, rows, range(count))
        except WorkbenchError as error:
            raise _unlike(rows, error.message, where) from error
        if difference:
            raise _unlike(rows, difference, where)
        compared += count
    _use_program(runtime, golden, kind)
    # A program was asked about single rows, too.
    if golden and runtime.program is None:
        runtime.is_row_wise = _is_row_wise(runtime, golden[0])
    return compared


def _is_row_wise(runtime: Runtime, rows: GoldenRows) -> bool:
    """Whether fewer rows have the answers that they have together with the others."""
    count = len(rows.columns[0])
    try:
        return not any(_difference(runtime, rows, part) for part in (range(1), range(count // 2, count)))
    except WorkbenchError:
        return False


def _difference(runtime: Runtime, rows: GoldenRows, chosen: range) -> str:
    """Where the answers to some of the rows differ first; empty if they do not."""
    names = _methods(rows)
    columns = {
        column.name: values[chosen.start : chosen.stop]
        for column, values in zip(runtime.signature.columns, rows.columns, strict=True)
    }
    found = runtime.predict(Batch(runtime.signature, len(chosen), columns), names)
    answers = {name: found.outputs[name] for name in names}
    return first_difference(rows.answers, answer_columns(answers), chosen=chosen)


def _use_program(runtime: Runtime, golden: list[GoldenRows], kind: Literal["auto", "sklearn", "onnx"]) -> None:
    """Make a program answer instead of the estimator, if it gives the answers of the golden set."""
    if kind == "sklearn":
        return
    if not golden:
        runtime.uncompiled = "the version has no golden set that a compiled model could be compared with"
        return
    reasons = []
    for make, probabilities in _programs(kind):
        try:
            runtime.program = _proven(make(runtime.estimator, runtime.signature.inputs), golden, probabilities)
            return
        except NotCompiled as reason:
            reasons.append(str(reason))
        except Exception as error:
            # Attributes of another version of scikit-learn, for example. The estimator itself answers.
            log.exception("the model cannot be compiled")
            reasons.append(f"it cannot be compiled: {type(error).__name__}: {error}")
    runtime.uncompiled = "; with ONNX: ".join(reasons)


def _programs(kind: Literal["auto", "sklearn", "onnx"]) -> Iterator[tuple[Callable[..., Program], float]]:
    """What makes programs, the fastest first, and the largest difference of the probabilities of each."""
    if kind == "auto":
        yield compiled, _PROBABILITIES
        if missing_libraries():
            return
    yield onnx_program, _ONNX_PROBABILITIES


def _proven(program: Program, golden: list[GoldenRows], probabilities: float) -> Program:
    """The program, if its answers are those of the golden set.

    Raises
    ------
    NotCompiled
        An answer is another one, or a method has none.
    """
    methods: set[str] = set()
    for rows in golden:
        methods.update(_compare(program, rows, probabilities))
    if missing := [name for name in _methods(golden[0]) if name not in methods]:
        raise NotCompiled(f"the compiled model gives no {missing[0]} for any row of the golden set")
    return program


def _compare(program: Program, rows: GoldenRows, probabilities: float) -> set[str]:
    """Compare the answers of a program, all together and one by one; returns the methods with answers.

    Raises
    ------
    NotCompiled
        An answer is another one.
    """
    methods = _methods(rows)
    count = len(rows.columns[0])
    answered: set[str] = set()
    for chosen in (range(count), *(range(row, row + 1) for row in range(min(count, _SINGLE)))):
        answered.update(_compared(program, rows, chosen, methods, probabilities))
    if answered and count < MANY:
        _compare_many(program, rows, methods, probabilities)
    return answered


def _compare_many(program: Program, rows: GoldenRows, methods: Sequence[str], probabilities: float) -> None:
    """Compare the answers to the rows several times over, since many rows take another way through trees."""
    times = -(-MANY // len(rows.columns[0]))
    try:
        found = program.answers(Rows([np.concatenate([column] * times) for column in rows.columns]), methods)
    except Unusual:
        return
    order = pa.array(np.tile(np.arange(len(rows.columns[0])), times))
    expected = {name: answers.take(order) for name, answers in rows.answers.items()}
    if difference := first_difference(expected, answer_columns(found), probabilities=probabilities):
        raise NotCompiled(f"the compiled model gives other answers to many {rows.kind} rows: {difference}")


def _compared(
    program: Program, rows: GoldenRows, chosen: range, methods: Sequence[str], probabilities: float
) -> set[str]:
    part = [column[chosen.start : chosen.stop] for column in rows.columns]
    try:
        found = program.answers(Rows(part), methods)
    except Unusual:
        # At least one row is; both halves may have rows that are answered.
        if len(chosen) == 1:
            return set()
        middle = chosen.start + len(chosen) // 2
        halves = range(chosen.start, middle), range(middle, chosen.stop)
        return set().union(*(_compared(program, rows, half, methods, probabilities) for half in halves))
    difference = first_difference(rows.answers, answer_columns(found), chosen=chosen, probabilities=probabilities)
    if difference:
        raise NotCompiled(f"the compiled model gives other answers to the {rows.kind} rows: {difference}")
    return set(methods)


def _methods(rows: GoldenRows) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.partition(":")[0] for name in rows.answers))


def _unlike(rows: GoldenRows, difference: str, where: str) -> InvalidModel:
    return InvalidModel(
        f"the endpoint does not give the model's own answers to the {rows.kind} rows of its golden set: {difference}",
        where=where,
        hint="the libraries here may be others than those it was fitted with (requirements.txt beside the model), or "
        "it depends on time, chance, files or the index of its data",
    )
