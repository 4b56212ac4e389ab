"""Schedules are set and removed in the files that people review; all else in these stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_workbench.core.errors import Conflict, NotFound, SpecError
from mlops_workbench.pipelines.definition.file import parse_spec
from mlops_workbench.pipelines.triggers.edit import (
    schedule_notebook,
    schedule_pipeline,
    unschedule_notebook,
    unschedule_pipeline,
)
from mlops_workbench.pipelines.triggers.notebooks import parse_schedules
from mlops_workbench.pipelines.triggers.targets import target_of_spec, trigger_id

HEAD = "version: 2  # two\nstages:\n  a: {notebook: a.ipynb}  # the only one\n"
FILE = Path("p.yaml")
BERLIN = {"cron": "0 6 * * 1", "timezone": "Europe/Berlin"}
#: What follows the stages.
SECTIONS = {
    "no section": "",
    "no end of line": "# the end",
    "an empty section": "on:\n",
    "an empty section with a comment": "on:  # nothing yet\nmax_active: 2\n",
    "other triggers": "on:\n  # new data\n  change: [data/*.csv]\n  dataset: flights\nmax_active: 2\n",
    "others in braces": "on: {change: data, dataset: [a, b]}\n",
    "empty braces": "on: {}\n",
    "another schedule": "on:\n  schedule:\n    cron: 5 5 * * *  # early\n    catchup: once\n  change: x.csv\n",
    "another in braces": "on:\n  schedule: {cron: 5 5 * * *, timezone: UTC}  # early\n",
    "a list of one": "on:\n  schedule:\n    - cron: 5 5 * * *\n      timezone: UTC\nmax_active: 2\n",
}


def comments(text: str) -> list[str]:
    return [line.partition("#")[2] for line in text.splitlines() if "#" in line]


@pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)
def test_a_schedule_is_set_and_removed_and_all_else_stays(section: str) -> None:
    text = HEAD + section
    before = parse_spec(text, FILE)
    after = schedule_pipeline(text, FILE, BERLIN)
    spec = parse_spec(after, FILE)
    found = [trigger.settings for trigger in spec.triggers if trigger.kind == "schedule"]
    others = [trigger for trigger in spec.triggers if trigger.kind != "schedule"]
    assert [(item["cron"], item["timezone"]) for item in found] == [("0 6 * * 1", "Europe/Berlin")]
    assert found[0]["catchup"] == ("once" if "catchup" in section else "skip")
    assert others == [trigger for trigger in before.triggers if trigger.kind != "schedule"]
    assert comments(after) == comments(text) and (spec.stages, spec.max_active) == (before.stages, before.max_active)
    without = unschedule_pipeline(after, FILE)
    assert list(parse_spec(without, FILE).triggers) == others


def test_what_cannot_be_set_is_refused_and_says_why() -> None:
    with pytest.raises(SpecError, match="five parts"):
        schedule_pipeline(HEAD, FILE, {"cron": "0 6 *"})
    with pytest.raises(SpecError, match="time zone"):
        schedule_pipeline(HEAD, FILE, {**BERLIN, "timezone": "Europe/Berlinn"})
    with pytest.raises(Conflict, match="several"):
        schedule_pipeline(HEAD + "on:\n  schedule: [{cron: 1 1 * * *}, {cron: 2 2 * * *}]\n", FILE, BERLIN)
    with pytest.raises(Conflict, match="version 1") as refused:
        schedule_pipeline("version: 1\nstages:\n  a: {notebook: a.ipynb}\n", FILE, BERLIN)
    assert "migrate" in str(refused.value.hint)
    with pytest.raises(NotFound):
        unschedule_pipeline(HEAD, FILE)


def test_notebooks_have_entries_of_their_own() -> None:
    path, entry = Path("schedules.yaml"), {"notebook": '"a b/nb.ipynb"', "cron": '"0 6 * * 1"'}
    one = schedule_notebook("", path, "weekly", entry)
    two = schedule_notebook(one + "    # the other follows\n", path, "daily", {**entry, "params": "{x: 2026-01-01}"})
    changed = schedule_notebook(two, path, "weekly", {**entry, "cron": '"1 1 * * *"', "catchup": "all"})
    weekly, daily = parse_schedules(changed, path)
    assert (weekly.name, weekly.notebook, weekly.triggers[0].settings["catchup"]) == ("weekly", "a b/nb.ipynb", "all")
    assert weekly.triggers[0].settings["cron"] == "1 1 * * *" and daily.params == {"x": "2026-01-01"}
    assert "# the other follows" in changed
    assert [target.name for target in parse_schedules(unschedule_notebook(changed, path, "weekly"), path)] == ["daily"]
    with pytest.raises(NotFound, match="weekley"):
        unschedule_notebook(changed, path, "weekley")


@pytest.mark.parametrize(
    "text",
    [
        "schedules: {}", "version: 2", "version: 1\nschedules:\n  a: {cron: 1 1 * * *}",
        "version: 1\nschedules:\n  a: {cron: 1 1 * * *, notebook: /a.ipynb}",
        "version: 1\nschedules:\n  a: {cron: 1 1 * * *, notebook: ../a.ipynb}",
        "version: 1\nschedules:\n  a b: {cron: 1 1 * * *, notebook: a.ipynb}",
        "version: 1\nschedules:\n  a: {cron: 1 1 * * *, notebook: a.ipynb, tz: UTC}",
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_the_place(text: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse_schedules(text, Path("schedules.yaml"))
    assert str(refused.value.where).startswith("schedules.yaml:")


def test_a_trigger_stays_itself_when_only_its_manner_changes() -> None:
    def identity(settings: str) -> str:
        spec = parse_spec(f"{HEAD}on:\n  schedule: {{{settings}}}\n", FILE)
        return trigger_id(target_of_spec(spec).id, spec.triggers[0])

    assert identity("cron: 1 1 * * *") == identity("cron: 1 1 * * *, catchup: all")
    assert identity("cron: 1 1 * * *") != identity("cron: 1 1 * * *, timezone: Europe/Berlin")
