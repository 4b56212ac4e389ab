"""A signature holds for exactly the files that were signed, and only with the key that signed them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from signed_models import new_key, statement_of, with_statement

from mlops_workbench.serving.errors import InvalidSignature
from mlops_workbench.serving.signatures.oms import Signature, key_id, public_pem, sign, verify

KEY, OTHER = new_key(), new_key()
TRUSTED = [OTHER.public_key(), KEY.public_key()]

digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
paths = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1).filter(
        lambda part: part not in (".", "..")
    ),
    min_size=1,
    max_size=3,
).map("/".join)
file_lists = st.dictionaries(paths, digests, max_size=8)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


FILES = {"MLmodel": digest("a"), "model.skops": digest("b"), "mlops/reference.parquet": digest("c")}
BUNDLE = sign("model", FILES, ["model.sig"], KEY)


@given(file_lists, st.text(st.characters(codec="utf-8")))
def test_what_was_signed_verifies_whatever_the_names_of_the_files(files: dict[str, str], name: str) -> None:
    bundle = sign(name, files, ["model.sig"], KEY)
    assert verify(bundle, files, TRUSTED) == Signature(key_id(KEY.public_key()), True)
    assert verify(bundle, files, [OTHER.public_key()]) == Signature(key_id(KEY.public_key()), False)


@given(st.dictionaries(paths, digests, min_size=1, max_size=8), st.data())
def test_any_other_set_of_files_is_refused(files: dict[str, str], data: st.DataObject) -> None:
    bundle = sign("m", files, [], KEY)
    path = data.draw(st.sampled_from(sorted(files)))
    changed = bytearray.fromhex(files[path])
    changed[data.draw(st.integers(0, 31))] ^= 1 << data.draw(st.integers(0, 7))
    fewer = {name: value for name, value in files.items() if name != path}
    more = {**files, data.draw(paths.filter(lambda name: name not in files)): digest("x")}
    for wrong in ({**files, path: changed.hex()}, fewer, more):
        # Also by a key that is not known, whose signature cannot be verified.
        for trusted in (TRUSTED, []):
            with pytest.raises(InvalidSignature):
                verify(bundle, wrong, trusted)


def test_a_file_that_need_not_be_signed_counts_if_it_is(  # the manifest, which is part of most signatures
) -> None:
    manifest = {"mlops/manifest.json": digest("m")}
    assert verify(BUNDLE, FILES, TRUSTED, manifest).trusted
    with_it = sign("m", {**FILES, **manifest}, [], KEY)
    assert verify(with_it, FILES, TRUSTED, manifest).trusted
    with pytest.raises(InvalidSignature, match="manifest"):
        verify(with_it, FILES, TRUSTED, {"mlops/manifest.json": digest("n")})


def test_the_form_is_that_of_openssf() -> None:
    content = json.loads(BUNDLE)
    assert content["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    identity = hashlib.sha256(public_pem(KEY.public_key())).hexdigest()
    assert content["verificationMaterial"] == {"publicKey": {"hint": identity}, "tlogEntries": []}
    statement = statement_of(BUNDLE)
    assert (statement["_type"], statement["predicateType"]) == (
        "https://in-toto.io/Statement/v1",
        "https://model_signing/signature/v1.0",
    )
    resources = statement["predicate"]["resources"]
    assert {one["name"]: one["digest"] for one in resources} == FILES
    root = hashlib.sha256(b"".join(bytes.fromhex(one["digest"]) for one in resources)).hexdigest()
    assert statement["subject"] == [{"name": "model", "digest": {"sha256": root}}]
    payload = base64.b64decode(content["dsseEnvelope"]["payload"])
    signed = b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload)
    signature = base64.b64decode(content["dsseEnvelope"]["signatures"][0]["sig"])
    from cryptography.hazmat.primitives import hashes

    KEY.public_key().verify(signature, signed, ec.ECDSA(hashes.SHA256()))


def altered(change: Callable[[Any], None]) -> bytes:
    """The bundle with a changed statement, under the old signature."""
    statement = statement_of(BUNDLE)
    change(statement)
    return with_statement(BUNDLE, statement)


def bundle_with(change: Callable[[Any], None]) -> bytes:
    content = json.loads(BUNDLE)
    change(content)
    return json.dumps(content).encode()


def add_file(statement: Any) -> None:
    statement["predicate"]["resources"].append({"name": "x", "algorithm": "sha256", "digest": digest("x")})


def replaced_key(content: Any) -> None:
    content["verificationMaterial"]["publicKey"]["hint"] = key_id(OTHER.public_key())


def no_hint_other_signature(content: Any) -> None:
    other = json.loads(sign("model", FILES, ["model.sig"], new_key()))
    content["verificationMaterial"]["publicKey"]["hint"] = key_id(KEY.public_key())
    content["dsseEnvelope"]["signatures"] = other["dsseEnvelope"]["signatures"]


WRONG = {
    "a changed statement": altered(lambda s: s["subject"][0].update(name="other")),
    "a file more in the statement": altered(add_file),
    "the name of another trusted key": bundle_with(replaced_key),
    "the signature of another key": bundle_with(no_hint_other_signature),
    "the bundle of another model": sign("model", {**FILES, "model.skops": digest("z")}, ["model.sig"], KEY),
    "nothing": b"",
    "no JSON": b"\x00\xff garbage",
    "another JSON": b"[]",
    "deep JSON": b"[" * 100_000,
    "half a bundle": BUNDLE[: len(BUNDLE) // 2],
    "another kind of bundle": bundle_with(lambda b: b.update(mediaType="application/vnd.dev.sigstore.bundle+json")),
    "another kind of payload": bundle_with(lambda b: b["dsseEnvelope"].update(payloadType="text/plain")),
    "no signature": bundle_with(lambda b: b["dsseEnvelope"].update(signatures=[])),
    "two signatures": bundle_with(lambda b: b["dsseEnvelope"].update(signatures=b["dsseEnvelope"]["signatures"] * 2)),
    "no base64": bundle_with(lambda b: b["dsseEnvelope"].update(payload="%%%")),
    "no payload": bundle_with(lambda b: b["dsseEnvelope"].update(payload="")),
    "an empty signature": bundle_with(lambda b: b["dsseEnvelope"]["signatures"][0].update(sig="")),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_signature_is_refused(what: str) -> None:
    with pytest.raises(InvalidSignature):
        verify(WRONG[what], FILES, TRUSTED)


def by_unknown(change: Callable[[Any], None]) -> bytes:
    """A statement of one's own, rightly signed by an unknown key is still compared with the files."""
    statement = statement_of(BUNDLE)
    change(statement)
    return bundle_with_statement(statement)


