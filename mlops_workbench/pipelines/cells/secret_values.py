"""The values of a stage's secrets, which its process keeps out of everything that it writes."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from mlops_workbench.core.secrets.written_forms import SHORTEST, written_forms


class SecretValues:
    """Replaces values of environment variables by ``[secret NAME]``.

    Parameters
    ----------
    values : mapping
        Names of the variables to their values.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._names = {
            form: name for name, value in values.items() if len(value) >= SHORTEST for form in written_forms(value)
        }
        longest_first = sorted(self._names, key=len, reverse=True)
        self._longest = len(longest_first[0]) if longest_first else 0
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    @classmethod
    def of(cls, names: Iterable[str]) -> SecretValues:
        """Those of the variables of this process; a variable that is not set has no value to replace."""
        return cls({name: os.environ[name] for name in names if name in os.environ})

    def __bool__(self) -> bool:
        return self._pattern is not None

    def mask(self, text: str) -> str:
        """Replace the values in a text."""
        return self._pattern.sub(lambda found: f"[secret {self._names[found[0]]}]", text) if self._pattern else text

    def mask_all(self, value: Any) -> Any:
        """Replace the values in every text of a JSON value, keys included."""
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, dict):
            return {self.mask_all(key): self.mask_all(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.mask_all(item) for item in value]
        return value

    def begun(self, text: str) -> int:
        """Length of the end of a text with which a value may begin that the next text completes."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            end = text[-length:]
            if any(len(form) > length and form.startswith(end) for form in self._names):
                return length
        return 0


class MaskedStream:
    """A text stream like the one that it writes to, without the values of secrets."""

    def __init__(self, stream: TextIO, secrets: SecretValues) -> None:
        self._stream = stream
        self._secrets = secrets
        self._held = ""

    def write(self, text: str) -> int:
        """Write a text; an end with which a value may begin is kept for the next call."""
        masked = self._secrets.mask(self._held + text)
        end = len(masked) - self._secrets.begun(masked)
        self._held = masked[end:]
        self._stream.write(masked[:end])
        return len(text)

    def finish(self) -> None:
        """Write what was kept."""
        self._stream.write(self._held)
        self._held = ""
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class MaskedPipe:
    """A pipe for the output of another process, from which a thread writes to a stream without values of secrets.

    Attributes
    ----------
    descriptor : int
        The end for the other process; to be closed here by `opened` when that process has it.
    """

    def __init__(self, stream: TextIO, secrets: SecretValues) -> None:
        self._read, self.descriptor = os.pipe()
        self._stream = MaskedStream(stream, secrets)
        self._thread = threading.Thread(target=self._copy, daemon=True, name="masked-output")
        self._thread.start()

    def opened(self) -> None:
        """Close this process's end; the thread ends when the other process and its children have ended."""
        os.close(self.descriptor)

    def wait(self, seconds: float) -> None:
        """Wait until everything is written, or for this time."""
        self._thread.join(seconds)

    def _copy(self) -> None:
        with open(self._read, encoding="utf-8", errors="replace", newline="") as source:
            for line in source:
                self._stream.write(line)
                self._stream.flush()
        self._stream.finish()
