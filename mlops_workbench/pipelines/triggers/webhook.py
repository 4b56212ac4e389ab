"""Who may call a webhook, and what it may say: pure."""

from __future__ import annotations

import hashlib
import hmac
import json

from mlops_workbench.core.errors import UNREADABLE, InvalidInput, Unauthorized

LARGEST_BODY = 1 << 20


def check_caller(secret: str, authorization: str, signature: str, body: bytes) -> None:
    """Check that a caller knows the secret.

    Parameters
    ----------
    secret : str
        The secret; no caller knows an empty one.
    authorization : str
        Header ``Authorization``: ``Bearer <secret>``.
    signature : str
        Header ``X-Hub-Signature-256``: ``sha256=`` and the HMAC of the body in hexadecimal digits.
    body : bytes
        The body as it was sent.

    Raises
    ------
    Unauthorized
        The caller has shown neither.
    """
    key = secret.encode(errors="surrogateescape")
    bearer = b"Bearer " + key
    mac = ("sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()).encode()
    # All are compared, so that the time says nothing about either. A header's bytes arrive as Latin-1.
    by_bearer = hmac.compare_digest(authorization.encode(errors="surrogateescape"), bearer) | hmac.compare_digest(
        authorization.encode("latin-1", "replace"), bearer
    )
    by_signature = hmac.compare_digest(signature.lower().encode(errors="surrogateescape"), mac)
    if not secret or not (by_bearer or by_signature):
        raise Unauthorized(
            "wrong or missing secret of the webhook",
            hint="send 'Authorization: Bearer <secret>', or the body's HMAC in 'X-Hub-Signature-256: sha256=<hex>'",
        )


def params_of(body: bytes) -> dict[str, object]:
    """Values for parameters in a body: ``{"params": {...}}``; other entries, such as those of a forge, do not count.

    Raises
    ------
    InvalidInput
        The body is too large or no JSON, or ``params`` is no object.
    """
    if len(body) > LARGEST_BODY:
        raise InvalidInput(f"the body exceeds {LARGEST_BODY >> 10} KiB", hint='send {"params": {...}} or nothing')
    if not body.strip():
        return {}
    try:
        found = json.loads(body)
    except UNREADABLE as error:
        raise InvalidInput(f"the body is not JSON: {error}", hint='send {"params": {...}} or nothing') from error
    params = found.get("params", {}) if isinstance(found, dict) else None
    if not isinstance(params, dict):
        raise InvalidInput("'params' is not an object", hint='send {"params": {"month": 3}}')
    return params
