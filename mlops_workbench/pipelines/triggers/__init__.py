"""When a pipeline or a notebook starts by itself: times, changes, and what holds a start back."""
