"""Secrets that a place tells: commands, URLs, HTTP headers, cookies, SQL, XML, netrc, calls that log in."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

from mlops_workbench.core.secrets.formats import MASK, masked_inside
from mlops_workbench.core.secrets.names import name_strength, words
from mlops_workbench.core.secrets.values import is_basic, is_plain, is_template

#: Parts of the patterns: the value of an option; what stands between option and value, also in a list of arguments;
#: the arguments before; a string that is skipped; a string that is a secret; blanks.
_FRAGMENTS = {
    "VALUE": r"""(?P<s>QUOTED|[^\s"'`|<>${*-][^\s"'`|<>]{0,500})""",
    "QUOTED": r"""'[^'\n\\]{1,500}'|\\?"[^"\n\\]{1,500}\\?\"""",
    "SEP": r"""(?:[ \t]{1,10}|=|["'][ \t]{0,5},\s{0,20}(?=["']))""",
    "ARGS": r"""[^\n|;&]{0,200}?[\s"']""",
    "STRING": r"""[rbu]{0,2}(?:"[^"\\\n]{0,300}"|'[^'\\\n]{0,300}')""",
    "LITERAL": r"""[rbu]{0,2}(?P<s>"[^"\\\n]{1,300}"|'[^'\\\n]{1,300}')""",
    "SQLTEXT": r"""(?P<s>'(?:[^'\n]|''){1,300}')""",
    "GAP": r"[ \t]{1,5}",
}


class _Place(NamedTuple):
    """Where a secret stands.

    Attributes
    ----------
    markers : tuple of str
        The text in lower case contains one of them where the pattern can match.
    pattern : str
        A pattern with `_FRAGMENTS`, whose group ``s`` (or ``t``) is the secret.
    is_secret : callable
        Whether a match with a value is one.
    """

    markers: tuple[str, ...]
    pattern: str
    is_secret: Callable[[re.Match[str], str], bool]


def _any(found: re.Match[str], value: str) -> bool:
    return True


_SCHEMES = words("bearer basic token apikey api-key digest negotiate ntlm splunk ssws oauth key jwt")
_SQL = r"(?i)\b(?:user|role|login|create|alter|grant|encrypted)\b[^;]*\Z"


def _authorization(found: re.Match[str], value: str) -> bool:
    return found["scheme"].lower() in _SCHEMES or not is_plain(value)


def _identified(found: re.Match[str], value: str) -> bool:
    return re.search(_SQL, found.string[max(0, found.start() - 150) : found.start()]) is not None


def _unless_prose(found: re.Match[str], value: str) -> bool:
    before = found.string[max(0, found.start() - 150) : found.start()]
    return " " not in value or re.search(_SQL, before) is not None


def _scheme(found: re.Match[str], value: str) -> bool:
    if found["scheme"].lower() == "basic":
        return is_basic(value) or (not is_plain(value) and len(value) >= 8) or len(value) >= 40
    return len(value) >= 40 or not is_plain(value)


def _named(found: re.Match[str], value: str) -> bool:
    names = [
        found["tag"].rpartition(":")[2],
        *re.findall(r"""(?i)\b(?:name|key|id)=["']([^"']{1,80})["']""", found["attributes"] or ""),
    ]
    return any(name_strength(name) == "strong" for name in names) and bool(value.strip())


def _header(found: re.Match[str], value: str) -> bool:
    name = found["name"]
    return name.lower() != "authorization" and name_strength(name) == "strong"


_SETS = (
    r"(?:[sS]et|[wW]ith|[cC]heck|[vV]erify|[hH]ash|[cC]hange|[uU]pdate|[eE]ncrypt|[vV]alidate|[uU]nlock)_?\w{0,20}\Z"
)


def _setter(found: re.Match[str], value: str) -> bool:
    before = found.string[max(0, found.start() - 1) : found.start()]
    if before == "." and not re.search(r"\s|:\Z", value):
        # A builder: .password("..."); a text with blanks asks for a password.
        return True
    return re.search(_SETS, found.string[max(0, found.start() - 40) : found.start()]) is not None


_HOST_BEFORE = r"(?:^|\n|[\"'])[A-Za-z*][\w.*-]{0,80}\Z"


def _pgpass(found: re.Match[str], value: str) -> bool:
    return re.search(_HOST_BEFORE, found.string[max(0, found.start() - 90) : found.start()]) is not None


_PLACES = (
    # Commands
    _Place(("mysql", "mariadb"), r"(?:mysql\w*|mariadb[\w-]*)ARGS-pVALUE", _any),
    _Place(("sshpass",), r"""sshpass["']?,?GAP["']?(?:-[vP]GAP(?:\S{1,40}GAP)?)?-pSEP?VALUE""", _any),
    _Place(("curl", "http", "ab "),
        r"""(?:curl|https?|ab)[ \t"'](?:ARGS)?(?:-u|-U|-a|-A|--user|--proxy-user|--auth)SEP?"""
        r"""(?:(?P<quote>\\?["'])[^:"'\n]{0,100}:(?P<s>[^"'\n]{1,300})(?P=quote)"""
        r"""|[^\s:"'$<{-][^\s:"'/]{0,100}:(?P<t>[^\s"'$<{][^\s"']{0,300}))""", _any),
    _Place((" login", '"login'),
        r"""(?:docker|podman|az|helm|oc|cf|buildah|skopeo|nerdctl|crane|acr|ibmcloud)[ \t"'][^\n|;&]{0,80}?\blogin\b"""
        r"ARGS-pSEPVALUE", _any),
    _Place(("twine", "mongo", "clickhouse", "cqlsh", "xfreerdp"),
        r"(?:twine|mongo\w{0,10}|cqlsh|clickhouse[\w-]{0,10}|xfreerdp)ARGS(?:-p|/p:)SEP?VALUE", _any),
    _Place(("sqlcmd", "bcp ", "isql", "zip"), r"""(?:sqlcmd|bcp|isql|unzip|zip)[ \t"'](?:ARGS)?-PSEP?VALUE""", _any),
    _Place(("7z", "rar ", 'rar"'), r"(?:7z[azr]?|rar|unrar)ARGS-h?pVALUE", _any),
    _Place(("redis-cli",), r"redis-cliARGS(?:-a|--pass)SEPVALUE", _any),
    _Place(("ldap",), r"ldap(?:search|add|modify|passwd|whoami|delete)ARGS-wSEPVALUE", _any),
    _Place(("openssl",), r"opensslARGS(?:(?:-pass\w{0,3}SEP)?pass:|-kSEP)VALUE", _any),
    _Place(("smbclient", "rpcclient", "lftp"),
        r"""(?:smbclient|rpcclient|lftp)ARGS-[uU]SEP["']?[^\s%,"']{1,80}[%,](?P<s>[^\s"']{1,200})""", _any),
    _Place(("sudo -s", "stdin", "chpasswd", "kinit", "smbpasswd"),
        r"""(?:echo|printf)GAP(?:-\wGAP)?(?P<s>QUOTED|[^\s"'`|<>$][^\s"'`|]{0,200})[ \t]{0,5}\|"""
        r"[^\n]{0,200}?(?:sudo -S|--?(?:password|pass|api-key|token)?-?stdin|chpasswd|kinit|smbpasswd)", _any),
    _Place(("wandb", "ngrok", "vault"),
        r"(?:wandb|vault)GAPloginGAP(?:--reloginGAP)?(?P<s>[A-Za-z0-9._-]{20,})"
        r"|ngrok[^\n]{0,40}authtokenGAP(?P<t>\w{10,})", _any),
    _Place(("htpasswd",), r"htpasswdGAP-\w{0,5}b\w{0,5}(?:GAP[^\s-]\S{0,200}){2}GAPVALUE", _any),
    _Place(("rabbitmqctl",), r"rabbitmqctlGAP(?:add_user|change_password)GAP\S{1,80}GAPVALUE", _any),
    _Place(("<<<",), r"(?:sudo -S|stdin|chpasswd)[^\n]{0,200}<<<[ \t]{0,5}VALUE", _any),
    _Place(("/user:",), r"net use[^\n]{0,200}/user:\S{1,80}GAPVALUE", _any),
    _Place(("-h ", '-h"', "-h'", "--header"),
        r"""(?:-H|--header)[ =,"']{1,4}["'](?P<name>[\w-]{1,80}):[ ]{0,5}(?P<s>[^"'\n]{1,500})""", _header),
    _Place(("sqlplus",), r"""sqlplusGAP(?:-\w{1,5}GAP){0,2}["']?\w{1,60}/(?P<s>[^\s@"']{1,100})@""", _any),
    _Place(("/pass",), r"/pass(?:word)?:VALUE", _any),
    # HTTP
    _Place(("authorization",),
        r"""(?i)authorization\\?["']?\s{0,3}[:=,]\s{0,3}\\?["']?(?P<scheme>[a-z][a-z0-9-]{2,20})[ \t]{1,8}"""
        r"""(?P<s>[^\s"'\\,;]{4,2000})""", _authorization),
    _Place(("bearer", "basic"), r"(?i)\b(?P<scheme>bearer|basic)[ \t]{1,8}(?P<s>[A-Za-z0-9._~+/=-]{6,})", _scheme),
    _Place(("sig=", "ignature="),
        r"[?&](?:sig|[sS]ignature|X-(?:Amz|Goog)-Signature)=(?P<s>[\w%+/=.-]{12,})", _any),
    # Files and SQL
    _Place(("password",),
        r"(?:machine\s{1,20}\S{1,200}|default(?=\s{1,20}login))\s{1,20}(?:(?:login|account)\s{1,10}\S{1,200}\s{1,20}){0,2}"
        r"password\s{1,10}VALUE", _any),
    _Place((":",), r"""(?m):(?:\d{4,5}|\*):[\w.*-]{1,60}:[\w.*-]{1,60}:(?P<s>[^\s:"'/][^\s:"']{0,200})$""", _pgpass),
    _Place(("password '", "password n'", "password e'", "password  ", 'password "'),
        r"""(?:[pP]assword|PASSWORD)[ \t]{1,10}[NE]?(?P<s>'(?:[^'\n]|''){1,300}'|"[^"\s]{1,300}")""", _unless_prose),
    _Place(("auth plain", "auth login"), r"AUTH (?:PLAIN|LOGIN) (?P<s>[A-Za-z0-9+/=]{8,})", _any),
    _Place(("requirepass", "masterauth"), r"(?:requirepass|masterauth)GAPVALUE", _any),
    _Place(("password('", "password ('", "password( '"),
        r"(?:[pP]assword|PASSWORD)\s{0,3}\(\s{0,3}SQLTEXT\s{0,3}\)", _any),
    _Place(("password for",), r"(?:[pP]assword|PASSWORD) [fF][oO][rR] [^\n;=]{1,120}=\s{0,5}SQLTEXT", _any),
    _Place(("identified",),
        r"(?i)\bidentified\s{1,5}(?:with\s{1,5}\w{1,60}\s{1,5})?(?:by|as)\s{1,5}(?:password\s{1,5})?"
        r"""(?P<s>'[^'\n]{1,300}'|"[^"\n]{1,300}"|[^\s'";,]{0,100}\d[^\s'";,]{0,100})""", _identified),
    _Place(("secret ", "token ", "key "), r"(?:SECRET|TOKEN|ACCESS_KEY)[ \t]{1,5}(?P<s>'[^'\n]{4,300}')", _any),
    _Place(("</",),
        r"<(?P<tag>[A-Za-z][\w.:-]{0,63})(?P<attributes>\s[^<>]{0,200})?>"
        r"(?:<!\[CDATA\[)?(?P<s>[^<>]{1,500}?)(?:\]\]>)?</", _named),
    _Place(("jdbc:oracle",), r"""jdbc:oracle:\w{1,10}:\w{1,60}/(?P<s>[^\s@"']{1,100})@""", _any),
    # Calls
    _Place(("hpw(", "kpw("), r"(?:hash|check)pw\(\s{0,5}LITERAL", _any),
    _Place(("login(", "auth(", "authprovider(", "credential(", "authenticate(", "username_pw_set("),
        r"(?:login|db\.auth|username_pw_set|HTTP(?:Basic|Digest|Proxy)Auth|BasicAuth|PlainTextAuthProvider|UsernamePasswordCredentials?"
        r"|authenticate)\(\s{0,20}(?:STRING|[\w.\[\]]{1,80})\s{0,5},\s{0,20}(?:\w{1,20}=)?LITERAL", _any),
    _Place(("jwt.", "hmac.new(", "aes.new("),
        r"(?:jwt\.(?:en|de)code\(\s{0,5}[^,()\n]{1,80},\s{0,5}|(?:hmac|AES)\.new\(\s{0,5})LITERAL", _any),
    _Place(("securestring",), r"ConvertTo-SecureString[^\n\"']{0,40}LITERAL", _any),
    _Place(("getconnection(",), r"getConnection\((?:\s{0,20}(?:STRING|[\w.]{1,60})\s{0,3},){2}\s{0,20}LITERAL", _any),
    _Place(("password(", "passwd(", "passcode(", "passphrase(", "_pw(", "_pin(", "secret(", "token(", "key("),
        r"(?:[pP]ass(?:word|wd|code|phrase)|_pw|[pP]in|[sS]ecret|[tT]oken|[kK]ey)\("
        r"(?:\s{0,20}(?:STRING|[\w.]{1,60})\s{0,3},){0,2}\s{0,20}LITERAL\s{0,5},?\s{0,20}\)", _setter),
)  # fmt: skip

_MARKERS = [(marker, number) for number, place in enumerate(_PLACES) for marker in place.markers]
_FIRST_OTHER = next(number for number, place in enumerate(_PLACES) if "authorization" in place.markers)
_OF_COMMANDS = [(marker, number) for marker, number in _MARKERS if number < _FIRST_OTHER]
_OPTION = re.compile(r"""["']?--?[A-Za-z]""")
_DASHES = (" -", "\n-", '"-', "'-")
_OPTIONS = (",'-", ',"-', " login", "/user:", "/p:", "sqlplus")
_COMMON = ("pass", "auth", "secret", "token", "key", "login", "pw(", ".new(", "sig")
_STEMS: dict[str, list[tuple[str, int]]] = {}
for _marker, _number in _MARKERS[len(_OF_COMMANDS) :]:
    _stem = next((stem for stem in _COMMON if stem in _marker), _marker)
    _STEMS.setdefault(_stem, []).append((_marker, _number))


@cache
def _compiled(number: int) -> re.Pattern[str]:
    # Most patterns are never needed in a process.
    pattern = _PLACES[number].pattern
    for name, fragment in _FRAGMENTS.items():
        pattern = pattern.replace(name, fragment)
    return re.compile(pattern)


def mask_places(text: str, lower: str, words: list[str]) -> str:
    """Mask secrets that their place tells; `lower` is the text in lower case, `words` those between blanks."""
    # Most texts have neither a command with options nor most of the words in which markers begin.
    stems = [stem for stem in _STEMS if stem in lower]
    markers = [pair for stem in stems for pair in _STEMS[stem]]
    dashed = [word for word in words if "-" in word[:2]] if any(sign in lower for sign in _DASHES) else ()
    if any(_OPTION.match(word) for word in dashed) or any(sign in lower for sign in _OPTIONS):
        markers += _OF_COMMANDS
    for number in dict.fromkeys([number for marker, number in markers if marker in lower]):
        text = _compiled(number).sub(partial(_masked, _PLACES[number].is_secret), text)
    if "://" in lower or "cookie" in lower or "curl" in lower or "insert" in lower:
        from mlops_workbench.core.secrets.structures import mask_structures

        return mask_structures(text, lower)
    return text


def _masked(is_secret: Callable[[re.Match[str], str], bool], found: re.Match[str]) -> str:
    group = "s" if found["s"] is not None else "t"
    before = found.string[max(0, found.start() - 1) : found.start()]
    if before.isalnum() and found[0][0].islower():
        # The end of another word. A word boundary in the pattern would make the search several times slower.
        return found[0]
    value = found[group]
    quote = re.match(r"""\\?["']""", value)
    inner = value[quote.end() : -quote.end()] if quote and value.endswith(quote[0]) else value
    if not inner or is_template(inner) or _ends_string(found, group, inner != value) or not is_secret(found, inner):
        return found[0]
    return masked_inside(found, group, f"{quote[0]}{MASK}{quote[0]}" if inner != value and quote else MASK)


def _ends_string(found: re.Match[str], group: str, quoted: bool) -> bool:
    """Whether the quote before a value ends a string that holds the command: run("mysql -p" + password)."""
    start = found.start(group)
    line = found.string[max(0, start - 300) : start]
    line = line[line.rfind("\n") + 1 :]
    return quoted and found.string[start] != "\\" and line.count(found.string[start]) % 2 == 1
