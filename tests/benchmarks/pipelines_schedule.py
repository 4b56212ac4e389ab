"""Part ``schedule`` of the benchmark of pipelines: the times of schedules over a year, against a walk over its minutes.

``python tests/benchmarks/pipelines_schedule.py`` prints the result alone.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import takewhile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from cron_oracle import EXPRESSIONS, ZONES, local_minutes, walk, year

from mlops_workbench.pipelines.triggers.cron import Cron

YEAR = 2026


def schedule() -> dict[str, float]:
    """Minutes of a year at which a schedule starts something though it must not, or does not though it must."""
    begin = time.perf_counter()
    start, end = year(YEAR)
    wrong = checked = starts = 0
    for zone in ZONES:
        minutes = local_minutes(zone, start, end)
        for text in EXPRESSIONS:
            expected = set(walk(text, minutes))
            cron = Cron(text, zone)
            found = list(takewhile(lambda at: at < end, cron.after(start)))
            # A time that is given twice is wrong, too.
            wrong += len(expected ^ set(found)) + len(found) - len(set(found))
            checked += len(minutes) - 1
            starts += len(expected)
    return {
        "schedule_wrong": wrong,
        "schedule_minutes": checked,
        "schedule_starts": starts,
        "schedule_seconds": round(time.perf_counter() - begin, 1),
    }


if __name__ == "__main__":
    print(json.dumps(schedule()))
