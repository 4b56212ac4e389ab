"""A service of BentoML that answers the bodies of the benchmark of endpoints, as its documentation shows."""

from __future__ import annotations

import os
from typing import Any

import bentoml
import mlflow.pyfunc
import pandas as pd


@bentoml.service(workers=1)
class Served:
    """The model in the folder ``BENCH_MODEL``."""

    def __init__(self) -> None:
        self._model = mlflow.pyfunc.load_model(os.environ["BENCH_MODEL"])

    @bentoml.api(route="/invocations")
    def invocations(self, dataframe_split: dict[str, Any]) -> dict[str, Any]:
        """Answer the rows of a frame."""
        frame = pd.DataFrame(dataframe_split["data"], columns=dataframe_split["columns"])
        return {"predictions": self._model.predict(frame).tolist()}
