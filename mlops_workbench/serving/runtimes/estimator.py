"""A loaded estimator that predicts batches."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, is_regressor
from threadpoolctl import threadpool_limits

from mlops_workbench.core.errors import WorkbenchError, first_line
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.data.fitted.boosters import TableBooster, fitted
from mlops_workbench.serving.compiled.nouns import Program, Rows, Unusual
from mlops_workbench.serving.errors import InvalidModel, InvalidRequest, PredictionFailed
from mlops_workbench.serving.rows.answer_table import AnswerTable
from mlops_workbench.serving.rows.batch import Batch, InputForm
from mlops_workbench.serving.rows.signature import Signature
from mlops_workbench.serving.rows.values import Array
from mlops_workbench.serving.runtimes.boosters import use_one_thread
from mlops_workbench.serving.runtimes.loading import load_object
from mlops_workbench.serving.runtimes.model_folder import ModelFolder
from mlops_workbench.serving.runtimes.pyfunc import PyfuncModel
from mlops_workbench.serving.runtimes.times import PredictionTimes
from mlops_workbench.serving.runtimes.trees import check_trees

log = logging.getLogger("mlops_workbench.serving")

#: Modules whose objects may hold estimators.
_LIBRARIES = ("sklearn.", "xgboost.", "lightgbm.", "catboost.")
#: Errors of the libraries for values that they do not take; XGBoost's is a ValueError.
_REJECTIONS = ("LightGBMError", "CatBoostError")

PREDICT = "predict"
PREDICT_PROBA = "predict_proba"
TRANSFORM = "transform"

#: Values of an answer, which sparse ones of few bytes would exceed.
_MOST_VALUES = 50_000_000


@dataclass(frozen=True)
class Prediction:
    """Outputs for a batch.

    ``predict`` has shape (rows,) or (rows, targets), ``predict_proba`` (rows, classes), ``transform`` (rows, width).
    `table` has the names in ``predict``, if there are any.
    """

    outputs: dict[str, Array]
    table: AnswerTable | None = None


class Runtime:
    """A verified, loaded and tuned estimator.

    Parameters
    ----------
    estimator : object
        Fitted, with a ``predict`` or a ``transform`` method.
    signature : Signature
        Its inputs.
    predict_method : str
        Method for ``/invocations``.
    platform : str
        Its library, for the metadata.
    """

    def __init__(
        self, estimator: Any, signature: Signature, predict_method: str = PREDICT, platform: str = "sklearn"
    ) -> None:
        self.estimator = estimator
        self._library = platform
        self.signature = signature
        #: Answers instead of the estimator, if it was proven to give the same answers.
        self.program: Program | None = None
        #: Why there is no program; empty if there is one.
        self.uncompiled = ""
        #: Whether the answer to a row is the same whatever other rows are asked with it.
        self.is_row_wise = not isinstance(estimator, PyfuncModel)
        self.times = PredictionTimes()
        #: Guessed for a model without a schema.
        self.form: InputForm = _input_form(estimator, signature) if signature.inputs is None else "frame"
        self._none_columns = _none_columns(estimator) if signature.inputs is None else frozenset()
        self._texts = self.form == "vector" and signature.columns[0].type == "string"
        classes = getattr(estimator, "classes_", None)
        #: Labels in the order of the columns of ``predict_proba``; None unless it is a single-output classifier.
        self.classes: Array | None = (
            classes if isinstance(classes, np.ndarray) and classes.ndim == 1 and len(classes) else None
        )
        #: Outputs of a request that names none, and all that it may name.
        self.outputs, self.selectable = self._methods()
        self.default_output = predict_method if predict_method in self.selectable else self.outputs[0]
        #: Sample outputs, for their types and widths in the metadata.
        self.sample: dict[str, Array] = self._expected_outputs()
        #: Names in the sample.
        self._named: AnswerTable | None = None

    @property
    def platform(self) -> str:
        """What answers: the library, or the program that was made of the model."""
        return self._library if self.program is None else f"{self._library}-{self.program.kind}"

    @property
    def takes_params(self) -> bool:
        """Whether requests may have parameters for the model."""
        return isinstance(self.estimator, PyfuncModel) and bool(self.estimator.params)

    @property
    def may_have_named_answers(self) -> bool:
        """Whether its answers may have names, which are known only with an answer."""
        return isinstance(self.estimator, PyfuncModel)

    @property
    def output_samples(self) -> dict[str, Array | None]:
        """A sample of each output by its name in answers of the V2 protocol; None for an unknown one."""
        named = self._named.arrays(self.sample[PREDICT]) if self._named is not None else {}
        return {**named} if len(named) > 1 else {name: self.sample.get(name) for name in self.selectable}

    @classmethod
    def load(cls, folder: ModelFolder, settings: ServingSettings, tried: bool = False) -> Runtime:
        """Load the estimator of a verified folder and prepare it for serving.

        Parameters
        ----------
        folder : ModelFolder
            The folder.
        settings : ServingSettings
            Types and formats that may be loaded.
        tried : bool
            Whether another process has loaded the model without harm.

        Raises
        ------
        InvalidModel
            It contains types that are not trusted, cannot be read, or has neither ``predict`` nor ``transform``.
        """
        estimator = load_object(folder, settings, tried)
        if not (_has(estimator, PREDICT) or _has(estimator, TRANSFORM)):
            raise InvalidModel(
                f"{type(estimator).__name__} has no predict or transform method",
                where=str(folder.path),
                hint="register a classifier, a regressor, a transformer or a pipeline that ends with one",
            )
        parts: list[Any] = list(nested(estimator))
        check_trees(parts, str(folder.path))
        for part in parts:
            # For a small batch, a thread pool costs ten times as much as the trees.
            if getattr(part, "n_jobs", None) not in (None, 1):
                part.n_jobs = 1
            use_one_thread(part)
        return cls(estimator, folder.signature, folder.predict_method, folder.library)

    def predict(self, batch: Batch, outputs: Sequence[str]) -> Prediction:
        """Run the estimator on a batch.

        Parameters
        ----------
        batch : Batch
            Typed rows.
        outputs : sequence of str
            Among `self.selectable`.

        Raises
        ------
        InvalidRequest
            The estimator rejects the values (a missing value, an unknown category).
        PredictionFailed
            It fails in another way.
        """
        found = self._compiled(batch, outputs)
        if found is not None:
            return found
        try:
            data = batch.model_input(self.form, self._none_columns)
            table = None
            if self._texts and None in data:
                raise InvalidRequest(f"column '{self.signature.columns[0].name}': the model needs a text in every row")
            if isinstance(self.estimator, PyfuncModel):
                table, values = self.estimator.answer(data, batch.params)
                answers = dict.fromkeys(outputs, values)
            else:
                answers = {name: _dense(getattr(self.estimator, name)(data)) for name in outputs}
        except (InvalidRequest, PredictionFailed):
            raise
        except (ValueError, TypeError) as error:
            # Raised by scikit-learn and NumPy for wrong values; types and shapes were checked before.
            raise InvalidRequest(f"the model rejects these values: {first_line(error)}") from error
        except Exception as error:  # any error of foreign code must be answered
            if type(error).__name__ in _REJECTIONS:
                raise InvalidRequest(f"the model rejects these values: {first_line(error)}") from error
            log.exception("prediction failed")
            raise PredictionFailed(f"the model failed: {type(error).__name__}") from error
        for name, answer in answers.items():
            if len(answer) != batch.rows:
                raise PredictionFailed(f"{name} returned {len(answer)} rows for {batch.rows}")
        return Prediction(answers, table)

    def _compiled(self, batch: Batch, outputs: Sequence[str]) -> Prediction | None:
        if self.program is None:
            return None
        try:
            return Prediction(self.program.answers(rows_of(batch), outputs))
        except Unusual:
            return None
        except Exception:
            # The estimator answers, or says what is wrong with the values.
            log.exception("the compiled model failed")
            return None

    def warm_up(self, example: Batch) -> None:
        """Predict the input example once, so that no request waits for the initialisation of a first prediction.

        Raises
        ------
        InvalidModel
            The model cannot predict its input example.
        """
        try:
            found = self.predict(example, self.outputs)
            self.sample, self._named = found.outputs, found.table
        except WorkbenchError as error:
            raise InvalidModel(f"the model cannot predict its own input example: {error.message}") from error
        for name in set(self.selectable) - set(self.outputs):
            try:
                self.sample |= self.predict(example, (name,)).outputs
            except WorkbenchError as error:
                log.info("%s is not offered, since it fails for the input example: %s", name, error.message)
                self.selectable = self.outputs

    def _expected_outputs(self) -> dict[str, Array]:
        if self.classes is not None:
            found = {PREDICT: self.classes[:0], PREDICT_PROBA: np.zeros((0, len(self.classes)))}
            return {name: found[name] for name in self.outputs}
        # A bare booster, which is no estimator of scikit-learn, answers with numbers.
        numbers = not hasattr(self.estimator, "__sklearn_tags__") or is_regressor(self.estimator)
        if self.outputs == (TRANSFORM,):
            return {TRANSFORM: np.zeros((0, 0))}
        return {PREDICT: np.zeros(0, dtype=np.float64 if numbers else np.int64)}

    def _methods(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        has_transform = _has(self.estimator, TRANSFORM)
        if not _has(self.estimator, PREDICT) and has_transform:
            self.classes = None
            return (TRANSFORM,), (TRANSFORM,)
        # A multi-output classifier has lists of label arrays and of probability tables.
        has_probabilities = self.classes is not None and _has(self.estimator, PREDICT_PROBA)
        outputs = (PREDICT, PREDICT_PROBA) if has_probabilities else (PREDICT,)
        return outputs, (*outputs, TRANSFORM) if has_transform else outputs


def _has(estimator: object, method: str) -> bool:
    return callable(getattr(estimator, method, None))


def _dense(answer: Any) -> Array:
    if not hasattr(answer, "toarray"):
        return np.asarray(answer)
    if prod(answer.shape) > _MOST_VALUES:
        shape = " x ".join(map(str, answer.shape))
        raise InvalidRequest(f"the answer has {shape} values; send fewer rows at a time")
    return np.asarray(answer.toarray())


def rows_of(batch: Batch) -> Rows:
    """Return the rows of a batch for a program."""
    return Rows((), batch.arrays[0]) if batch.is_matrix else Rows(batch.arrays)


def limit_threads() -> None:
    """Limit BLAS and OpenMP of this thread to one thread each."""
    threadpool_limits(1)


def limit_warnings() -> None:
    """Let only warnings for users pass, in this whole process.

    scikit-learn sets all filters of the process again for each tree of a forest. A dozen, which Python and the
    libraries add, take a third of the time of a forest's answer to one row.
    """
    warnings.resetwarnings()
    warnings.simplefilter("ignore")
    warnings.simplefilter("default", UserWarning)


def load_estimator(folder: Path, settings: ServingSettings) -> Any:
    """Verify a model folder and load its estimator, as an endpoint would.

    Raises
    ------
    InvalidModel
        The folder is damaged, or contains types that are not trusted.
    """
    return fitted(Runtime.load(ModelFolder.open(folder, settings), settings).estimator)


def _input_form(estimator: Any, signature: Signature) -> InputForm:
    if signature.form == "vector" or (len(signature.columns) == 1 and _takes_texts(estimator)):
        return "vector"
    if signature.form == "matrix":
        return "matrix"
    if isinstance(estimator, PyfuncModel):
        return "frame"
    types = {column.type for column in signature.columns}
    named = any(hasattr(part, "feature_names_in_") for part in nested(estimator))
    return "frame" if named or not types <= {"boolean", "integer", "long", "float", "double"} else "matrix"


def _none_columns(estimator: Any) -> frozenset[str]:
    """Text columns whose missing values were None, not NaN, in the frame that the estimator was fitted on.

    To scikit-learn they are two categories, and an imputer of NaN leaves None as it is.
    """
    found: set[str] = set()
    for part in nested(estimator):
        names = list(getattr(part, "feature_names_in_", ()))
        # In a pipeline, only the first step has the names of the columns.
        for step in (part, *(step for _, step in getattr(part, "steps", ()))):
            if getattr(step, "missing_values", np.nan) is None:
                found.update(names)
            fitted = getattr(step, "categories_", ())
            if len(fitted) == len(names):
                found.update(
                    name for name, categories in zip(names, fitted, strict=True) if None in categories.tolist()
                )
    return frozenset(found)


def _takes_texts(estimator: Any) -> bool:
    # A text vectoriser takes a sequence of texts; iterating over a DataFrame would yield column names.
    first = estimator
    while getattr(first, "steps", None):
        first = first.steps[0][1]
    return hasattr(first, "build_analyzer")


def nested(root: object) -> Iterator[object]:
    """The estimator and all estimators nested in its attributes and containers, each once."""
    seen: set[int] = set()
    waiting: list[object] = [root]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, list | tuple | set):
            waiting.extend(part)
        elif isinstance(part, dict):
            waiting.extend(part.values())
        elif isinstance(part, np.ndarray):
            if part.dtype == object:
                waiting.extend(part.ravel().tolist())
        elif isinstance(part, BaseEstimator | TableBooster) or type(part).__module__.startswith(_LIBRARIES):
            yield part
            waiting.extend(getattr(part, "__dict__", {}).values())
