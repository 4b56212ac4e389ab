"""Examples with and without secrets, and how many of them masking treats rightly.

Every pair of a place and a kind of value is an example. Half of the pairs, chosen by a hash of their names, is for work
on the rules (`tuning`); the figures are those of the other half (`unseen`), whose failures are counted and not shown.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import harmless_texts
import secret_contexts
from secret_values import PASSWORDS, TOKENS

from mlops_workbench.core.secrets import mask

#: The parts of a token that everybody may see.
_PUBLIC = re.compile(r"https://[^/]+/(?:services|api/webhooks|webhookb2)/|-----(?:BEGIN|END) PRIVATE KEY-----|\n")

Half = Literal["tuning", "unseen"]


@dataclass(frozen=True)
class Example:
    """A text; `secret` is the part of it that must disappear, empty in a text that must stay as it is."""

    place: str
    value: str
    text: str
    secret: str = ""

    @property
    def half(self) -> Half:
        """The half to which its place and its kind of value belong."""
        return "unseen" if _hash(self.place, self.value) % 2 else "tuning"

    @property
    def right(self) -> bool:
        """Whether masking hides the secret wholly, or changes nothing where there is none."""
        masked = mask(self.text)
        return masked == self.text if not self.secret else not _leaks(self.secret, self.text, masked)


def true_examples(half: Half) -> list[Example]:
    """Texts with a secret."""
    return [example for example in _true() if example.half == half]


def false_examples(half: Half) -> list[Example]:
    """Texts without a secret."""
    return [example for example in _false() if example.half == half]


def measure(half: Half = "unseen") -> dict[str, float | int]:
    """Shares of examples, in percent, of one half.

    Returns
    -------
    dict
        ``secrets_true``, ``secrets_false``: number of examples with and without a secret; ``secrets_caught_pct``:
        secrets that are hidden; ``secrets_false_pct``: texts without a secret that were changed.
    """
    hidden = [example.right for example in true_examples(half)]
    kept = [example.right for example in false_examples(half)]
    return {
        "secrets_true": len(hidden),
        "secrets_false": len(kept),
        "secrets_caught_pct": round(100 * sum(hidden) / len(hidden), 2),
        "secrets_false_pct": round(100 * (1 - sum(kept) / len(kept)), 2),
    }


def _true() -> Iterator[Example]:
    for place, text in secret_contexts.OPEN.items():
        for kind, make in TOKENS.items():
            token = make(_random(place, kind))
            yield Example(f"open {place}", kind, text.replace("<s>", token), token)
    # The tokens under a name stand for all of them: a name hides any value.
    for kind, make in {**PASSWORDS, **{kind: TOKENS[kind] for kind in list(TOKENS)[::9]}}.items():
        for place, (style, text, pattern) in secret_contexts.NAMED.items():
            r = _random(place, kind)
            secret, name = make(r), r.choice(secret_contexts.NAMES[style])
            if secret_contexts.fits(pattern, secret):
                yield Example(f"named {place}", kind, text.replace("<n>", name).replace("<s>", secret), secret)
        for place, (text, pattern) in secret_contexts.PLACES.items():
            secret = make(_random(place, kind))
            if secret_contexts.fits(pattern, secret) and "\n" not in secret and "://" not in secret:
                written = secret_contexts.in_place(pattern, secret)
                yield Example(f"place {place}", kind, text.replace("<s>", written), written)


def _false() -> Iterator[Example]:
    for place, text in harmless_texts.PLACES.items():
        for kind, make in harmless_texts.VALUES.items():
            value = make(_random(place, kind))
            if harmless_texts.fits(place, value):
                yield Example(f"harmless {place}", kind, text.replace("<v>", value))
    for line in harmless_texts.LINES:
        yield Example("harmless line", line, line)
        yield Example("harmless line in code", line, f"import os\n\n{line}\nx = 1\n")


def _leaks(secret: str, text: str, masked: str) -> bool:
    """Whether the masked text holds the secret or a piece of it that the text has nowhere else."""
    secret = _PUBLIC.sub(" ", secret).strip()
    length = max(3, min(len(secret), 8) // 2 + 1)
    rest = _PUBLIC.sub(" ", text).replace(secret, "") + " ".join(_PUBLIC.findall(text))
    pieces = (secret[i : i + length] for i in range(max(1, len(secret) - length + 1)))
    return any(piece in masked and piece not in rest for piece in pieces)


def _hash(*names: str) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(names).encode()).digest()[:8], "big")


def _random(*names: str) -> random.Random:
    return random.Random(_hash(*names) >> 1)
