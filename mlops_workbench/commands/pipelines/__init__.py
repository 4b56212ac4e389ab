"""Commands of pipelines, notebooks, sweeps and schedules."""
