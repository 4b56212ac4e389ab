"""A spec of version 1 is written anew as version 2, with its comments, and means the same."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_workbench.core.errors import Conflict, SpecError
from mlops_workbench.pipelines.definition.file import parse_spec
from mlops_workbench.pipelines.definition.migrate import comparable, migrate

FILE = Path("/specs/flights.yaml")

BLOCK = """\
# head
version: 1  # the first
params:
  seed: 1  # of the generator

stages:
  # makes the model
  train:
    notebook: train.ipynb  # trains
    outputs: {clf: clf.skops}
  # compares it
  evaluate:
    notebook: evaluate.ipynb
    inputs:
      clf: train.clf  # the model

# at last
publish:
  stage: train  # its model
  as: m
  # must beat the rule of thumb
  gate:
    - mae < baseline_mae  # the rule
    # and be good
    - "mae < 20"
  metrics_from: evaluate
"""


def test_comments_and_layout_stay_and_the_gate_moves_to_its_stage() -> None:
    assert (
        migrate(BLOCK, FILE)
        == """\
# head
version: 2  # the first
params:
  seed: 1  # of the generator

stages:
  # makes the model
  train:
    notebook: train.ipynb  # trains
    outputs: {clf: clf.skops}
  # compares it
  evaluate:
    notebook: evaluate.ipynb
    inputs:
      clf: train.clf  # the model
    # must beat the rule of thumb
    gate:
      - mae < baseline_mae  # the rule
      # and be good
      - "mae < 20"

# at last
publish:
  model: evaluate.clf  # its model
  as: m
"""
    )


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_ends_of_lines_stay(end: str) -> None:
    found = migrate(BLOCK.replace("\n", end), FILE)
    assert found == migrate(BLOCK, FILE).replace("\n", end)


STAGES = st.sampled_from(
    [
        "  a: {notebook: a.ipynb, outputs: {m: m.skops}}\n  b: {notebook: b.ipynb, inputs: {x: a.m},}\n",
        "  a:\n    notebook: a.ipynb\n    outputs: {m: m.skops}\n  b:\n    notebook: b.ipynb\n    inputs: {x: a.m}\n",
        "    a:\n        notebook: a.ipynb\n        outputs:\n            m: m.skops  # model\n"
        "    b:\n        inputs:\n            x: a.m\n        notebook: |-\n            b.ipynb\n",
    ]
)
ENTRIES = {
    "stage": ["a", '"a"'], "as": ["m"], "alias": ["champion", None], "metrics_from": ["b", "a", None],
    "gate": ["[x < 1]", "['x < 1', y > 2]", None, "\n    - x < 1\n    # why\n    - 'y < 2'", "\n  - x < 1", "[]"],
}  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(STAGES, st.fixed_dictionaries({key: st.sampled_from(values) for key, values in ENTRIES.items()}),
       st.permutations(list(ENTRIES)), st.booleans(), st.booleans())  # fmt: skip
def test_every_layout_of_a_publication_is_rewritten_and_means_the_same(
    stages: str, values: dict[str, str | None], order: list[str], flow: bool, first: bool
) -> None:
    entries = [(key, values[key]) for key in order if values[key] is not None]
    if flow:
        entries = [(key, "[x < 1]" if "\n" in str(value) else value) for key, value in entries]
        publish = "publish: {" + ", ".join(f"{key}: {value}" for key, value in entries) + "}\n"
    else:
        publish = "publish:\n" + "".join(f"  {key}: {value}\n" for key, value in entries)
    text = "version: 1\n" + (publish if first else "") + f"stages:\n{stages}" + ("" if first else publish)
    before = parse_spec(text, FILE)
    after = parse_spec(migrate(text, FILE), FILE)
    assert (before.version, after.version) == (1, 2)
    assert comparable(after) == comparable(before)
    assert not any(word in migrate(text, FILE) for word in ("metrics_from", "version: 1"))


def test_what_version_2_cannot_say_is_refused_with_the_reason() -> None:
    text = BLOCK.replace("clf.skops", "clf.txt")
    with pytest.raises(Conflict, match="the model is of stage 'train', its metrics are of 'evaluate'") as caught:
        migrate(text, FILE)
    assert caught.value.where == f"{FILE}:26:17"
    with pytest.raises(Conflict, match="version 2 already"):
        migrate("version: 2\nstages: {a: {notebook: a.ipynb}}", FILE)
    with pytest.raises(Conflict, match="names a baseline"):
        migrate(BLOCK.replace('"mae < 20"', "mae < baseline.mae"), FILE)
    # The brackets are a pattern of files in version 1 and a choice in version 2.
    odd = dedent("""\
        version: 1
        stages:
          a: {notebook: a.ipynb, outputs: {m: m.skops}}
          b: {notebook: b.ipynb, inputs: {x: "a.m[max auc]"}}
        """)
    with pytest.raises(Conflict):
        migrate(odd, FILE)


def test_a_wrong_spec_is_not_rewritten() -> None:
    with pytest.raises(SpecError, match="unknown key"):
        migrate(BLOCK.replace("notebook: train", "notebok: train"), FILE)
