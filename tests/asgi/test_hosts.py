"""Under which names a server answers, and to whose pages."""

import logging
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from jsonrpc_iot import Dispatcher, asgi_app, serve
from jsonrpc_iot.channel.origins import is_ours, is_same
from tests.transports.certificates import Certificates
from tests.transports.web.websocket_frames import status

from .conftest import Device

pytestmark = pytest.mark.anyio

ADD = b'{"id":1,"method":"add","params":[1,2]}'
JSON = {"content-type": "application/json"}
OWN = socket.gethostname().partition(".")[0].lower()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:8080", True),
        ("[::1]:8080", True),
        ("[fe80::1]", True),
        ("192.168.1.7", True),
        ("localhost", True),
        ("LOCALHOST:80", True),
        ("lamp.localhost:81", True),
        ("lamp", True),  # only the local network resolves it
        (f"{OWN}.local:8080", True),
        ("mine.example:1", True),
        ("Mine.Example.", True),
        ("evil.example", False),
        ("evil.example:8080", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("another.local", False),
        ("1.2.3.4.5", False),
    ],
)
def test_names_of_a_server(host: str, expected: bool) -> None:
    assert is_ours(host, ("mine.example",)) is expected
    assert is_ours(host, ("*",))


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        ("http://lamp:8080", "lamp:8080", True),
        ("http://lamp", "lamp:80", True),
        ("https://lamp", "lamp", True),
        ("http://LAMP:8080", "lamp:8080", True),
        ("http://[::1]:1", "[::1]:2", False),
        ("http://localhost:8080", "127.0.0.1:8080", True),
        ("http://localhost:3000", "127.0.0.1:8080", False),
        ("http://lamp:8080", "lamp:8081", False),
        ("http://localhost:3000", "192.168.1.7", False),
        ("http://192.168.1.7", "localhost", False),
        ("null", "lamp", False),
        ("http://evil.example", "lamp", False),
    ],
)
def test_pages_of_the_server_itself(origin: str, host: str, expected: bool) -> None:
    assert is_same(origin, host) is expected


@pytest.mark.parametrize(
    ("options", "headers", "expected"),
    [
        ("", {}, True),
        ("", {"host": "evil.example", "origin": "http://evil.example"}, False),
        ("", {"host": "evil.example"}, False),
        ("?hosts=a.example,evil.example", {"host": "evil.example"}, True),
        ("", {"host": "dev.example", "origin": "https://dev.example"}, True),  # TLS at a proxy
        ("", {"host": "dev.example:81", "origin": "https://dev.example"}, False),
        ("", {"host": "evil.example", "origin": "https://dev.example"}, False),
        ("?hosts=*", {"host": "evil.example", "origin": "http://evil.example"}, True),
        ("", {"origin": "http://evil.example"}, False),
        ("", {"origin": "null"}, False),
        ("?cors=http://a.example,http://b.example", {"origin": "http://b.example"}, True),
        ("?cors=http://a.example,http://b.example", {"origin": "http://c.example"}, False),
        ("?cors=*", {"origin": "http://c.example"}, True),
        ("", {"x-forwarded-host": "lamp", "origin": "http://lamp"}, False),
        ("?forwarded=true", {"x-forwarded-host": "lamp", "origin": "http://lamp"}, True),
        ("?forwarded=true", {"x-forwarded-host": "evil.example"}, False),
        ("?forwarded=true", {"host": "evil.example", "x-forwarded-host": "lamp"}, False),
        ("?forwarded=true&hosts=a.example", {"x-forwarded-host": "a.example, lamp"}, True),
    ],
)
async def test_who_is_answered(
    device: Device, options: str, headers: dict[str, str], expected: bool
) -> None:
    urls = (f"{scheme}://127.0.0.1:0/rpc{options}" for scheme in ("http", "ws"))
    async with (
        serve(device.dispatcher, *urls, grace=0.1) as server,
        httpx2.AsyncClient(trust_env=False) as http,
    ):
        response = await http.post(server.urls[0], content=ADD, headers=JSON | headers)
        assert response.status_code == (200 if expected else 403)
        if not expected:
            assert response.json()["error"]["code"] == -32006
        names = {"origin": "Origin", "x-forwarded-host": "X-Forwarded-Host"}
        if "host" not in headers:
            sent = {names[name]: value for name, value in headers.items()}
            assert await status(server.urls[1], **sent) == (101 if expected else 403)


async def test_a_token_and_tls_prove_enough(device: Device, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    (tmp_path / "token").write_text("secret")
    evil = {"host": "evil.example"}
    tls = f"https://127.0.0.1:0/rpc?cert={certificates.server}"
    async with (
        serve(device.dispatcher, f"http://127.0.0.1:0/rpc?token=file:{tmp_path}/token") as guarded,
        serve(device.dispatcher, tls) as secure,
        httpx2.AsyncClient(trust_env=False, verify=False) as http,
    ):
        token = {"authorization": "Bearer secret"}
        headers = JSON | evil | token
        assert (await http.post(guarded.urls[0], content=ADD, headers=headers)).is_success
        assert (await http.post(secure.urls[0], content=ADD, headers=JSON | evil)).is_success


async def test_each_refusal_is_logged_once_and_not_without_end(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "jsonrpc_iot"):
        async with (
            serve(device.dispatcher, "http://127.0.0.1:0/rpc") as server,
            httpx2.AsyncClient(trust_env=False) as http,
        ):
            caplog.clear()  # of what is said of the server itself
            for number in [*range(200), 0]:
                origin = {"origin": f"http://evil{number}.example"}
                response = await http.post(server.urls[0], content=ADD, headers=JSON | origin)
                assert response.status_code == 403
    assert caplog.text.count("http://evil0.example") == 1
    assert len(caplog.records) == 100


async def test_a_browser_may_ask_whether_a_page_from_outside_may_come_in(device: Device) -> None:
    url = "http://127.0.0.1:0/rpc?cors=https://a.example,https://b.example"
    asking = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
        "access-control-request-private-network": "true",
    }
    async with (
        serve(device.dispatcher, url) as server,
        httpx2.AsyncClient(trust_env=False) as http,
    ):
        for origin in ("https://a.example", "https://b.example"):
            response = await http.options(server.urls[0], headers=asking | {"origin": origin})
            assert response.headers["access-control-allow-origin"] == origin
            assert response.headers["access-control-allow-private-network"] == "true"
        response = await http.options(
            server.urls[0], headers=asking | {"origin": "https://c.example"}
        )
        assert response.status_code == 400


async def test_a_mounted_application_has_the_same_rules() -> None:
    transports = {
        hosts: httpx2.ASGITransport(asgi_app(Dispatcher(), hosts=hosts))
        for hosts in ((), ("api.example",))
    }
    for hosts, transport in transports.items():
        async with httpx2.AsyncClient(transport=transport, base_url="http://api.example") as http:
            response = await http.post("/rpc", content=ADD, headers=JSON)
            assert response.status_code == (200 if hosts else 403)
            assert urlsplit(str(response.url)).hostname == "api.example"
