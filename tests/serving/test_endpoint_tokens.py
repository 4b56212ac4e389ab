"""Tokens of endpoints: only hashes are stored, and each allows what it was made for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from mlops_workbench.commands.app import run
from mlops_workbench.commands.view import View
from mlops_workbench.core.endpoints import EndpointSpec
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.core.tokens import Tokens, hashed, token_entry
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.deployments import Supervisor
from mlops_workbench.deployments.endpoint_folder import EndpointFolder


def test_each_token_allows_what_it_was_made_for(serve, cases) -> None:
    entries = [token_entry("asks", ["infer"], "web shop"), token_entry("tells", ["feedback"])]
    case = cases("linear")
    endpoint = serve(case.folder, settings=ServingSettings(token=hashed("everything"), tokens=entries))

    def status(token: str, path: str, method: str = "POST") -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return endpoint.client.request(method, path, json={}, headers=headers).status_code

    infer, feedback = "/v2/models/eta/infer", "/v2/models/eta/feedback"
    assert status("", infer) == status("wrong", infer) == status(hashed("everything"), infer) == 401
    assert status("asks", infer) == status("asks", "/invocations") == 400  # past the guard: the body is wrong
    assert status("asks", feedback) == 403
    assert status("tells", infer) == status("tells", "/invocations") == 403
    assert status("tells", feedback) == 400
    assert status("tells", "/v2/repository/models/eta/load") == 403
    assert {status("everything", path) for path in (infer, feedback, "/v2/repository/models/eta/load")} == {400}
    for token in ("asks", "tells", "everything"):
        assert status(token, "/metrics", "GET") == 200
    assert status("", "/v2/health/ready", "GET") == 200


def test_an_entry_that_is_damaged_is_named() -> None:
    for entry in ("infer", f"infer {'0' * 64}", f"root {hashed('a')}", f"infer,root {hashed('a')}", ""):
        with pytest.raises(InvalidInput, match=r"serving\.tokens"):
            Tokens("", [entry])


@dataclass
class Shell:
    """A shell in a workspace."""

    workspace: Workspace
    prog: str = "mlops"

    def __call__(self, *words: str) -> View:
        view = run(["tokens", *words], self, prog=self.prog)  # type: ignore[arg-type]
        assert view is not None
        return view


def test_a_new_token_is_shown_once_and_stored_as_its_hash(workspace: Workspace) -> None:
    shell = Shell(workspace)
    token = shell("new", "--scope", "infer,feedback", "--name", "web shop").data["token"]
    text = (workspace.root / "workbench.toml").read_text()
    assert token not in text
    assert hashed(token) in text
    assert Tokens("", Workspace.open(workspace.root).settings.serving.tokens).scopes(token) == {"infer", "feedback"}
    (row,) = shell().rows
    assert row[1:] == ["infer,feedback", "web shop"]
    assert hashed(token).endswith(str(row[0])) is False and str(row[0]) in hashed(token)
    with pytest.raises(InvalidInput, match="unknown scope 'root'"):
        shell("new", "--scope", "root")


def test_the_folder_of_an_endpoint_has_no_token(workspace: Workspace, tmp_path: Path) -> None:
    (workspace.root / "workbench.toml").write_text('[serving]\ntoken = "plain words"\n')
    supervisor = Supervisor(Workspace.open(workspace.root))
    spec = EndpointSpec("eta", "m@champion", 1)
    folder = EndpointFolder(workspace.endpoints / "eta")
    template = supervisor._desired(spec, supervisor._actual("eta", None), tmp_path, "", (Path(), ""))
    folder.path.mkdir(parents=True)
    folder.write_desired(template)
    written = b"".join(path.read_bytes() for path in folder.path.rglob("*") if path.is_file())
    assert b"plain words" not in written
    assert hashed("plain words").encode() in written
