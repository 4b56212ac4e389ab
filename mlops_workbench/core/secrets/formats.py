"""Forms of secrets that tell them wherever they stand: what issuers document, and random characters.

The prefixes, alphabets and lengths are those that the issuers document for their tokens.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from functools import cache
from itertools import pairwise

MASK = "***"

_ALPHANUMERIC, _URL_SAFE, _HEX, _BASE64 = "A-Za-z0-9", "A-Za-z0-9_-", "a-f0-9", "A-Za-z0-9+/=_-"
#: A token starts after a character that cannot belong to it; in escaped text also after a line feed, tab or return.
_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"

#: Prefix, alphabet and smallest length of the rest.
_PREFIXED: tuple[tuple[str, str, int], ...] = (
    *((f"gh{kind}_", _ALPHANUMERIC, 20) for kind in "pousr"),  # GitHub
    ("github_pat_", "A-Za-z0-9_", 20),
    *((f"gl{kind}-", _URL_SAFE, 16) for kind in
      ("pat", "dt", "rt", "cbt", "ptt", "ft", "soat", "imt", "agent", "oas", "ffct")),  # GitLab
    *((f"xox{kind}-", "A-Za-z0-9-", 10) for kind in "abeoprs"),  # Slack
    ("xoxe.xox", "A-Za-z0-9.-", 20), ("xapp-", "A-Za-z0-9-", 10), ("xwfp-", "A-Za-z0-9-", 10),
    ("sk_live_", _ALPHANUMERIC, 10), ("sk_test_", _ALPHANUMERIC, 10),  # Stripe
    ("rk_live_", _ALPHANUMERIC, 10), ("rk_test_", _ALPHANUMERIC, 10), ("whsec_", "A-Za-z0-9+/=", 16),
    ("hf_", _ALPHANUMERIC, 20), ("api_org_", _ALPHANUMERIC, 30),  # Hugging Face
    ("AIza", _URL_SAFE, 30), ("GOCSPX-", _URL_SAFE, 20), ("ya29.", "A-Za-z0-9._-", 20), ("1//0", _URL_SAFE, 30),
    ("npm_", _ALPHANUMERIC, 30), ("pypi-", _URL_SAFE, 30), ("rubygems_", _HEX, 40), ("oy2", "a-z0-9", 43),
    ("cio", _ALPHANUMERIC, 32), ("dckr_pat_", _URL_SAFE, 20), ("dckr_oat_", _URL_SAFE, 20),
    *((f"do{kind}_v1_", _HEX, 30) for kind in "opr"),  # DigitalOcean
    ("dapi", "a-f0-9-", 32), ("dose", _HEX, 32), ("dkea", _HEX, 32),  # Databricks
    ("gsk_", _ALPHANUMERIC, 40), ("r8_", _ALPHANUMERIC, 30), ("xai-", _ALPHANUMERIC, 40),  # Groq, Replicate, xAI
    ("pplx-", _ALPHANUMERIC, 32), ("nvapi-", _URL_SAFE, 40), ("lsv2_pt_", "a-f0-9_", 32), ("lsv2_sk_", "a-f0-9_", 32),
    ("pcsk_", "A-Za-z0-9_", 30), ("jina_", _ALPHANUMERIC, 40), ("tvly-", _URL_SAFE, 20), ("csk-", _ALPHANUMERIC, 30),
    ("e2b_", _HEX, 40), ("fw_", _ALPHANUMERIC, 20), ("KGAT_", _ALPHANUMERIC, 30), ("wandb_v1_", _URL_SAFE, 30),
    *((f"hv{kind}.", _URL_SAFE, 24) for kind in "sbr"),  # Vault
    ("glc_", _BASE64, 32), ("glsa_", "A-Za-z0-9_", 32),  # Grafana
    ("NRAK-", "A-Z0-9", 27), ("NRJS-", _HEX, 19), ("NRAA-", _HEX, 27), ("NRRA-", _HEX, 42),  # New Relic
    ("sntrys_", _BASE64, 30), ("sntryu_", _HEX, 64), ("PMAK-", "a-f0-9-", 32),
    ("ntn_", _ALPHANUMERIC, 40), ("secret_", _ALPHANUMERIC, 43), ("lin_api_", _ALPHANUMERIC, 32),  # Notion, Linear
    ("lin_oauth_", _ALPHANUMERIC, 32), ("figd_", _URL_SAFE, 30), ("figo_", _URL_SAFE, 30), ("CFPAT-", _URL_SAFE, 40),
    *((f"shp{kind}_", "a-fA-F0-9", 32) for kind in ("at", "ca", "pa", "ss")),  # Shopify
    ("ATATT3", _BASE64, 60), ("ATCTT3", _BASE64, 60), ("ATBB", _ALPHANUMERIC, 32), ("pul-", _HEX, 40),
    *((f"sq{kind}_", _HEX, 40) for kind in "pua"), ("sq0csp-", _URL_SAFE, 40), ("sq0atp-", _URL_SAFE, 22),
    ("EAAA", _URL_SAFE, 56), ("EAACEdEose0cBA", _ALPHANUMERIC, 20), ("sbp_", _HEX, 40), ("sb_secret_", _URL_SAFE, 20),
    ("pscale_tkn_", _URL_SAFE, 32), ("pscale_pw_", _URL_SAFE, 32), ("pscale_oauth_", _URL_SAFE, 32),
    ("dp.pt.", _ALPHANUMERIC, 40),
    ("dp.st.", "A-Za-z0-9._-", 40), ("ops_eyJ", _BASE64, 100), ("nfp_", _ALPHANUMERIC, 36),
    ("tskey-", "A-Za-z0-9-", 20), ("pat-na1-", "a-f0-9-", 36), ("pat-eu1-", "a-f0-9-", 36), ("pnu_", _ALPHANUMERIC, 36),
    ("bkua_", _HEX, 40), ("CCIPAT_", "A-Za-z0-9_", 40), ("CCIPRJ_", "A-Za-z0-9_", 40), ("rdme_", "a-z0-9", 70),
    ("xkeysib-", "a-f0-9A-Za-z-", 70), ("tfp_", "A-Za-z0-9_.=-", 40), ("shippo_live_", _HEX, 40),
    ("EZAK", _ALPHANUMERIC, 54),
    ("cfk_", _ALPHANUMERIC, 40), ("cfut_", _ALPHANUMERIC, 40), ("cfat_", _ALPHANUMERIC, 40), ("fo1_", _URL_SAFE, 40),
    ("fm2_", _BASE64, 60), ("HRKU-", _URL_SAFE, 36), ("AGE-SECRET-KEY-1", "A-Z0-9", 50), ("mdb_sa_sk_", _URL_SAFE, 30),
    ("ABSK", _BASE64, 100), ("bedrock-api-key-", _BASE64, 60), ("sgp_", "a-f0-9_", 40), ("ptr_", "A-Za-z0-9+/=", 40),
    ("duffel_live_", _URL_SAFE, 43), ("access-sandbox-", "a-f0-9-", 36), ("access-production-", "a-f0-9-", 36),
    ("cmVmdGtuO", "A-Za-z0-9", 50), ("AKCp", _ALPHANUMERIC, 60), ("sl.", _URL_SAFE, 120),
    ("rpa_", "A-Z0-9a-z", 40), ("SCW", "A-Z0-9", 17), ("LTAI", _ALPHANUMERIC, 16), ("AKID", _ALPHANUMERIC, 32),
)  # fmt: skip

_UUID = r"[a-f0-9]{8}-(?:[a-f0-9]{4}-){3}[a-f0-9]{12}"
#: What the text contains where the pattern can match, and the pattern; a group `s` is the secret part.
_SHAPED: tuple[tuple[str, str], ...] = (
    *((kind, rf"{_START}{kind}[A-Z0-9]{{16}}(?![A-Za-z0-9])") for kind in
      ("AKIA", "ASIA", "AGPA", "AIDA", "AROA", "ABIA", "ACCA")),  # AWS
    # OpenAI, Anthropic, OpenRouter, DeepSeek; names of only lower-case words are classes of HTML.
    ("sk-", rf"{_START}sk-(?![a-z_-]++(?![A-Za-z0-9]))[A-Za-z0-9_-]{{20,}}"),
    # A part of a JSON web token or encryption is read at most three times: from its start and from those before.
    ("eyJ", r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]*+\.[A-Za-z0-9_-]*+(?:\.[A-Za-z0-9_-]++)*+"),
    # Private keys and the settings of Docker in Base64.
    ("LS0tLS1CRUdJTiB", r"LS0tLS1CRUdJTiB(?:SU0EgUFJJ|QUklWQVRF|FQyBQUklW|PUEVOU1NI|FTkNSWVBU)[A-Za-z0-9+/=]{20,}"),
    ("eyJhdXRocyI", r"eyJhdXRocyI[A-Za-z0-9+/=]{20,}"),
    ("SG.", r"(?<![A-Za-z0-9_-])SG\.[A-Za-z0-9_-]{16,}+\.[A-Za-z0-9_-]{16,}+"),  # SendGrid
    ("Q~", r"(?<![A-Za-z0-9_~.-])[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}"),  # Azure
    (".slack.com/", r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<s>[A-Za-z0-9_/-]{20,})"),
    ("/api/webhooks/", r"discord(?:app)?\.com/api/webhooks/(?P<s>\d{15,20}/[A-Za-z0-9_-]{30,})"),
    (".webhook.office.com/", r"\.webhook\.office\.com/webhookb?2?/(?P<s>[A-Za-z0-9@/_-]{60,})"),  # Teams
    ("chat.googleapis.com/", r"chat\.googleapis\.com/v1/spaces/[\w-]{1,40}/messages\?(?P<s>[\w&=%.-]{30,})"),
    ("hooks.zapier.com/", r"hooks\.zapier\.com/hooks/catch/(?P<s>[A-Za-z0-9/]{10,})"),
    ("ifttt.com/", r"ifttt\.com/trigger/\w{1,60}/(?:json/)?with/key/(?P<s>[\w-]{15,})"),
    ("key-", rf"{_START}key-[a-f0-9]{{32}}(?![a-f0-9])"),  # Mailgun
    ("-us", r"(?<![a-z0-9])[a-f0-9]{32}-us\d{1,2}(?!\d)"),  # Mailchimp
    ("SK", r"(?<![A-Za-z0-9])SK[a-f0-9]{32}(?![a-f0-9])"),  # Twilio
    (".atlasv1.", r"(?<![A-Za-z0-9])[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{50,}"),  # Terraform
    ("dt0", r"(?<![A-Za-z0-9])dt0[a-z]\d\d\.[A-Z0-9]{8,24}\.[A-Z0-9]{64}"),  # Dynatrace
    (":AA", r"(?<!\d)\d{8,10}:AA[A-Za-z0-9_-]{32,33}"),  # Telegram
    ("pat", r"(?<![A-Za-z0-9])pat[A-Za-z0-9]{14}\.[a-f0-9]{64}"),  # Airtable
    ("-sandbox-", rf"(?<![a-z])(?:access|link|public)-sandbox-{_UUID}"),
    ("lf-", rf"(?<![a-z])sk-lf-{_UUID}"),
    ("k.eyJ", r"(?<![A-Za-z0-9])[st]k\.eyJ[A-Za-z0-9_-]{30,}+\.[A-Za-z0-9_-]{10,}+"),  # Mapbox
    ("00D", r"(?<![A-Za-z0-9])00D[A-Za-z0-9]{12,15}![A-Za-z0-9._]{60,}"),  # Salesforce
    ("APA91b", r"(?<![A-Za-z0-9])(?:[A-Za-z0-9_-]{4,20}:)?APA91b[A-Za-z0-9_-]{100,}"),  # Firebase
    ("v1.0-", r"(?<![A-Za-z0-9])v1\.0-[a-f0-9]{24}-[a-f0-9]{100,}"),  # Cloudflare
    ("access_token$", r"access_token\$(?P<s>(?:production|sandbox)\$[a-z0-9]{10,}\$[a-f0-9]{20,})"),  # PayPal
    ("PuTTY-User-Key-File", r"(?s)Private-Lines: \d+\n(?P<s>(?:[A-Za-z0-9+/=]{4,}\n?)+)"),
)  # fmt: skip
_FORMS = (
    *((prefix, rf"{_START}{re.escape(prefix)}[{alphabet}]{{{least},}}") for prefix, alphabet, least in _PREFIXED),
    *_SHAPED,
)
#: Most patterns are never needed in a process.
_compiled = cache(re.compile)

#: Smallest length of a token, and of text that may be random.
TOKEN, _RANDOM_MIN = 15, 20
_DIGIT = re.compile("[0-9]")

_KEY_EDGE = r"-----(BEGIN|END) [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_KEY_LINE = r"[A-Za-z0-9+/=]{32}"
_KEY_LINES = r"(?:(?:\\n|[\s\"',+]){0,40}+[A-Za-z0-9+/=]{16,}+)*+"
#: Public keys and certificates are random text, too.
_PUBLIC_EDGE = r"-----(?:BEGIN|END) [A-Z0-9 ]{0,40}(?:PUBLIC KEY|CERTIFICATE|SIGNATURE|MESSAGE|REQUEST)"

# Further parts after a dot belong to the token, such as those of a Discord bot's.
_RANDOM = re.compile(r"([A-Za-z0-9+/_~-]{20,}+={0,2})((?:\.[A-Za-z0-9_-]{5,80}+){0,3})")
_RANDOM_MAX = 512
#: What follows a name in code.
_OF_CODE = r"[ \t]{0,20}(?:=[^=]|\()"
_LINE = 56
_LINE_AFTER = r"""(?:\\n)?["']?,?\s{1,20}["']?[A-Za-z0-9+/=]{8,}(?:\\n)?["']?,?\s"""
_LINE_BEFORE = r"""[A-Za-z0-9+/]{56}(?:\\n)?["']?,?\s{1,20}["']?\Z"""
_CHARACTER_KINDS = str.maketrans(
    {c: "l" for c in string.ascii_lowercase}
    | {c: "u" for c in string.ascii_uppercase}
    | {c: "d" for c in string.digits}
    | {c: "s" for c in "+/=_~-"}
)
_HASH = re.compile(r"(?<![A-Za-z0-9])(?:[0-9a-f]{32,}|0x[0-9A-Fa-f]+)(?![A-Za-z0-9])")
#: Starts of hashes, and of images, archives, documents and public keys in Base64.
_KNOWN_STARTS = (
    "sha1-", "sha256-", "sha384-", "sha512-", "iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR", "PHN2Zy", "JVBER", "UEsDB",
    "H4sI", "AAAAB3NzaC1", "AAAAC3NzaC1", "AAAAE2VjZHNh",
)  # fmt: skip
#: What precedes random text that is no secret: data and hashes, and the names of ids.
_DATA_BEFORE = (
    r"""(?:;base64,|[Ss][Hh][Aa](?:1|256|384|512)[:=]|"""
    r"""(?:\b|_|(?<=[a-z])(?=[A-Z]))(?:[Ii][Dd]|ID|uid|hash|digest|checksum|etag|ETag|fingerprint|commit|revision)"""
    r"""\\?["']?[ \t]{0,3}[:=][ \t]{0,3}\\?["']?)\Z"""
)


def mask_private_keys(text: str) -> str:
    """Mask the lines of private keys, also of one whose end is missing."""
    if "PRIVATE KEY" not in text:
        return text
    kept, written = [], 0
    edges = list(_compiled(_KEY_EDGE).finditer(text))
    for edge, following in zip(edges, [*edges[1:], None], strict=False):
        if edge[1] == "END":
            continue
        if following is not None and following[1] == "END":
            start, stop = edge.end(), following.start()
        else:
            lines = _compiled(_KEY_LINES).match(text, edge.end())
            start, stop = edge.end(), lines.end() if lines else edge.end()
        if _compiled(_KEY_LINE).search(text, start, stop):
            kept += [text[written:start], MASK]
            written = stop
    return "".join([*kept, text[written:]])


def mask_forms(text: str, words: list[str]) -> str:
    """Mask tokens in the forms of their issuers; `words` are the words of at least `TOKEN` characters."""
    # A search of the words that may hold a token for 170 markers is faster than one of the whole text.
    long = " ".join([word for word in words if not word.islower() or _DIGIT.search(word)])
    for pattern in [pattern for marker, pattern in _FORMS if marker in long]:
        text = _compiled(pattern).sub(_form_masked, text)
    return text


def _form_masked(found: re.Match[str]) -> str:
    return masked_inside(found, "s") if found.re.groups else MASK


def masked_inside(found: re.Match[str], group: str, new: str = MASK) -> str:
    """Return the text of a match with another text in the place of a group."""
    start, stop = (place - found.start() for place in found.span(group))
    return f"{found[0][:start]}{new}{found[0][stop:]}"


def mask_random(text: str, words: list[str]) -> str:
    """Mask text that looks like a random key; `words` are the words of at least `TOKEN` characters."""
    if not any(not word.islower() and not word.isupper() and _DIGIT.search(word) for word in words):
        return text
    return _RANDOM.sub(_token_masked, text)


def _token_masked(found: re.Match[str]) -> str:
    text, start = found.string, found.start()
    token, rest = found[1], found[2]
    if not looks_random(token) or text[start - 1 : start] == ".":
        return found[0]
    if token.isidentifier() and _compiled(_OF_CODE).match(text, found.end()):
        return found[0]
    if _compiled(_DATA_BEFORE).search(text, max(0, start - 40), start) or _is_public(text, start):
        return found[0]
    if len(token) >= _LINE and (
        _compiled(_LINE_AFTER).match(text, found.end())
        or _compiled(_LINE_BEFORE).search(text, max(0, start - 130), start)
    ):
        # Data in several lines of Base64.
        return found[0]
    # A file's ending is not a part of a key.
    return MASK + ("" if any(looks_random(part) or len(part) > 20 for part in rest.split(".")) else rest)


def _is_public(text: str, position: int) -> bool:
    """Whether a position is inside a certificate or public key."""
    edge = text.rfind("-----BEGIN ", max(0, position - 8000), position)
    if edge < 0 or not _compiled(_PUBLIC_EDGE).match(text, edge):
        return False
    return text.find("-----END ", edge, position) < 0


def is_token(text: str) -> bool:
    """Return whether a whole value has the form of a token, key or address with a secret."""
    if len(text) < 12 or not _DIGIT.search(text) or len(text) > 10_000:
        return False
    words = text.split()
    return mask_forms(mask_private_keys(text), words) != text or (len(words) == 1 and mask_random(text, words) == MASK)


def looks_random(token: str) -> bool:
    """Return whether text without spaces looks like a random key, and not like an identifier, a path or a hash.

    A random key has lower-case and capital letters and digits, changes between these kinds more often than joined words
    do, and has a Shannon entropy of at least 3.5 bits per character. Hexadecimal text (hashes, ids), text of more than
    512 characters and text that starts as an image or a public key does (data) are not random keys.
    """
    token = _HASH.sub("", token)
    if not _RANDOM_MIN <= len(token) <= _RANDOM_MAX or token.startswith(("/", "~/", *_KNOWN_STARTS)):
        return False
    kinds = token.translate(_CHARACTER_KINDS)
    if not ("l" in kinds and "u" in kinds and "d" in kinds):
        return False
    # The capital at the start of a word does not count as a change.
    changes = sum(one != other for one, other in pairwise(kinds.replace("ul", "ll")) if "s" not in (one, other))
    if changes < 0.25 * len(token):
        return False
    counts = Counter(token).values()
    entropy = -sum(count / len(token) * math.log2(count / len(token)) for count in counts)
    return entropy >= 3.5
