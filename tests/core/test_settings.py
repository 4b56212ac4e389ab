"""Settings: precedence, validation, and errors that say how to mend them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_workbench.core.errors import SettingsError
from mlops_workbench.core.settings import Settings
from mlops_workbench.core.settings_sources import describe_settings, load_settings


def written(folder: Path, text: str) -> Path:
    file = folder / "workbench.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_defaults_need_no_file(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "none.toml", environ={}) == Settings()


def test_argument_beats_environment_beats_file(tmp_path: Path) -> None:
    file = written(tmp_path, "[control]\nport = 1111\nhost = 'filehost'\n[pipelines]\nworkers = 3\n")
    environ = {"MLOPS_CONTROL_PORT": "2222", "MLOPS_PIPELINES_WORKERS": "4"}
    settings = load_settings(file, environ, {"control.port": 3333, "control.host": None})
    assert (settings.control.port, settings.pipelines.workers, settings.control.host) == (3333, 4, "filehost")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[contrl]\nport = 1\n", ["unknown section 'contrl'", "'control'"]),
        ("[control]\nprot = 1\n", ["unknown setting 'prot'", "'port'", "[control]"]),
        ("[control]\nport = 'x'\n", ["control.port = 'x'", "int"]),
        ("[control]\nport = 70000\n", ["control.port = 70000", "65535"]),
        ("[control]\nport = '80'\n", ["control.port = '80'"]),
        # An alert looks at three windows; a drift test has at most 20,000 permutations.
        ("[monitoring]\nconsecutive = 4\n", ["monitoring.consecutive = 4", "3"]),
        ("[monitoring]\nalpha = 0.00001\n", ["monitoring.alpha = 1e-05", "0.0001"]),
        ("port = 1\n", ["'port' is outside a section"]),
        ("[control\n", ["not valid TOML", "line 1"]),
        ("[contrl]\n", ["unknown section 'contrl'"]),
    ],
)
def test_a_broken_file_says_what_where_and_how(tmp_path: Path, text: str, expected: list[str]) -> None:
    file = written(tmp_path, text)
    with pytest.raises(SettingsError) as raised:
        load_settings(file, environ={})
    message = str(raised.value)
    assert str(file) in message
    assert raised.value.hint
    for part in expected:
        assert part in message


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "workbench.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(file, environ={})


def test_an_unknown_variable_names_the_nearest() -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(environ={"MLOPS_CONTROL_PROT": "1"})
    assert raised.value.hint == "did you mean 'MLOPS_CONTROL_PORT'?"


def test_variables_of_other_programs_and_of_the_runtime_are_left_alone() -> None:
    environ = {"MLOPS_RUN_UID": "x", "MLOPS_WORKSPACE": "/w", "MLFLOW_TRACKING_URI": "y"}
    assert load_settings(environ=environ) == Settings()


@pytest.mark.parametrize("text", ["no", "maybe", "1.5"])
def test_a_variable_of_the_wrong_type_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"control\.port"):
        load_settings(environ={"MLOPS_CONTROL_PORT": text})


def test_booleans_come_from_the_environment_as_words() -> None:
    assert load_settings(environ={"MLOPS_SERVING_ALLOW_PICKLE": "true"}).serving.allow_pickle is True
    assert load_settings(environ={"MLOPS_SERVING_ALLOW_PICKLE": "false"}).serving.allow_pickle is False


def test_every_setting_is_described() -> None:
    rows = describe_settings()
    assert len(rows) >= 20
    for name, variable, _, text in rows:
        assert text, name
        assert variable == "MLOPS_" + name.replace(".", "_").upper()


def test_variables_of_other_products_with_this_prefix_are_none_of_ours():
    assert load_settings(environ={"MLOPS_DEPLOYMENT_ID": "65f0"}) == Settings()
    for slip in ("MLOPS_TRACKING_URL", "MLOPS_JOURNAL_NOTHING", "MLOPS_EXPERIMNT"):
        with pytest.raises(SettingsError, match=slip):
            load_settings(environ={slip: "x"})


def test_a_byte_order_mark_is_no_part_of_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "workbench.toml"
    file.write_bytes("\ufeff[serving]\nlog_rows = 7\n".encode())
    assert load_settings(file, {}).serving.log_rows == 7
