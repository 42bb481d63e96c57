"""Requests with a bearer token: what becomes of wrong ones, and what else proves who sends one."""

import logging
from collections.abc import Mapping
from pathlib import Path

import httpx2
import pytest

from jsonrpc_iot import (
    Channel,
    ChannelAttribute,
    ConnectFailed,
    Principal,
    asgi_app,
    connect,
    serve,
)
from tests.server.test_principals import Keys, keys, lamp
from tests.transports.certificates import Certificates

from .test_principals import PROMPT, bearer, request, served
from .test_server import EVENTS, JSON, URL, client

__all__ = ["keys"]

pytestmark = pytest.mark.anyio

AUDIT = "jsonrpc_iot.audit"
REQUESTS = [
    ("POST", "", JSON, request("look")),
    ("POST", "", JSON, request("rpc.ping")),
    ("POST", "", JSON, request("look", None)),
    ("POST", "/look", JSON, b""),
    ("GET", "", EVENTS, None),
    ("GET", "/openrpc.json", {}, None),
    ("POST", "/ticket", {}, None),
]


def with_token(headers: Mapping[str, str], token: str) -> dict[str, str]:
    return {**headers, "authorization": f"Bearer {token}"}


@pytest.mark.parametrize(("method", "path", "headers", "content"), REQUESTS)
@pytest.mark.parametrize("strangers", [True, False])
async def test_a_token_that_nobody_has_is_answered_401(
    keys: Keys,
    method: str,
    path: str,
    headers: dict[str, str],
    content: bytes | None,
    strangers: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with served(keys, strangers=strangers, limits=PROMPT) as (_, http):
        for token in (keys.app[:-1], f"{keys.app}x", "", "x" * 50_000, "caf\xe9"):
            caplog.clear()
            sent = {name.encode(): value.encode() for name, value in headers.items()}
            sent[b"authorization"] = f"Bearer {token}".strip().encode("latin-1")
            refused = await http.request(method, path, headers=sent, content=content)
            assert refused.status_code == 401, token[:20]
            assert refused.headers["www-authenticate"] == "Bearer"
            assert refused.json()["error"] == {"code": -32005, "message": "Nobody has that token"}
            (line,) = [each.getMessage() for each in caplog.records if each.name == AUDIT]
            assert line.endswith("proof by token was refused: nobody has it")
            assert not token or token not in caplog.text + refused.text


async def test_an_expired_token_is_answered_401(keys: Keys) -> None:
    now = keys.path.read_text()
    async with served(keys) as (_, http):
        before = await http.post("", content=request("who"), headers=bearer(keys.app))
        assert before.json()["result"] == ["app", "token"]
        keys.write(now.replace("[peers.app]", "[peers.app]\nexpires = 2001-01-01"))
        assert keys.keyring.refresh(force=True)
        after = await http.post("", content=request("who"), headers=bearer(keys.app))
        assert after.status_code == 401
        # Without a token it is a stranger, like anybody.
        stranger = await http.post("", content=request("who"), headers=JSON)
        assert stranger.json() == {"id": 1, "result": None}


async def test_a_client_with_a_wrong_token_hears_it_at_once(keys: Keys, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text(keys.app[::-1])
    async with serve(lamp(), URL, "ws://127.0.0.1:0/rpc", keyring=keys.keyring) as server:
        for url in server.urls:
            with pytest.raises(ConnectFailed, match="401") as failure:
                async with connect(f"{url}?token=file:{secret}"):
                    pytest.fail("nobody has that token")
            assert keys.app[::-1] not in str(failure.value)
        secret.write_text(keys.app)
        for url in server.urls:
            async with connect(f"{url}?token=file:{secret}") as there:
                assert await there.call("who") == ["app", "token"]


async def test_a_hook_may_know_tokens_of_its_own(keys: Keys) -> None:
    def judge(channel: Channel) -> Principal | None:
        token = channel.extra(ChannelAttribute.bearer_token, None)
        return Principal("guest", {"switch"}) if token == "made by us" else channel.principal

    async with served(keys, authenticate=judge) as (_, http):
        for token, found in (("made by us", ["guest", "hook"]), (keys.app, ["app", "token"])):
            answer = await http.post("", content=request("who"), headers=bearer(token))
            assert answer.json() == {"id": 1, "result": found}
        refused = await http.post("", content=request("who"), headers=bearer("made by others"))
        assert refused.status_code == 401


async def test_who_has_a_token_may_be_a_stranger_to_a_hook(keys: Keys) -> None:
    async with served(keys, authenticate=lambda channel: None) as (_, http):
        answer = await http.post("", content=request("who"), headers=bearer(keys.app))
        assert answer.json() == {"id": 1, "result": None}


async def test_the_token_of_a_url_lets_in_and_no_more(
    keys: Keys, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = tmp_path / "token"
    secret.write_text("boss")
    url = f"{URL}?token=file:{secret}"
    async with serve(lamp(), url, keyring=keys.keyring) as server, client(server.urls[0]) as http:
        let_in = await http.post("", content=request("who"), headers=bearer("boss"))
        assert let_in.json() == {"id": 1, "result": None}
        refused = await http.post("", content=request("switch"), headers=bearer("boss"))
        assert refused.json()["error"]["code"] == -32005
        for headers in (bearer(keys.app), JSON):
            caplog.clear()
            refused = await http.post("", content=request("who"), headers=headers)
            assert refused.status_code == 401
            lines = [each.getMessage() for each in caplog.records if each.name == AUDIT]
            assert len(lines) == ("authorization" in headers)


async def test_a_certificate_counts_beside_the_token_of_a_url(
    keys: Keys, certificates: Certificates, tmp_path: Path
) -> None:
    keys.write('[certificates."gateway.example"]\npermissions = ["switch"]\n')
    keys.keyring.refresh(force=True)
    secret = tmp_path / "token"
    secret.write_text("boss")
    theirs = f"?ca={certificates.ca}&cert={certificates.server}&token=file:{secret}"
    ours = f"?ca={certificates.ca}&cert={certificates.gateway}&token=file:{secret}"
    for scheme in ("https", "wss"):
        async with (
            serve(lamp(), f"{scheme}://127.0.0.1:0/rpc{theirs}", keyring=keys.keyring) as server,
            connect(server.urls[0] + ours) as there,
        ):
            assert await there.call("who") == ["gateway.example", "certificate"]


async def test_a_401_of_a_method_says_what_is_wanted(keys: Keys) -> None:
    async with served(keys) as (_, http):
        refused = await http.post("/switch", headers=JSON)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")


async def test_in_a_web_program_it_is_the_same(keys: Keys) -> None:
    app = asgi_app(lamp(), keyring=keys.keyring, limits=PROMPT)
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://lamp/rpc") as http:
        for method, path, headers, content in REQUESTS:
            sent = with_token(headers, keys.app[:-1])
            refused = await http.request(method, path, headers=sent, content=content)
            assert refused.status_code == 401, path
        known = await http.post("", content=request("who"), headers=bearer(keys.app))
        assert known.json() == {"id": 1, "result": ["app", "token"]}


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture(autouse=True)
def _all_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
