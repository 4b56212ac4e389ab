"""A fitted estimator as a graph of ONNX, for estimators without a compiled form of our own.

skl2onnx and ONNX Runtime are optional: the extra ``onnx``. Their answers are not always the estimator's (missing values
in trees, scaled values that are rounded before a threshold), hence nothing of them is used unproven.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from mlops_workbench.core.errors import first_line
from mlops_workbench.data.fitted.inputs import ModelInputs
from mlops_workbench.serving.compiled.nouns import Array, NotCompiled, Rows, Unusual
from mlops_workbench.serving.runtimes.estimator import nested

_LIBRARIES = ("skl2onnx", "onnxruntime")
#: What a graph takes as one table, and as one column of texts.
_TABLES, _TEXTS = ("frame", "matrix"), ("series", "list", "vector")
_INPUT = "input"
_LABELS, _PROBABILITIES = 0, 1


def missing_libraries() -> list[str]:
    """The libraries that a graph needs and that are not installed."""
    return [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]


class OnnxProgram:
    """A graph in a session of ONNX Runtime.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        The graph.
    names : sequence of str
        Its inputs, one for each column; the only one for a table of numbers.
    classes : ndarray or None
        Labels of a classifier.
    """

    kind = "onnx"

    def __init__(self, session: Any, names: Sequence[str], classes: Array | None) -> None:
        self._session = session
        # A graph has no input for a column that no step uses.
        used = {one.name: _TYPES.get(one.type) for one in session.get_inputs()}
        self._inputs = [(place, name, used[name]) for place, name in enumerate(names) if name in used]
        self._is_table = list(names) == [_INPUT] and used.get(_INPUT) is not None
        self._classes = classes

    def answers(self, rows: Rows, outputs: Sequence[str]) -> dict[str, Array]:
        """Answer rows.

        Raises
        ------
        Unusual
            The estimator itself must answer them.
        """
        if self._is_table:
            feeds = {_INPUT: rows.numbers().astype(self._inputs[0][2], copy=False)}
        else:
            feeds = {name: _column(rows.columns[place], dtype) for place, name, dtype in self._inputs}
        try:
            found = self._session.run(None, feeds)
        except Exception as error:  # its errors have no common class; the estimator says what is wrong with the values
            raise Unusual from error
        if self._classes is None:
            [values] = found
            # Of the type of the estimator's answers, whatever the graph computes with.
            values = values.astype(np.float64)
            answers = {"predict": values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values}
        else:
            labels = np.asarray(found[_LABELS]).astype(self._classes.dtype)
            answers = {"predict": labels, "predict_proba": found[_PROBABILITIES].astype(np.float64)}
        if any(name not in answers for name in outputs):
            raise Unusual
        return {name: answers[name] for name in outputs}


#: Types of tensors, as those of NumPy; texts have none.
_TYPES: dict[str, Any] = {
    "tensor(double)": np.float64, "tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(bool)": np.bool_,
}  # fmt: skip


def onnx_program(estimator: Any, inputs: ModelInputs | None) -> OnnxProgram:
    """Return a fitted estimator of scikit-learn as a graph.

    Parameters
    ----------
    estimator : object
        The estimator, which stays as it is.
    inputs : ModelInputs or None
        Its inputs; None if the version has no schema.

    Raises
    ------
    NotCompiled
        It cannot be converted, or the libraries are missing.
    """
    if missing := missing_libraries():
        raise NotCompiled(f"{' and '.join(missing)} are not installed: pip install 'mlops-workbench[onnx]'")
    if not isinstance(estimator, BaseEstimator):
        raise NotCompiled("it is no estimator of scikit-learn")
    if inputs is None:
        raise NotCompiled("the version has no schema of its training data")
    if inputs.schema.form not in _TABLES + _TEXTS or not callable(getattr(estimator, "predict", None)):
        raise NotCompiled("it is no table, or the model has no predict")
    classes = getattr(estimator, "classes_", None) if is_classifier(estimator) else None
    if classes is not None and not isinstance(classes, np.ndarray):
        raise NotCompiled("it has several outputs")
    trees = (part.tree_ for part in nested(estimator) if hasattr(part, "tree_"))
    if not all(np.isfinite(tree.threshold).all() for tree in trees):
        # skl2onnx would look for the next smaller number for ever.
        raise NotCompiled("a tree parts the missing values from all others")
    types = _input_types(estimator, inputs)
    try:
        graph = _converted(estimator, types, is_classifier=classes is not None)
        session = _session(graph)
    except Exception as error:  # the libraries raise what they like, also for versions that do not fit each other
        raise NotCompiled(f"skl2onnx cannot convert it: {type(error).__name__}: {first_line(error)}") from error
    return OnnxProgram(session, [name for name, _ in types], classes)


def _converted(estimator: Any, types: list[tuple[str, Any]], *, is_classifier: bool) -> bytes:
    from skl2onnx import convert_sklearn

    options = {id(estimator): {"zipmap": False}} if is_classifier else None
    level = logging.getLogger("skl2onnx").level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("skl2onnx").setLevel(logging.ERROR)
        try:
            return bytes(convert_sklearn(estimator, initial_types=types, options=options).SerializeToString())
        finally:
            logging.getLogger("skl2onnx").setLevel(level)


def _session(graph: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One core answers a request, and a process that has threads must not be forked.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _input_types(estimator: Any, inputs: ModelInputs) -> list[tuple[str, Any]]:
    """Names and types of the inputs of the graph: the columns if a step chooses among them, else one table."""
    from skl2onnx.common.data_types import BooleanTensorType, DoubleTensorType, Int64TensorType, StringTensorType

    dtypes = [codec.wire for codec in inputs.codecs]
    if inputs.schema.form in _TEXTS:
        if dtypes[0].kind != "O":
            raise NotCompiled("it was fitted on one column that has no texts")
        return [(_INPUT, StringTensorType([None, 1]))]
    if not _has_columns(estimator):
        if any(dtype.kind not in "fiub" for dtype in dtypes):
            raise NotCompiled("a column has no numbers, and no step chooses columns")
        return [(_INPUT, DoubleTensorType([None, len(dtypes)]))]
    if inputs.schema.form == "matrix":
        raise NotCompiled("a step chooses columns of an array")
    kinds = {"f": DoubleTensorType, "i": Int64TensorType, "u": Int64TensorType, "b": BooleanTensorType}
    return [
        (spec.name, kinds.get(dtype.kind, StringTensorType)([None, 1]))
        for spec, dtype in zip(inputs.schema.columns, dtypes, strict=True)
    ]


def _has_columns(estimator: Any) -> bool:
    steps = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    return any(isinstance(step, ColumnTransformer) for step in steps[:1])


def _column(values: Array, dtype: Any) -> Array:
    if dtype is not None:
        if values.dtype.kind not in "fiub":
            raise Unusual
        return values.astype(dtype, copy=False).reshape(-1, 1)
    if values.dtype != object or any(type(value) is not str for value in values.tolist()):
        raise Unusual
    return values.reshape(-1, 1)
