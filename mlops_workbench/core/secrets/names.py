"""Names of secrets: parameters, variables, columns and keys such as ``password`` or ``API_KEY``."""

from __future__ import annotations

import re
import string
from functools import lru_cache
from typing import Literal

#: ``strong``: any text with this name is a secret; ``weak``: only text that looks random (``key="id"`` does not).
Strength = Literal["", "weak", "strong"]


def words(text: str) -> frozenset[str]:
    """Return the words of a text as a set."""
    return frozenset(text.split())


_PASSWORDS = words("password passwords passwd passphrase passcode passcodes pwd pswd passwort kennwort senha pin pins")
_STRONG = _PASSWORDS | words(
    "secret secrets token credential credentials creds cred apikey apikeys accesskey secretkey privatekey authkey "
    "authtoken authorization pass pw totp"
)
_STRONG_ENDINGS = (
    "password", "passwd", "passphrase", "passcode", "secret", "token", "apikey", "credential", "credentials",
    "accesskey", "secretkey", "privatekey", "authkey",
)  # fmt: skip
_WEAK = words("key auth oauth cookie sessionid sessid phpsessid jsessionid sid")
#: Words that are names of secrets only at the end of a name: ``db_pass``, but not ``pass_rate``.
_LAST = words("pass pw pin pins creds cred totp")
#: Words after them that change nothing: ``DB_PASS_PROD``, ``pin_code``.
_QUALIFIERS = words("prod production dev devel development stage staging test old new db code number no value str text")
_JOINED = re.compile(r"([a-z0-9]+?)(?:pass|pw|pwd|pin|creds|key)\Z")
#: Words before ``pass`` and so on in joined names: ``dbpass``, ``sshpass``, but not ``bypass``.
_OWNERS = words(
    "user usr db my sql mysql maria root admin smtp mail email ftp sftp ssh pg postgres psql redis mongo ldap "
    "imap auth login app api svc service account acct master sudo wifi wlan vpn proxy http https basic key store "
    "keystore trust truststore cert zip web guest client server host git svn docker registry card sim atm bank "
    "door oracle ora kafka rabbit amqp jdbc elastic neo4j snowflake vault sa sys access private secret encryption "
    "require"
)
#: Words before them in names of other things: ``forward_pass``, ``led_pin``, ``num_pass``.
_OTHER = {
    "pass": words(
        "first second third last next prev previous forward backward fwd bwd low high band all all single multi "
        "double one two three n num number count per each by final full optimizer train training eval evaluation val "
        "test tests check checks is did has have should can will must not boarding season ski filter quality qc gate "
        "render shadow depth exam grade result status parallel mountain day short long current cur every half warmup"
    ),
    "pw": words("n num total avg mean max min beam laser solar wind"),
    "pin": words(
        "led gpio cs clk data input output in out servo trigger trig echo reset rst rx tx sda scl relay button motor "
        "map hair bowling rolling drop sensor dht pwm analog digital interrupt enable dir step n num"
    ),
}
_OTHER["pins"] = _OTHER["pin"]
_BARE = words("key auth oauth sessionid sessid phpsessid jsessionid sid")
#: Words before ``key`` in names of secrets: ``api_key``, ``AccountKey``.
_KEY_OF = words(
    "api access secret private preshared auth account license licence encryption decryption ssh storage "
    "subscription master signing service admin app aws azure gcp google openai anthropic wandb hf huggingface "
    "kaggle consumer shared fernet crypto cipher hmac jwt webhook stripe twilio sendgrid cosmos datadog dd "
    "algolia maps mapbox pinecone cohere groq mistral github gitlab slack rsa aes tls ssl deploy bot "
    "instrumentation ingest tavily serp function"
)
#: Words before ``key`` in names of what identifies or orders rows, and of keys that are public.
_KEY_OTHER = words(
    "public publishable pub gpg pgp primary foreign sort partition cache group join row hash candidate composite "
    "natural surrogate business object index order merge dict map column col feature dedup idempotency routing "
    "hot any arrow press next prev left right on metric dataset data config json state batch rng prng random attn "
    "attention"
)
#: Last words of names of properties of a secret, such as ``token_count``.
_ABOUT = words(
    "pattern patterns count counts type types url uri path paths file filename dir folder size len length limit "
    "budget column columns col cols index idx field fields format name names label labels error errors policy "
    "expiry ttl timeout version alias prefix suffix vocab embedding embeddings dim dims hint prompt sock header "
    "headers scheme method mode func function fn class provider manager store vault env var required enabled "
    "verified word words rate usage frequency freq position positions order lookup map level minutes seconds "
    "hours days stdin fd strategy reset changed age min max regex validator strength score entropy help "
    "placeholder description input widget button accuracy loss logits probs mask ratio similarity per issuer "
    "audience endpoint"
)
#: First words of names that tell whether or how many: ``has_password``, ``max_token``.
_ASKS = words("is has use no n num max min with without require requires need needs show hide allow enable skip forgot")
#: Words before ``token`` in names of the special tokens of a language model.
_SPECIAL = words(
    "pad unk eos bos cls sep mask special oov start end next new first last stop image current cur prev previous "
    "random input output target draft sub byte word text visual patch class register prompt fim eot eod im begin "
    "each per single extra added page continuation pagination cursor sync audio video latent hidden space newline "
    "unknown placeholder replacement generated sampled"
)

