"""Entry point: the experiment of MLflow runs that specify none."""

from __future__ import annotations

from mlflow.tracking.default_experiment.abstract_context import DefaultExperimentProvider


class CurrentExperiment(DefaultExperimentProvider):
    """The current experiment of the workbench, if one was chosen; otherwise MLflow's default.

    It is chosen by ``%mlops experiment NAME``, by ``MLOPS_EXPERIMENT`` (a pipeline's stage), or by
    ``%mlops autolog``, whose runs go to the experiment of tracked cells.
    """

    def in_context(self) -> bool:
        """Whether runs go to the journal, and an experiment was chosen."""
        # Called in every process that uses MLflow: the workbench is imported only if its URI is set.
        from mlflow.tracking import get_tracking_uri

        if not get_tracking_uri().startswith("mlops:"):
            return False
        from mlops_workbench.capture.session.session import current_session
        from mlops_workbench.tracking.plugin import autolog

        return current_session().experiment_chosen or autolog.follows_experiment()

    def get_experiment_id(self) -> str:
        """Id of that experiment, which is created if missing."""
        from mlflow.tracking import get_tracking_uri

        from mlops_workbench.capture.session.session import current_session
        from mlops_workbench.tracking.plugin.stores import journal_store

        store = journal_store(get_tracking_uri())
        return store.real.tracking.experiment_id(current_session().experiment)
