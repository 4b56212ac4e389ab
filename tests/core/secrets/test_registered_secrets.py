"""A registered secret is nowhere in what is written, however it was written."""

from __future__ import annotations

import html
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.core.secrets import mask, mask_value, register_environment, register_secrets, registered
from mlops_workbench.core.secrets.columns import is_secret_column


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(registered, "_registered", None)


def test_the_variables_that_are_named_hold_secrets_and_others_do_not():
    register_environment(
        {
            "MLOPS_SECRET_NAMES": "PLAIN, OTHER,GONE,SHORT",
            "PLAIN": "sesame",
            "OTHER": "open up",
            "SHORT": "abc",
            "X": "seed",
        }
    )
    assert mask("say sesame or open up, abc, seed") == "say *** or ***, abc, seed"


@pytest.mark.parametrize("secret", ["sesame", "a\"b\\c'd", "zwei\nZeilen", "pass word&more=1", "Schlüssel", "[.*](x)"])
def test_a_secret_is_masked_in_every_form_that_programs_write(secret):
    register_secrets([secret])
    for written in (
        secret,
        repr(secret),
        json.dumps(secret),
        json.dumps([secret], ensure_ascii=False),
        quote(secret, safe=""),
        html.escape(secret),
        secret.replace("\n", "\r\n"),
    ):
        assert mask(f"x {written} y").count("***") == 1
    assert registered.holds_registered(f"x{secret}y".encode())


@given(
    st.text(min_size=4, max_size=12).filter(lambda text: "*" not in text and text.strip() == text), st.text(), st.text()
)
def test_no_text_holds_a_registered_secret(secret, before, after):
    registered._registered = None
    register_secrets([secret])
    assert secret not in registered.mask_registered(before.replace("*", "") + secret + after.replace("*", ""))
    registered._registered = None


def test_values_and_names_are_masked_too():
    register_secrets(["sesame", "91827364"])
    assert mask_value("depth", {"sesame": ["a sesame b", 91827364, 3, 2.5, True, None, b"sesame"]}) == {
        "***": ["a *** b", "***", 3, 2.5, True, None, b"***"]
    }
    assert mask_value("door", "sesame") == "***" and mask_value("rows", 918273645) == 918273645


def test_a_longer_secret_is_masked_before_a_shorter_one_inside_of_it():
    register_secrets(["sesame"])
    register_secrets(["sesame street"])
    assert mask("to sesame street") == "to ***"


def test_a_column_with_a_registered_secret_is_one_of_secrets():
    values = ["abc"] * 5000 + ["the sesame"]
    assert not is_secret_column("door", values)
    register_secrets(["sesame"])
    assert is_secret_column("door", values) and not is_secret_column("door", values[:5000])
