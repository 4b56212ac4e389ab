"""Plans a spec with the notebooks and files on the disk."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from mlops_workbench.core.errors import NotFound, WorkbenchError, did_you_mean
from mlops_workbench.notebooks.document import code_cells, kernel_name, language, read_notebook
from mlops_workbench.notebooks.names.used import used_names
from mlops_workbench.notebooks.parameters.declared import notebook_parameters
from mlops_workbench.notebooks.source import cell_tree
from mlops_workbench.pipelines.definition.nouns import PipelineSpec
from mlops_workbench.pipelines.plan.make import make_plan
from mlops_workbench.pipelines.plan.nouns import NotebookFacts, Plan


def plan_spec(spec: PipelineSpec, outputs: Callable[[str], Path], given: Mapping[str, object] | None = None) -> Plan:
    """Read the notebooks of a spec, find the files of its inputs, and plan its run; see `make_plan`."""
    here = spec.path.parent
    notebooks = {name: notebook_facts(here / name) for name in {stage.notebook for stage in spec.stages.values()}}
    return make_plan(spec, notebooks, lambda path: matching_files(here, path), outputs, given)


def matching_files(folder: Path, path: str) -> tuple[list[str], str]:
    """Files that a path or pattern in a spec means, and its absolute form; a file of that very name goes first."""
    literal = os.path.normpath(folder / path)
    if Path(literal).exists():
        return [literal], literal
    pattern = os.path.normpath(Path(glob.escape(str(folder))) / path)
    return sorted(glob.glob(pattern, recursive=True)), pattern  # noqa: PTH207 - the pattern may be absolute


def notebook_facts(path: Path) -> NotebookFacts | WorkbenchError:
    """What a plan needs to know of a notebook, or why it cannot run."""
    try:
        notebook = read_notebook(path)
        parameters = notebook_parameters(notebook, where=path.name)
    except WorkbenchError as error:
        return error
    kernel = kernel_name(notebook)
    if kernel != "python3":  # the kernel of this Python, which need not be installed as a spec
        from jupyter_client.kernelspec import find_kernel_specs

        known = find_kernel_specs()
        if kernel not in known:
            return NotFound(f"its kernel '{kernel}' is not installed", hint=did_you_mean(kernel, known))
    trees = [cell_tree(source, transform_cell) for _, source in code_cells(notebook)]
    return NotebookFacts(Path(os.path.abspath(path)), parameters, language(notebook), used_names(trees))


def transform_cell(source: str) -> str:
    """Turn the magics of a cell into Python, as IPython does."""
    # Most notebooks that are planned have no magics, and IPython takes longer to import than the planner.
    from IPython.core.inputtransformer2 import TransformerManager

    return TransformerManager().transform_cell(source)  # type: ignore[no-untyped-call]
