"""The graph of a pipeline as text."""

from __future__ import annotations

from collections.abc import Sequence

from mlops_workbench.pipelines.graph.states import GraphStage

_SIGNS = {
    "succeeded": "✓", "failed": "✗", "cancelled": "■", "refused": "!", "running": "▶", "pending": "·", "skipped": "-",
}  # fmt: skip


def graph_text(stages: Sequence[GraphStage]) -> str:
    """Draw stages as a tree: each below one that it needs, the others after an arrow.

    Examples
    --------
    >>> print(graph_text([GraphStage("prepare", "p.ipynb", (), 0), GraphStage("train", "t.ipynb", ("prepare",), 1)]))
    prepare
    └─▶ train
    """
    levels = {stage.name: stage.level for stage in stages}
    parents: dict[str, str] = {}
    for stage in stages:
        if stage.needs:
            # The one that is ready last, so that a line stands below all that must run before.
            parents[stage.name] = max(stage.needs, key=lambda need: levels.get(need, 0))
    below: dict[str, list[GraphStage]] = {}
    for stage in stages:
        below.setdefault(parents.get(stage.name, ""), []).append(stage)
    lines: list[tuple[str, GraphStage]] = []
    # Not recursive: a chain may have thousands of stages.
    waiting = [(stage, "", "") for stage in reversed(below.get("", []))]
    while waiting:
        stage, before, arrow = waiting.pop()
        also = [need for need in stage.needs if need != parents.get(stage.name)]
        lines.append((f"{before}{arrow}{stage.name}" + (f" ◀ {', '.join(also)}" if also else ""), stage))
        indent = before + {"": "", "├─▶ ": "│   ", "└─▶ ": "    "}[arrow]
        children = below.get(stage.name, [])
        for child in reversed(children):
            waiting.append((child, indent, "└─▶ " if child is children[-1] else "├─▶ "))
    wide = max((len(text) for text, _ in lines), default=0)
    return "\n".join(f"{text:<{wide}}  {_state(stage)}".rstrip() for text, stage in lines)


def _state(stage: GraphStage) -> str:
    words = f"{_SIGNS[stage.state]} {stage.state}" if stage.state in _SIGNS else stage.state
    return "  ".join(part for part in (words, stage.detail) if part)
