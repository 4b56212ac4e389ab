"""Made-up secrets: tokens in the formats that issuers document, and passwords of many shapes.

They are assembled from random characters when they are needed, so that no file holds anything that looks like a secret.
"""

from __future__ import annotations

import base64
import json
import random
import string
import uuid
from collections.abc import Callable

LOWER, DIGITS = string.ascii_lowercase, string.digits
UPPER_DIGITS = string.ascii_uppercase + DIGITS
BASE62 = string.ascii_letters + DIGITS
URL_SAFE = BASE62 + "_-"
HEX = "0123456789abcdef"
WORDS = [
    "correct",
    "horse",
    "battery",
    "staple",
    "orange",
    "window",
    "silver",
    "planet",
    "garden",
    "river",
    "copper",
    "winter",
]

Generator = Callable[[random.Random], str]


def text(r: random.Random, alphabet: str, length: int) -> str:
    """Random characters; the first and last are letters or digits, all kinds of the alphabet occur."""
    while True:
        found = "".join(r.choices(alphabet, k=length))
        kinds = [set(string.ascii_lowercase), set(string.ascii_uppercase), set(DIGITS)]
        whole = all(kind & set(found) for kind in kinds if kind & set(alphabet)) or length < 8
        if found[0] in BASE62 and found[-1] in BASE62 and whole:
            return found


def _base64(r: random.Random, length: int) -> str:
    return base64.b64encode(r.randbytes(length)).decode()


def _segment(r: random.Random, **claims: object) -> str:
    plain = json.dumps({**claims, "n": r.randrange(10**9)}).encode()
    return base64.urlsafe_b64encode(plain).decode().rstrip("=")


def _jwt(r: random.Random) -> str:
    return f"{_segment(r, alg='HS256', typ='JWT')}.{_segment(r, sub='me', iat=1700000000)}.{text(r, URL_SAFE, 43)}"


def _format(*parts: str | tuple[str, int]) -> Generator:
    def make(r: random.Random) -> str:
        return "".join(part if isinstance(part, str) else text(r, *part) for part in parts)

    return make


#: Tokens that are known by their form, wherever they stand.
TOKENS: dict[str, Generator] = {
    "aws access key": _format("AK" + "IA", (UPPER_DIGITS, 16)),
    "aws temporary key": _format("AS" + "IA", (UPPER_DIGITS, 16)),
    "aws secret key": _format((BASE62, 40)),
    "google api key": _format("AI" + "za", (URL_SAFE, 35)),
    "google client secret": _format("GOC" + "SPX-", (URL_SAFE, 28)),
    "google access token": _format("ya" + "29.", (URL_SAFE, 120)),
    "azure client secret": _format((BASE62, 3), "8Q" + "~", (URL_SAFE, 34)),
    "github personal": _format("gh" + "p_", (BASE62, 36)),
    "github server": _format("gh" + "s_", (BASE62, 36)),
    "github fine-grained": _format("github" + "_pat_", (BASE62, 22), "_", (BASE62, 59)),
    "gitlab personal": _format("gl" + "pat-", (URL_SAFE, 20)),
    "gitlab runner": _format("gl" + "rt-", (URL_SAFE, 20)),
    "gitlab deploy": _format("gl" + "dt-", (URL_SAFE, 20)),
    "slack bot": _format("xo" + "xb-", (DIGITS, 12), "-", (DIGITS, 12), "-", (BASE62, 24)),
    "slack app": _format("xa" + "pp-1-A", (UPPER_DIGITS, 10), "-", (DIGITS, 12), "-", (HEX, 64)),
    "slack webhook": _format(
        "https://hooks.sl" + "ack.com/services/T", (UPPER_DIGITS, 8), "/B", (UPPER_DIGITS, 8), "/", (BASE62, 24)
    ),
    "discord webhook": _format("https://disc" + "ord.com/api/webhooks/", (DIGITS, 18), "/", (URL_SAFE, 68)),
    "discord bot": _format("M", (BASE62, 23), ".", (URL_SAFE, 6), ".", (URL_SAFE, 38)),
    "teams webhook": lambda r: (
        "https://acme.webhook.off" + f"ice.com/webhookb2/{uuid.UUID(int=r.getrandbits(128))}"
        f"@{uuid.UUID(int=r.getrandbits(128))}/IncomingWebhook/{text(r, HEX, 32)}/{uuid.UUID(int=r.getrandbits(128))}"
    ),
    "stripe live": _format("sk" + "_live_", (BASE62, 24)),
    "stripe restricted": _format("rk" + "_live_", (BASE62, 24)),
    "twilio key": _format("S" + "K", (HEX, 32)),
    "sendgrid": _format("S" + "G.", (URL_SAFE, 22), ".", (URL_SAFE, 43)),
    "mailgun": _format("ke" + "y-", (HEX, 32)),
    "mailchimp": _format((HEX, 32), "-us" + "14"),
    "npm": _format("np" + "m_", (BASE62, 36)),
    "pypi": _format("py" + "pi-AgEIcHlwaS5vcmc", (URL_SAFE, 120)),
    "rubygems": _format("rubygems" + "_", (HEX, 48)),
    "docker hub": _format("dckr" + "_pat_", (URL_SAFE, 27)),
    "hugging face": _format("h" + "f_", (BASE62, 34)),
    "openai": _format("s" + "k-", (BASE62, 48)),
    "openai project": _format("s" + "k-proj-", (URL_SAFE, 74), "T3Blbk" + "FJ", (URL_SAFE, 74)),
    "anthropic": _format("s" + "k-ant-api03-", (URL_SAFE, 93), "AA"),
    "groq": _format("gs" + "k_", (BASE62, 52)),
    "replicate": _format("r" + "8_", (BASE62, 37)),
    "xai": _format("xa" + "i-", (BASE62, 80)),
    "perplexity": _format("pp" + "lx-", (BASE62, 48)),
    "nvidia": _format("nv" + "api-", (URL_SAFE, 64)),
    "langsmith": _format("lsv2" + "_pt_", (HEX, 32), "_", (HEX, 10)),
    "databricks": _format("da" + "pi", (HEX, 32)),
    "telegram": _format((DIGITS[1:], 10), ":A" + "A", (URL_SAFE, 33)),
    "jwt": _jwt,
    "digitalocean": _format("do" + "p_v1_", (HEX, 64)),
    "shopify": _format("shp" + "at_", (HEX, 32)),
    "vault": _format("hv" + "s.", (URL_SAFE, 95)),
    "terraform": _format((BASE62, 14), ".atlas" + "v1.", (URL_SAFE, 67)),
    "grafana": _format("gl" + "sa_", (BASE62, 32), "_", (HEX, 8)),
    "new relic": _format("NR" + "AK-", (UPPER_DIGITS, 27)),
    "sentry": _format("sntr" + "yu_", (HEX, 64)),
    "postman": _format("PM" + "AK-", (HEX, 24), "-", (HEX, 34)),
    "notion": _format("nt" + "n_", (BASE62, 46)),
    "linear": _format("lin" + "_api_", (BASE62, 40)),
    "figma": _format("fi" + "gd_", (URL_SAFE, 40)),
    "airtable": _format("p" + "at", (BASE62, 14), ".", (HEX, 64)),
    "atlassian": _format("ATA" + "TT3xFfGF0", (URL_SAFE, 180)),
    "pulumi": _format("p" + "ul-", (HEX, 40)),
    "dynatrace": _format("dt0" + "c01.", (UPPER_DIGITS, 24), ".", (UPPER_DIGITS, 64)),
    "sonarqube": _format("sq" + "p_", (HEX, 40)),
    "private key": lambda r: (
        "-----BEGIN " + "PRIVATE KEY-----\n" + "\n".join(text(r, BASE62, 64) for _ in range(4)) + "\n-----END "
        "PRIVATE KEY-----"
    ),
}