_ACCESS = words("access auth api refresh bearer bot")
#: Words after the name of a secret with which it still is one: ``password_db``, ``access_key_id``.
_FOLLOWING = (
    _QUALIFIERS | _OWNERS | _KEY_OF | _STRONG
    | words(
        "id key keys hash phrase word wd text string plain clear raw confirm confirmation repeat again bytes b64 "
        "base64 encoded backup main primary secondary default current previous local remote a b c data me tmp temp"
    )
)  # fmt: skip

#: Searched in lower-case text: a pattern that ignores case takes six times as long, and so does one whose branches
#: begin with a look-behind or with more letters than these six.
_NAME_WORD = re.compile(
    r"key|token|pass(?:w|_?phrase|_?code|(?![a-z]))|p(?:wd|swd|w|ins?|in_?code)(?![a-z])|secret|cred(?:s|ential)?|auth"
    r"|totp|kennwort|senha|seed_?phrase|sess(?:ion)?id|sid(?![a-z])"
)
_NAME_CHARS = string.ascii_letters + string.digits + "_-"
_NAME_MAX = 64
#: What can stand between a name and its value.
_FOLLOWS = frozenset("\"'`\\:=,!<]/ \t\r\n")

_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def find_name(text: str, lower: str, position: int) -> tuple[int, int, Strength] | None:
    """Return start, end and strength of the next name from a position on that may be that of a secret.

    `lower` is the text in lower case, of the same length.
    """
    while found := _NAME_WORD.search(lower, position):
        start, end = name_around(text, found.start(), found.end())
        position = max(end, found.end())
        if text[end : end + 1] not in _FOLLOWS:
            continue
        strength = name_strength(text[start:end])
        if strength == "weak" and start and text[start - 1] == ".":
            # secret.key
            first, _ = name_around(text, start - 1, start - 1)
            strength = name_strength(f"{text[first : start - 1]}_{text[start:end]}")
        if strength:
            return start, end, strength
    return None


def name_around(text: str, start: int, end: int) -> tuple[int, int]:
    """Return start and end of the name that contains a part of a text."""
    before, after = text[max(0, start - _NAME_MAX) : start], text[end : end + _NAME_MAX]
    return start - len(before) + len(before.rstrip(_NAME_CHARS)), end + len(after) - len(after.lstrip(_NAME_CHARS))


@lru_cache(4096)
def name_strength(name: str) -> Strength:
    """Return how surely a value with this name is a secret.

    The words of the name count, so ``author``, ``monkey`` and ``keyword`` are not names of secrets; nor are
    ``token_pattern`` and ``pad_token``.
    """
    parts = [part.lower() for part in _PARTS.findall(name)]
    if not parts or parts[-1] in _ABOUT or (parts[0] in _ASKS and len(parts) > 1):
        return ""
    if parts[-1] in ("key", "keys") and parts[-2:-1] != [] and parts[-2] not in _KEY_OF:
        # TOKEN_KEY names the key under which a token stands.
        return "weak" if parts[-1] == "key" and parts[-2] not in _KEY_OTHER else ""
    if parts[-2:] == ["key", "id"] and parts[-3:-2] not in (["access"], ["private"]):
        # The id of a key of a key store.
        return ""
    last = _last_word(parts)
    weak = False
    for i, part in enumerate(parts):
        before = parts[i - 1] if i else ""
        if part == "token" and before in _SPECIAL:
            continue
        if _is_strong(parts, i, last):
            # A word that tells of something else may follow: user_credential_agents.
            if all(word in _FOLLOWING or word.isdigit() for word in parts[i + 1 :]):
                return "strong"
            weak = True
        weak = weak or (part in _WEAK and not (part == "key" and before in _KEY_OTHER))
    return "weak" if weak else ""


def _is_strong(parts: list[str], i: int, last: int) -> bool:
    part, before, following = parts[i], parts[i - 1] if i else "", parts[i + 1 : i + 2]
    if part in ("pass", "seed") and following in (["phrase"], ["word"], ["wd"], ["code"]):
        return True
    if part in _LAST:
        # pass_1 is the first of several passes.
        return i == last and before not in _OTHER.get(part, ()) and not (parts[-1].isdigit() and part == "pass")
    if part in _STRONG or part.endswith(_STRONG_ENDINGS):
        return True
    if part in ("key", "keys", "tokens"):
        return before in _KEY_OF if part != "tokens" else before in _ACCESS
    joined = _JOINED.match(part)
    return joined is not None and joined[1] in _OWNERS


def is_password(name: str) -> bool:
    """Whether digits alone may be a secret with this name: ``password`` and ``pin``, but not ``token``."""
    parts = [part.lower() for part in _PARTS.findall(name)]
    return name_strength(name) == "strong" and any(
        part in _PASSWORDS or part.endswith(_STRONG_ENDINGS[:4]) or (part in ("pass", "pw") and i > 0)
        for i, part in enumerate(parts)
    )


def is_bare_key(name: str) -> bool:
    """Whether a name says no more than that it is a key or session: ``key``, ``X-Key``, ``auth``, ``sessionid``."""
    return name.lower().removeprefix("x-").removeprefix("my_") in _BARE


def _last_word(parts: list[str]) -> int:
    """Position of the last word that is not a qualifier."""
    last = len(parts) - 1
    while last > 0 and (parts[last] in _QUALIFIERS or parts[last].isdigit()):
        last -= 1
    # PASS_DB names a password, too.
    return last