def bundle_with_statement(statement: Any) -> bytes:
    return with_statement(BUNDLE.replace(key_id(KEY.public_key()).encode(), b"0" * 64), statement)


def shards(statement: Any) -> None:
    statement["predicate"]["serialization"].update(method="shards", shard_size=100)


def other_hash(statement: Any) -> None:
    statement["predicate"]["serialization"]["hash_type"] = "blake2b"


def other_algorithm(statement: Any) -> None:
    statement["predicate"]["resources"][0]["algorithm"] = "md5"


def twice(statement: Any) -> None:
    resources = statement["predicate"]["resources"]
    resources.append(dict(resources[0]))
    root = hashlib.sha256(b"".join(bytes.fromhex(one["digest"]) for one in resources))
    statement["subject"][0]["digest"]["sha256"] = root.hexdigest()


def other_root(statement: Any) -> None:
    statement["subject"][0]["digest"]["sha256"] = digest("x")


def other_predicate(statement: Any) -> None:
    statement["predicateType"] = "https://slsa.dev/provenance/v1"


def no_digest(statement: Any) -> None:
    statement["predicate"]["resources"][0]["digest"] = "zz"


@pytest.mark.parametrize(
    "change", [shards, other_hash, other_algorithm, twice, other_root, other_predicate, no_digest, add_file]
)
def test_a_statement_of_another_form_is_refused_whoever_signed_it(change: Callable[[Any], None]) -> None:
    assert verify(by_unknown(lambda statement: None), FILES, TRUSTED) == Signature("0" * 64, False)
    with pytest.raises(InvalidSignature):
        verify(by_unknown(change), FILES, TRUSTED)


def test_without_a_named_key_the_trusted_ones_are_tried() -> None:
    for material in ({"publicKey": {}}, {"publicKey": {"hint": ""}}):
        bundle = bundle_with(lambda b, m=material: b.update(verificationMaterial=m))  # type: ignore[misc]
        assert verify(bundle, FILES, TRUSTED) == Signature(key_id(KEY.public_key()), True)
        assert not verify(bundle, FILES, [OTHER.public_key()]).trusted
    certificate = bundle_with(lambda b: b.update(verificationMaterial={"certificate": {"rawBytes": ""}}))
    assert verify(certificate, FILES, TRUSTED) == Signature("certificate", False)


@pytest.mark.parametrize("curve", [ec.SECP384R1, ec.SECP521R1])
def test_the_other_curves_of_the_form_verify(curve: type[ec.EllipticCurve]) -> None:
    key = new_key(curve)
    bundle = sign("m", FILES, [], key)
    assert verify(bundle, FILES, [key.public_key()]).trusted


@given(st.integers(0, len(BUNDLE) - 1), st.integers(1, 255))
def test_a_changed_byte_of_the_bundle_never_makes_it_sign_something_else(place: int, change: int) -> None:
    damaged = bytearray(BUNDLE)
    damaged[place] ^= change
    try:
        found = verify(bytes(damaged), FILES, TRUSTED)
    except InvalidSignature:
        return
    # Parts that are not signed, such as the name of the key and the empty list.
    assert found.key_id == key_id(KEY.public_key()) or not found.trusted
    with pytest.raises(InvalidSignature):
        verify(bytes(damaged), {**FILES, "MLmodel": digest("changed")}, TRUSTED)