#: Passwords and keys without a form of their own; their name or place tells them.
PASSWORDS: dict[str, Generator] = {
    "word": lambda r: r.choice(["letmein", "opensesame", "swordfish", "iloveyou", "trustno"]),
    "word with digits": lambda r: f"{r.choice(WORDS)}{r.randrange(2, 99)}",
    "word with year": lambda r: f"{r.choice(WORDS).title()}{r.randrange(1980, 2026)}!",
    "leet": lambda r: f"Tr0ub{r.randrange(10)}dor&{r.randrange(10)}",
    "symbols": lambda r: f"p@$$w{r.randrange(10)}rd!",
    "hash sign": lambda r: f"{text(r, BASE62, 5)}#{text(r, BASE62, 4)}",
    "percent": lambda r: f"{text(r, BASE62, 4)}%{text(r, BASE62, 5)}",
    "mixed": lambda r: text(r, BASE62, 12),
    "hex": lambda r: text(r, HEX, 32),
    "hex 40": lambda r: text(r, HEX, 40),
    "base64": lambda r: _base64(r, 16),
    "uuid": lambda r: str(uuid.UUID(int=r.getrandbits(128), version=4)),
    "digits": lambda r: text(r, DIGITS[1:], 8),
    "hyphens": lambda r: "-".join(r.sample(WORDS, 4)),
    "spaces": lambda r: " ".join(r.sample(WORDS, 4)),
    "accents": lambda r: f"Übung{r.randrange(10, 99)}ß",
    "slash": lambda r: f"{text(r, BASE62, 4)}/{text(r, BASE62, 6)}",
    "at sign": lambda r: f"p@{text(r, BASE62, 5)}",
    "two at signs": lambda r: f"{text(r, BASE62, 3)}@{text(r, BASE62, 3)}@{text(r, BASE62, 2)}",
    "colon": lambda r: f"{text(r, BASE62, 4)}:{text(r, BASE62, 5)}",
    "dollar": lambda r: f"$ecret{r.randrange(10, 99)}",
    "short": lambda r: f"k{r.randrange(10)}!z",
    "exclamation": lambda r: f"{r.choice(WORDS)}!!{r.randrange(10)}",
}
