"""Authentication and authorization of every handler."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from authorizers import Denier, Reader
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import JupyterServerAuthWarning
from tornado.httpclient import HTTPClientError

pytestmark = pytest.mark.process

REQUESTS = [
    ("GET", ("mlops-workbench", "handshake"), None),
    ("GET", ("mlops-workbench", "api", "status"), None),
    ("POST", ("mlops-workbench", "api", "pipelines", "p", "runs"), "{}"),
    ("PUT", ("mlops-workbench", "api", "endpoints", "e"), "{}"),
    ("DELETE", ("mlops-workbench", "api", "endpoints", "e"), None),
]


async def status_of(jp_fetch: Any, method: str, parts: tuple[str, ...], body: str | None, **options: Any) -> int:
    try:
        response = await jp_fetch(*parts, method=method, body=body, follow_redirects=False, **options)
    except HTTPClientError as error:
        return error.code
    return int(response.code)


@pytest.mark.parametrize(("method", "parts", "body"), REQUESTS)
async def test_without_a_token_nothing_is_answered(jp_fetch: Any, method: str, parts: Any, body: str | None) -> None:
    status = await status_of(jp_fetch, method, parts, body, headers={"Authorization": "token wrong"})
    assert status in {302, 403}


class TestDenied:
    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any]) -> dict[str, Any]:
        jp_server_config["ServerApp"]["authorizer_class"] = Denier
        return jp_server_config

    @pytest.mark.parametrize(("method", "parts", "body"), REQUESTS)
    async def test_a_user_without_the_right_gets_403(
        self, jp_fetch: Any, method: str, parts: Any, body: str | None
    ) -> None:
        assert await status_of(jp_fetch, method, parts, body) == 403

    async def test_the_rest_of_the_server_still_answers(self, jp_fetch: Any) -> None:
        assert await status_of(jp_fetch, "GET", ("api", "status"), None) == 200


class TestReadOnly:
    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any]) -> dict[str, Any]:
        jp_server_config["ServerApp"]["authorizer_class"] = Reader
        return jp_server_config

    @pytest.mark.parametrize(("method", "parts", "body"), [item for item in REQUESTS if item[0] != "GET"])
    async def test_a_reader_cannot_change_anything(
        self, jp_fetch: Any, method: str, parts: Any, body: str | None
    ) -> None:
        assert await status_of(jp_fetch, method, parts, body) == 403

    async def test_a_reader_can_read(self, jp_fetch: Any) -> None:
        assert await status_of(jp_fetch, "GET", ("mlops-workbench", "handshake"), None) == 200


def test_every_method_of_every_handler_is_authenticated(
    jp_configurable_serverapp: Any, jp_server_config: dict[str, Any]
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        app: ServerApp = jp_configurable_serverapp(config=jp_server_config)
    assert app.extension_manager.extensions["mlops_workbench"].enabled
    assert [str(item.message) for item in caught if issubclass(item.category, JupyterServerAuthWarning)] == []
