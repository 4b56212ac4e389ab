"""Values in a spec: durations, sizes, numbers, names, conditions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mlops_workbench.core.errors import InvalidInput, did_you_mean
from mlops_workbench.core.gates import check_conditions
from mlops_workbench.pipelines.definition.problems import Problems
from mlops_workbench.pipelines.definition.yaml_nodes import YamlNode

#: As regular expressions of JSON Schema, too.
DURATION = r"(?=.)(?:[0-9]{1,6}d)?(?:[0-9]{1,6}h)?(?:[0-9]{1,8}m)?(?:[0-9]{1,9}(?:\.[0-9]{1,6})?s)?"
SIZE = r"[0-9]{1,9}(?:\.[0-9]{1,6})? ?(?:[kKMGTP]i?)?B?"
ENVIRONMENT_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_LONGEST_SECONDS = 1e9


def short(value: object) -> str:
    """A value for a message."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def duration(node: YamlNode, what: str, *, zero: bool = False) -> float:
    """Seconds, from a number or from text such as ``1h30m``."""
    value = node.value()
    seconds = -1.0
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and re.fullmatch(DURATION, value):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9.]+)([dhms])", value))
    if not (seconds >= 0 if zero else seconds > 0) or not seconds < _LONGEST_SECONDS:
        raise node.error(f"{what} {short(value)} is not a duration", "write 90s, 30m, 1h30m, 7d or a number of seconds")
    return seconds


def size(node: YamlNode, what: str) -> int:
    """Bytes, from a whole number or from text such as ``4GB`` or ``512MiB``."""
    value = node.value()
    found = -1
    if isinstance(value, int) and not isinstance(value, bool):
        found = value
    elif isinstance(value, str) and re.fullmatch(SIZE, value):
        match = re.match(r"([0-9.]+) ?([kKMGTP]?)(i?)", value)
        assert match is not None
        found = int(float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2].lower()])
    if not 0 <= found < 2**60:
        raise node.error(f"{what} {short(value)} is not a size", "write 4GB, 512MB, 2GiB or a number of bytes")
    return found


def number(node: YamlNode, what: str, least: float, most: float = 1e9, *, above: bool = False) -> float:
    """A number; `above`: greater than `least`."""
    value = node.value()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise node.error(f"{what} must be a number, not {node.kind}")
    if not (least < value if above else least <= value) or not value <= most:
        raise node.error(f"{what} must be {'above' if above else 'at least'} {least:g} and at most {most:g}: {value}")
    return float(value)


def count(node: YamlNode, what: str, least: int, most: int) -> int:
    """A whole number."""
    value = node.value()
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise node.error(f"{what} must be a whole number from {least} to {most}, not {short(value)}")
    return value


def flag(node: YamlNode, what: str) -> bool:
    """True or false."""
    value = node.value()
    if not isinstance(value, bool):
        raise node.error(f"{what} must be true or false, not {node.kind}")
    return value


def one_of(node: YamlNode, what: str, choices: Sequence[str]) -> str:
    """One of several words."""
    text = node.text(what)
    if text not in choices:
        raise node.error(f"{what} cannot be '{text[:80]}'", did_you_mean(text, choices))
    return text


def several(node: YamlNode, what: str) -> list[YamlNode]:
    """Items of a list, or the only one."""
    found = node.items(what) if node.is_list else [node]
    if not found:
        raise node.error(f"{what} is an empty list", "remove it, or add an item")
    return found


def words(node: YamlNode, what: str, choices: Sequence[str]) -> tuple[str, ...]:
    """A list of different words of several."""
    return distinct([(item, one_of(item, f"one of {what}", choices)) for item in node.items(what)], what)


def distinct(found: Iterable[tuple[YamlNode, str]], what: str) -> tuple[str, ...]:
    """Texts that must differ from each other."""
    texts: list[str] = []
    problems = Problems()
    for node, text in found:
        if text in texts:
            problems.add(node.error(f"'{text}' is given twice in {what}", "remove one"))
        texts.append(text)
    problems.check()
    return tuple(texts)


def environment_variable(node: YamlNode, text: str) -> str:
    """Name of an environment variable."""
    if not re.fullmatch(ENVIRONMENT_VARIABLE, text):
        hint = "use letters, digits and '_'; the variable holds the secret, and the spec only its name"
        raise node.error(f"'{text[:80]}' cannot be the name of an environment variable", hint)
    return text


def condition(node: YamlNode) -> str:
    """A condition of a gate; only its syntax is checked."""
    text = node.text("a condition").strip()
    try:
        check_conditions([text])
    except InvalidInput as error:
        message = error.message if error.message.startswith("not a condition") else f"not a condition: {error.message}"
        raise node.error(f"'{text[:80]}' is {message}"[:300], error.hint) from error
    return text


def conditions(node: YamlNode, what: str) -> tuple[str, ...]:
    """Conditions of a gate."""
    problems = Problems()
    found: list[str] = []
    for item in node.items(what):
        with problems.collect():
            found.append(condition(item))
    problems.check()
    return tuple(found)
