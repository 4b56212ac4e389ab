"""Masking of any text: how much is found in examples that no rule was made for, and what holds for every text."""

from __future__ import annotations

import random
import string
import uuid

import pytest
import secret_corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_workbench.core.secrets import MASK, mask
from mlops_workbench.core.secrets.formats import looks_random
from mlops_workbench.core.secrets.values import is_secret

AWS = "AKIA" + "IOSFODNN7EXAMPLE"
JWT = "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
RANDOM = "q7Xk29sD02ksZ1" + "vB8nM4wQ6yT3uI"
PEM_LINE = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDx"


def test_nearly_all_secrets_of_the_unseen_half_are_hidden_and_nearly_nothing_else():
    found = secret_corpus.measure("unseen")
    assert min(found["secrets_true"], found["secrets_false"]) >= 300
    assert found["secrets_caught_pct"] >= 97
    assert found["secrets_false_pct"] <= 1


@pytest.mark.parametrize("half", ["tuning", "unseen"])
def test_masking_an_example_again_changes_nothing(half):
    for example in secret_corpus.true_examples(half):
        masked = mask(example.text)
        assert mask(masked) == masked


# Pieces that an adversary, or a program that prints programs, may put side by side.
_pieces = st.sampled_from(
    [
        "password",
        "token",
        "key",
        "api_key",
        "=",
        ":",
        " ",
        "\n",
        '"',
        "'",
        '"""',
        "\\",
        '\\"',
        "(",
        ")",
        "[",
        "]",
        ",",
        "://",
        "@",
        "Bearer ",
        "***",
        "*",
        "abc",
        "A1b2",
        RANDOM,
        AWS,
        JWT,
        "export ",
        "--",
        "{",
        "}",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        PEM_LINE,
        "/",
        "eyJ",
        ".",
        "SG.",
        "$",
        "%s",
        "True",
        ";",
        "&",
    ]
)


@settings(max_examples=400)
@given(st.lists(_pieces | st.text(max_size=5), max_size=25).map("".join))
def test_masking_again_changes_nothing(text):
    masked = mask(text)
    assert mask(masked) == masked


@settings(max_examples=200)
@given(
    st.text(string.ascii_letters + string.digits + "!#%&()+,-./:;?@^_|~ äß", min_size=4, max_size=60)
    .filter(lambda text: text.strip() and not set(text) <= set("0123456789-+.,:/%eExX _") and text[0] not in "$%")
    .filter(lambda text: is_secret(text, "strong", "API_KEY")),
    st.sampled_from(
        ['{name} = "{value}"', "f({name}='{value}')", '{{"{name}": "{value}"}}', 'os.environ["{name}"] = "{value}"']
    ),
    st.sampled_from(["password", "API_KEY", "dbPassword", "GITHUB_TOKEN", "client_secret"]),
)
def test_a_literal_under_the_name_of_a_secret_never_survives(value, form, name):
    left = mask(form.format(name=name, value=value))
    assert MASK in left
    assert left == form.format(name=name, value=MASK)


@settings(max_examples=200)
@given(
    st.lists(
        st.sampled_from(["alpha", "Beta", "gamma2", "MAX", "depth", "rate", "2013", "x1", "fold", "Score", "mean3"]),
        min_size=1,
        max_size=9,
    ),
    st.sampled_from(["_", "-", "/", "."]),
)
def test_names_made_of_words_are_not_random(words, sign):
    text = sign.join(words)
    assert mask(text) == text


@settings(max_examples=200)
@given(st.uuids(), st.binary(min_size=20, max_size=32))
def test_ids_and_hashes_are_not_secrets(one, data):
    for text in (str(one), one.hex, data.hex(), uuid.UUID(bytes=data[:16]).urn):
        assert mask(f"x = {text!r}") == f"x = {text!r}"


def test_random_keys_are_found_nearly_always():
    generator = random.Random(7)
    alphabet = string.ascii_letters + string.digits
    keys = ["".join(generator.choices(alphabet, k=32)) for _ in range(1000)]
    assert sum(map(looks_random, keys)) > 950


@pytest.mark.some(3)
@pytest.mark.parametrize(
    "piece",
    [
        "key",
        "token=",
        "token='",
        'token="',
        "eyJa-",
        "eyJ.",
        "://",
        "://a:",
        "a@",
        "Bearer ",
        "key=[",
        "key=['a',",
        "-",
        "A1b",
        "sk-",
        "-----BEGIN PRIVATE KEY-----",
        'key="""',
        "password: Optional[",
        "password ",
        '\\"token=',
        "[PAD]token=<",
        "x",
        "=",
        "://a:b@",
        "://a:@/",
        "password, ",
        "curl -u ",
        "mysql -p",
        "<password>",
        "PASSWORD '",
        "Set-Cookie: a=",
        "machine x login ",
        "insert into a (password) values (",
        'auth=("a",',
        "name: KEY, value: ",
        "pin = ",
        "a@b:",
        "login(a, ",
    ],
)
def test_a_long_text_of_anything_is_read_in_one_go(piece):
    # A pattern that goes back over what it has read would take an hour here; the test run's own limit would end it.
    text = piece * (200_000 // len(piece))
    assert len(mask(text)) <= 3 * len(text) + 3
