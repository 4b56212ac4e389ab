"""The files that are meant by the words of a command."""

from __future__ import annotations

from pathlib import Path

from mlops_workbench.core.errors import InvalidInput

_SUFFIXES = (".parquet", ".csv")


def input_paths(words: list[str], output: Path, *, force: bool = False) -> list[Path]:
    """Return the files that are meant, those of folders in the order of their names.

    Parameters
    ----------
    words : list of str
        Files and folders.
    output : Path
        The file that will be written.
    force : bool
        Whether it may replace another one.

    Raises
    ------
    InvalidInput
        A file is missing, a folder has none, or the output is in the way.
    """
    if output.suffix.lower() not in _SUFFIXES:
        raise InvalidInput(f"the output '{output}' must end with .parquet or .csv", hint="the last file is the output")
    if output.is_dir():
        raise InvalidInput(f"the output '{output}' is a folder", hint="give the name of a file")
    found: list[Path] = []
    for word in words:
        path = Path(word)
        if path.is_dir():
            if output.resolve().is_relative_to(path.resolve()):
                raise InvalidInput(f"the output '{output}' is in the input folder '{word}'", hint="write elsewhere")
            files = sorted(
                one
                for one in path.rglob("*")
                if one.suffix.lower() in _SUFFIXES
                and one.is_file()
                and not any(part.startswith((".", "_")) for part in one.relative_to(path).parts)
            )
            if not files:
                raise InvalidInput(f"the folder '{word}' has no Parquet or CSV file")
            found += files
        elif path.is_file():
            if path.suffix.lower() not in _SUFFIXES:
                raise InvalidInput(
                    f"'{word}' is neither Parquet nor CSV", hint="its name must end with .parquet or .csv"
                )
            found.append(path)
        else:
            raise InvalidInput(f"no file '{word}'", hint="give Parquet or CSV files, or a folder of them")
    if not found:
        raise InvalidInput(
            "no input is named", hint="write --batch IN.parquet OUT.parquet; the last file is the output"
        )
    # With absolute paths, since the process has another working folder.
    found = [path.absolute() for path in found]
    if any(path.resolve() == output.resolve() for path in found):
        raise InvalidInput(f"'{output}' is an input, too", hint="write to another file")
    if output.exists() and not force:
        raise InvalidInput(f"'{output}' exists", hint="--force replaces it")
    return found
