"""Names of secrets: parameters, variables and keys such as ``password`` or ``API_KEY``."""

from __future__ import annotations

import re
from typing import Literal

#: ``strong``: any text with this name is a secret; ``weak``: only text that looks random (``key="id"`` does not).
Strength = Literal["", "weak", "strong"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_STRONG = _words(
    "password passwd passphrase pwd secret secrets token credential credentials apikey accesskey secretkey privatekey "
    "authkey authorization passwords"
)
_STRONG_ENDINGS = ("password", "passwd", "passphrase", "secret", "token", "apikey", "credential", "credentials")
_WEAK = _words("key keys tokens auth oauth")
#: Words before ``key`` in names of secrets: ``api_key``, ``AccountKey``.
_KEY_OF = _words(
    "api access secret private auth account license licence encryption ssh storage subscription master signing "
    "service admin app aws azure gcp openai anthropic wandb hf"
)
#: Last words of names of properties of a secret, such as ``token_count``.
_ABOUT = _words(
    "pattern patterns count counts type types url uri path paths file filename dir folder size len length limit budget "
    "column columns col cols index idx field fields format name names label labels error errors policy expiry ttl "
    "timeout version alias prefix suffix vocab embedding embeddings dim dims hint prompt sock header headers scheme "
    "method mode func function fn class provider manager store vault env var required enabled verified word words "
    "rate usage frequency freq position positions ids order lookup map level minutes seconds hours days"
)
#: Words before ``token`` in names of the special tokens of a language model.
_SPECIAL = _words("pad unk eos bos cls sep mask special oov start end next new first last stop image")

_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def name_strength(name: str) -> Strength:
    """Return how surely a value with this name is a secret.

    The words of the name count, so ``author``, ``monkey`` and ``keyword`` are not names of secrets; nor are
    ``token_pattern`` and ``pad_token``.
    """
    parts = [part.lower() for part in _PARTS.findall(name)]
    if not parts or parts[-1] in _ABOUT:
        return ""
    weak = False
    for i, part in enumerate(parts):
        if part == "token" and i and parts[i - 1] in _SPECIAL:
            continue
        if part in _STRONG or part.endswith(_STRONG_ENDINGS):
            return "strong"
        if part == "key" and i and parts[i - 1] in _KEY_OF:
            return "strong"
        weak = weak or part in _WEAK
    return "weak" if weak else ""
