"""The reason of a failure in one line, from what the kernel reported; pure functions."""

from __future__ import annotations

import signal

from mlops_workbench.core.shown.plain_text import without_sequences

#: Longest reason; more is cut out of its middle, since a command's status is at its end.
_LONGEST = 400
_INPUT = "StdinNotImplementedError"


def reason(name: str, value: str) -> str:
    """Type and text of an exception in one line.

    Parameters
    ----------
    name, value : str
        As in the kernel's reply: ``ename`` and ``evalue``.
    """
    name, text = (" ".join(without_sequences(part).split()) for part in (name, value))
    if name == _INPUT:
        call = "getpass()" if text.startswith("getpass") else "input()"
        return f"{call} asks for a value, and nobody can answer in a run: make it a parameter"
    if name == "SystemExit" and text.lstrip("-").isdigit():
        return f"the notebook ended itself with status {text} (sys.exit)"
    if name == "KeyboardInterrupt" and not text:
        return "KeyboardInterrupt: the cell was interrupted"
    if not name:
        return shortened(text) or "the cell failed, and the kernel gave no reason"
    return shortened(f"{name}: {text}" if text else name)


def shortened(text: str, longest: int = _LONGEST) -> str:
    """A text without its middle, if it is longer."""
    if len(text) <= longest:
        return text
    end = longest // 3
    return f"{text[: longest - end - 5]} ... {text[-end:]}"


def is_normal_exit(name: str, value: str) -> bool:
    """Whether an exception is ``sys.exit()`` without an error, with which a notebook ends early."""
    return name == "SystemExit" and value in ("", "0", "None", "False")


def signal_name(number: int) -> str:
    """Name of a signal; those for real time have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def kernel_death(code: int | None) -> str:
    """Why a kernel died.

    Parameters
    ----------
    code : int or None
        Its exit code, negative for a signal; None if it is not known.
    """
    if code is None:
        return "the kernel died: it was killed, ran out of memory, or a library crashed"
    if code < 0:
        name = signal_name(-code)
        causes = {
            "SIGKILL": "it ran out of memory, or was killed",
            "SIGSEGV": "a library crashed",
            "SIGABRT": "a library crashed",
            "SIGBUS": "a library crashed",
            "SIGILL": "a library was built for another processor",
            "SIGTERM": "it was asked to end",
        }
        return f"the kernel died by {name}" + (f": {causes[name]}" if name in causes else "")
    return f"the kernel ended with code {code}: the notebook ended its own process (os._exit), or a library did"
