"""What a client says of itself reaches the trail as it is, in any language, and is never more than a claim."""

from __future__ import annotations

import getpass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from mlops_workbench.client.bodies import ACTOR, LONGEST_ACTOR, SOURCE
from mlops_workbench.client.caller import caller_headers, user_name
from mlops_workbench.control.audit.actors import CONTROL, acting, acting_as, declared_actor, process
from mlops_workbench.core.audit import DECLARED_SOURCES


@given(st.text(st.characters(exclude_categories=()), max_size=300), st.sampled_from(DECLARED_SOURCES))
def test_any_name_passes_the_headers(name: str, source: str) -> None:
    headers = caller_headers(name, source)
    # No character of a name ends a header or begins another one.
    assert all(text.isascii() and text.isprintable() for text in headers.values())
    found = declared_actor(Headers(headers))
    shown = name[:LONGEST_ACTOR].encode("utf-8", "backslashreplace").decode().strip()[:LONGEST_ACTOR]
    assert (found.name, found.source) == (shown or "unknown", source)
    assert (found.kind, found.declared) == ("person", bool(shown))


@given(st.binary(max_size=400), st.text(st.characters(max_codepoint=255), max_size=20))
def test_any_header_is_a_name_or_none(actor: bytes, source: str) -> None:
    given_headers = [(ACTOR.lower().encode(), actor), (SOURCE.lower().encode(), source.encode("latin-1"))]
    found = declared_actor(Headers(raw=given_headers))
    assert found.kind == "person" and 0 < len(found.name) <= LONGEST_ACTOR
    assert found.source in DECLARED_SOURCES


@pytest.mark.parametrize("source", ["mlflow", "pipeline", "control", ""])
def test_no_client_is_taken_for_a_process(source: str) -> None:
    found = declared_actor(Headers({ACTOR: "pipeline flights", SOURCE: source}))
    assert (found.kind, found.source, found.declared) == ("person", "rest", True)
    assert found.id != process("pipeline flights", "pipeline").id
    nobody = declared_actor(Headers({}))
    assert (nobody.name, nobody.source, nobody.declared) == ("unknown", "rest", False)


def test_who_acts_ends_with_the_block() -> None:
    assert acting() == CONTROL
    with pytest.raises(RuntimeError), acting_as(process("monitor")):
        assert acting().name == "monitor"
        raise RuntimeError
    assert acting() == CONTROL


def test_the_user_of_a_hub_goes_before_that_of_its_container(monkeypatch: pytest.MonkeyPatch) -> None:
    assert user_name() == getpass.getuser()
    monkeypatch.setenv("JUPYTERHUB_USER", "ann")
    assert user_name() == "ann"

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1000")

    monkeypatch.delenv("JUPYTERHUB_USER")
    monkeypatch.setattr(getpass, "getuser", nobody)
    assert user_name() == "" and caller_headers("", "cli") == {SOURCE: "cli"}
