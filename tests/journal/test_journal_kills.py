"""The death of a process, however sudden, loses nothing that a call returned from."""

from __future__ import annotations

import pytest
from kill_trials import run_trials

pytestmark = pytest.mark.process


def test_killing_a_process_at_any_moment_loses_doubles_and_invents_nothing(tmp_path):
    counts = run_trials(24, tmp_path, seed=11)
    assert (counts.lost, counts.duplicated, counts.false) == (0, 0, 0), sorted(tmp_path.iterdir())
    assert counts.trials == 24 and counts.calls > 5_000
    assert counts.rotated >= 3, "files were changed while processes were killed"


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_long_series_of_kills_loses_doubles_and_invents_nothing(tmp_path):
    counts = run_trials(500, tmp_path, seed=12)
    assert (counts.lost, counts.duplicated, counts.false) == (0, 0, 0), sorted(tmp_path.iterdir())
