"""``python -m mlops_workbench.cli`` is ``mlops``."""

from mlops_workbench.cli import main

main()
