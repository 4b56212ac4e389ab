"""What lies in the folders that modules are imported from, and that what is remembered of them is never wrong."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from mlops_workbench.capture.environment import distribution_folders
from mlops_workbench.capture.environment.distribution_folders import DistributionFolders, top_modules


def install(site: Path, name: str, version: str, files: str) -> Path:
    folder = site / f"{name}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\ntext\n")
    (folder / "RECORD").write_text(files)
    return folder


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of twelve distributions."""
    for number in range(12):
        install(tmp_path / "site", f"one_{number}", "1.0", f"module{number}/__init__.py,,\n")
    return tmp_path / "site"


def found(site: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {one.name: (one.version, one.modules) for one in DistributionFolders().read(str(site))}


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the metadata that are read from now on."""
    names: list[str] = []
    plain = distribution_folders._distribution

    def read(path: str, name: str, changed: int) -> distribution_folders.Distribution:
        names.append(name)
        return plain(path, name, changed)

    monkeypatch.setattr(distribution_folders, "_distribution", read)
    return names


def test_another_session_reads_no_metadata_again(site, monkeypatch):
    first = found(site)
    assert first["one-3"] == ("1.0", ("module3",)) and len(first) == 12
    again = reads(monkeypatch)
    assert found(site) == first and again == []


def test_what_was_installed_or_removed_since_is_seen_and_nothing_else_is_read(site, monkeypatch):
    folders = DistributionFolders()
    folders.read(str(site))
    shutil.rmtree(site / "one_3-1.0.dist-info")
    install(site, "one_3", "1.1", "module3/__init__.py,,\nextra.cpython-311-x86_64-linux-gnu.so,,\n")
    shutil.rmtree(site / "one_4-1.0.dist-info")
    again = reads(monkeypatch)
    for one in (found(site), {one.name: (one.version, one.modules) for one in folders.read(str(site))}):
        assert one["one-3"] == ("1.1", ("extra", "module3")) and "one-4" not in one and len(one) == 11
    assert set(again) == {"one_3-1.1.dist-info"}


def test_the_same_version_installed_again_with_other_files_is_read_again(site):
    found(site)
    shutil.rmtree(site / "one_3-1.0.dist-info")
    install(site, "one_3", "1.0", "renamed/__init__.py,,\n")
    assert found(site)["one-3"] == ("1.0", ("renamed",))


def test_a_project_under_development_is_read_each_time(site):
    info = site / "developed.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Name: developed\nVersion: 1\n")
    (info / "top_level.txt").write_text("developed\n")
    assert found(site)["developed"] == ("1", ("developed",))
    (info / "PKG-INFO").write_text("Name: developed\nVersion: 2\n")
    assert found(site)["developed"] == ("2", ("developed",))


@pytest.mark.parametrize("content", [b"", b"\x00", b"\xff" * 40, b"\x94\x09\xa1x\x01\x80", b"\x94\x01\xa1x\x01\x80"])
def test_a_broken_memory_is_made_anew(site, content):
    first = found(site)
    (kept,) = (Path(os.environ["XDG_CACHE_HOME"]) / "mlops-workbench" / "distributions").iterdir()
    whole = kept.read_bytes()
    for broken in (content, whole[: len(whole) // 2]):
        kept.write_bytes(broken)
        assert found(site) == first and kept.read_bytes() == whole


def test_without_a_place_to_remember_them_they_are_read(site, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(found(site)) == 12


def test_a_folder_that_is_not_there_has_none(tmp_path):
    assert found(tmp_path / "nowhere") == {}


def test_modules_are_distinguished_from_other_files():
    record = (
        b"pkg/__init__.py,sha256=x,1\r\npkg/sub/a.py,,\nsix.py,,\n_c.cpython-311-x86_64-linux-gnu.so,,\nw.pyd,,\n"
        b"../../bin/tool,,\npkg-1.0.dist-info/RECORD,,\nREADME.md,,\n__editable__.pkg-1.0.pth,,\n\xff/x.py,,\n"
    )
    assert top_modules(record) == {"pkg", "six", "_c", "w"}
    assert top_modules(b"yaml\n_yaml\n") == {"yaml", "_yaml"}
    assert top_modules(b"") == set()
