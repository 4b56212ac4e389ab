"""What predictions of a model take, learned from those that were made."""

from __future__ import annotations

#: Weight of a new observation.
_WEIGHT = 0.2
#: Rows up to which a batch says what a prediction costs apart from its rows.
_FEW = 8


class PredictionTimes:
    """Times of one model on this machine; used by one thread at a time."""

    def __init__(self) -> None:
        self._fixed: float | None = None
        self._per_row = 0.0

    def expected(self, rows: int) -> float:
        """Seconds for a batch; infinite until something is known."""
        return float("inf") if self._fixed is None else self._fixed + self._per_row * rows

    def observe(self, rows: int, seconds: float) -> None:
        """Learn from a batch."""
        if self._fixed is None:
            self._fixed = seconds
        elif rows <= _FEW:
            self._fixed += _WEIGHT * (seconds - self._fixed)
        else:
            self._per_row += _WEIGHT * (max(seconds - self._fixed, 0.0) / rows - self._per_row)
