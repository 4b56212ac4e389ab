"""Imports papermill without libraries that it imports for storage that pipelines do not use; they take a second."""

from mlops_workbench.notebooks.format import SLOW_URLS, imported_without

with imported_without(SLOW_URLS, "pyarrow"):  # for its HDFS paths
    import papermill

__all__ = ["papermill"]
