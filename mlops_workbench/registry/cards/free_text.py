"""What a person writes about a model: ``cards/MODEL.md`` in the workspace, with a heading for each field.

The file is the person's. It is created once, and only read afterwards.
"""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.model_card import CardText

#: Folder in the workspace.
FOLDER = "cards"

#: Fields of `CardText`: heading, and what belongs there.
FIELDS: dict[str, tuple[str, str]] = {
    "purpose": ("Purpose", "What the model is for, and which decision it supports."),
    "users": ("Users", "Who uses its answers, and who is affected by them."),
    "out_of_scope": ("Out of scope", "What it must not be used for."),
    "limits": ("Limits", "Where its answers are known to be wrong or unproven."),
    "risks": ("Risks", "What can go wrong for whom, and what is done about it."),
    "owner": ("Owner", "Who is responsible for it."),
    "contact": ("Contact", "Where questions and complaints go."),
}

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*\Z")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)\Z", re.DOTALL)
_MARK = re.compile(r"<!--|-->")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)


def template(name: str) -> str:
    """The file for a model about which nothing is written yet."""
    about = f"<!-- 'mlops card {name}' shows what you write here, and never changes this file. -->"
    parts = [f"# {name}\n\n{about}"]
    parts += [f"## {heading}\n\n<!-- {hint} -->" for heading, hint in FIELDS.values()]
    return "\n\n".join(parts) + "\n"


def text_file(root: Path, name: str) -> Path:
    """The file about a model in a workspace."""
    return root / FOLDER / f"{name}.md"


def ensure_text(root: Path, name: str) -> bool:
    """Create the file about a model if there is none; return whether it was created.

    Raises
    ------
    StorageError
        It cannot be created.
    """
    file = text_file(root, name)
    if os.path.lexists(file):
        return False
    temporary = ""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{name[:100]}.", dir=file.parent)
        with open(handle, "wb") as target:
            target.write(template(name).encode())
            os.fchmod(target.fileno(), 0o644)
        # A link, unlike a rename, never replaces a file that was made meanwhile.
        os.link(temporary, file)
    except FileExistsError:
        return False
    except OSError as error:
        raise StorageError(
            f"cannot create {file.name}: {error.strerror or error}",
            where=str(file.parent),
            hint="check that the folder is writable and the disk has free space",
        ) from error
    finally:
        if temporary:
            with suppress(OSError):
                os.unlink(temporary)
    return True


def read_text(root: Path, name: str) -> CardText:
    """What a person wrote about a model; nothing without a file.

    Raises
    ------
    StorageError
        There is a file that cannot be read.
    """
    file = text_file(root, name)
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return CardText()
    except OSError as error:
        raise StorageError(
            f"cannot read {file.name}: {error.strerror or error}", where=str(file), hint="make it a readable file"
        ) from error
    return parse_text(content.decode("utf-8-sig", "backslashreplace"))


def parse_text(content: str) -> CardText:
    """The fields of a file: what is between a heading and the next one of its level or above, without comments."""
    names = {heading.casefold(): name for name, (heading, _) in FIELDS.items()}
    found: dict[str, list[str]] = {}
    current, depth, fence, comments = "", 0, "", False
    for line in content.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        mark = _FENCE.match(line)
        heading = None
        if fence:
            closes = mark is not None and mark[1].startswith(fence) and not mark[2].strip()
            fence = "" if closes else fence
        elif mark is not None:
            fence = mark[1]
        elif not comments:
            heading = _HEADING.match(line)
        if not fence:
            # Of the last mark of a comment on the line, whether it begins or ends one.
            comments = line.rfind("<!--") > line.rfind("-->") if _MARK.search(line) else comments
        if heading is None or (current and len(heading[1]) > depth):
            if current:
                found[current].append(line)
            continue
        current, depth = names.get((heading[2] or "").strip().casefold(), ""), len(heading[1])
        if current:
            # Of two headings of one name, both texts hold.
            found.setdefault(current, [])
    return CardText(**{name: _COMMENT.sub("", "\n".join(lines)).strip() for name, lines in found.items()})


def open_questions(text: CardText) -> list[str]:
    """Headings of the fields that nobody has filled."""
    return [heading for name, (heading, _) in FIELDS.items() if not getattr(text, name)]
