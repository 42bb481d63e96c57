"""The console at a device's own address: which request gets what, and what protects the page."""

import gzip
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from jsonrpc_iot import Dispatcher, Gateway, Keyring, UsageError, asgi_app, connect, serve
from jsonrpc_iot.asgi.console.assets import assets
from jsonrpc_iot.channel.web import AsgiApp
from tests.transports.certificates import Certificates
from tests.transports.web.websocket_frames import status

from .conftest import Device
from .test_in_program import running

pytestmark = pytest.mark.anyio

CHROMIUM = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;"
    "q=0.8,application/signed-exchange;v=b3;q=0.7"
)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
PAGE = {"accept": FIREFOX}
EVENTS = "text/event-stream"
SCRIPT = "vendor/plot.js"
PING = b'{"id":1,"method":"rpc.ping"}'
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop is enough: what is tested is what is answered."""
    return "asyncio"


@asynccontextmanager
async def served(
    device: Device, url: str = "http://127.0.0.1:0/rpc", *more: str, **options: Any
) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        serve(device.dispatcher, url, *more, console=True, **options) as server,
        browser(server.urls[0]) as http,
    ):
        yield http


def browser(url: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=url, trust_env=False, timeout=5)


async def parts_of(http: httpx2.AsyncClient, path: str = "") -> list[httpx2.Response]:
    """What a browser loads that opens an address: the page, and what that refers to."""
    page = await http.get(path, headers=PAGE)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    places = re.findall(r'(?:href|src)="(?!data:)([^"]+)"', page.text)
    assert places
    return [page, *[await http.get(page.url.join(each)) for each in places]]


ACCEPTS = {
    CHROMIUM: 200,
    FIREFOX: 200,
    "TEXT/HTML": 200,
    "text/event-stream;q=0.5, text/html": 200,
    "*/*": 406,  # curl, fetch, and most libraries
    None: 406,
    "text/*": 406,
    "application/json": 406,
    "text/html;q=0": 406,
    "text/html;q=0.000, */*": 406,
    "text/htmlx": 406,
}


async def test_who_names_html_gets_the_page(device: Device) -> None:
    async with served(device) as http:
        for accept, expected in ACCEPTS.items():
            headers = [] if accept is None else [(b"accept", accept.encode())]
            request = httpx2.Request(
                "GET", http.base_url, headers=[(b"host", b"localhost"), *headers]
            )
            answer = await http.send(request)
            kind = answer.headers["content-type"]
            assert (answer.status_code, kind.startswith("text/html")) == (
                expected,
                expected == 200,
            ), accept


async def test_who_names_events_as_much_gets_events(device: Device) -> None:
    async with served(device) as http:
        for accept in (EVENTS, f"text/html, {EVENTS}", f"text/html;q=0.9,{EVENTS}"):
            async with http.stream("GET", "", headers={"accept": accept}) as answer:
                assert answer.headers["content-type"] == EVENTS


async def test_a_page_is_loaded_with_its_parts(device: Device) -> None:
    async with served(device) as http:
        page, *parts = await parts_of(http)

        kinds = {each.headers["content-type"].partition(";")[0] for each in parts}
        assert {each.status_code for each in parts} == {200}
        assert kinds == {"text/css", "text/javascript"}
        assert all(each.url.path.startswith("/rpc/.console/") for each in parts)
        assert {each.headers["cache-control"] for each in (page, *parts)} == {"no-cache"}


async def test_nothing_changes_for_programs(device: Device) -> None:
    async with served(device) as http:
        answer = await http.post("", content=PING, headers=JSON | PAGE)
        assert answer.json()["result"] is True
        assert (await http.post("/add", json=[1, 2])).json() == 3
        assert (await http.get("/openrpc.json", headers=PAGE)).json()["openrpc"]
        assert (await http.head("")).status_code == 405
        assert (await http.get("/none.js", headers=PAGE)).status_code == 404
    async with (
        serve(device.dispatcher, "http://127.0.0.1:0/rpc") as server,
        browser(server.urls[0]) as http,
    ):
        assert (await http.get("", headers=PAGE)).status_code == 406
        assert (await http.get(f"/.console/{SCRIPT}")).status_code == 404


async def test_a_page_may_load_and_ask_nothing_from_elsewhere(device: Device) -> None:
    async with served(device) as http:
        answers = await parts_of(http)

    for answer in answers:
        policy = dict(
            each.split(" ", 1) for each in answer.headers["content-security-policy"].split("; ")
        )
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "connect-src": "'self'",
            "img-src": "'self' data:",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
        }
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", answers[0].text)


async def test_head_says_what_get_would(device: Device) -> None:
    async with served(device) as http:
        for path in ("", f"/.console/{SCRIPT}"):
            asked, got = await http.head(path, headers=PAGE), await http.get(path, headers=PAGE)
            assert (asked.status_code, asked.content) == (200, b"")
            assert int(asked.headers["content-length"]) > 0
            assert {**asked.headers, "date": ""} == {**got.headers, "date": ""}


ENCODINGS = {
    "gzip, deflate, br, zstd": True,
    "*": True,
    "br;q=1, gzip;q=0.1": True,
    "gzip;q=0": False,
    "gzip;q=0, *": False,
    "identity": False,
    "": False,
}


async def test_files_are_packed_for_who_takes_that(device: Device) -> None:
    async with served(device) as http:
        for accepted, is_packed in ENCODINGS.items():
            place, headers = f"/.console/{SCRIPT}", {"accept-encoding": accepted}
            async with http.stream("GET", place, headers=headers) as answer:
                body = b"".join([each async for each in answer.aiter_raw()])
            encoding = answer.headers.get("content-encoding")
            assert encoding == ("gzip" if is_packed else None), accepted
            assert "accept-encoding" in answer.headers["vary"]
            assert (gzip.decompress(body) if is_packed else body) == assets()[SCRIPT].body
            assert int(answer.headers["content-length"]) == len(body)


async def test_what_a_browser_has_is_not_sent_again(device: Device) -> None:
    async with served(device) as http:
        tags = set()
        for path, encoding in product(("", f"/.console/{SCRIPT}"), ("gzip", "identity")):
            headers = PAGE | {"accept-encoding": encoding}
            tag = (await http.get(path, headers=headers)).headers["etag"]
            tags.add(tag)
            for held in (tag, f"W/{tag}", f'"other", {tag}', "*"):
                answer = await http.get(path, headers=headers | {"if-none-match": held})
                assert (answer.status_code, answer.content) == (304, b"")
                assert answer.headers["etag"] == tag
            for other in ('"other"', tag[:-1], ""):
                answer = await http.get(path, headers=headers | {"if-none-match": other})
                assert answer.status_code == 200
    assert len(tags) == 4  # each form is a version of its own


NOWHERE = (
    "",
    "/",
    "/none.js",
    "/index.html",
    "/../page.py",
    "/../__init__.py",
    "/..%2fpage.py",
    "/%2e%2e/page.py",
    "/vendor/../../session.py",
    "//etc/passwd",
    "/vendor",
    "/vendor%00",
    "/vendor\\plot.js",
    "/MADE_FROM",
    "/app.js.gz",
    "/session",
)


async def test_there_is_nothing_but_what_the_package_holds(device: Device) -> None:
    async with served(device) as http:
        for path in NOWHERE:
            target = f"/rpc/.console{path}".encode()
            request = httpx2.Request("GET", http.base_url, extensions={"target": target})
            answer = await http.send(request)
            assert (answer.status_code, answer.text) == (404, "Not found\n"), path


async def test_files_are_only_read(device: Device) -> None:
    async with served(device) as http:
        answer = await http.post(f"/.console/{SCRIPT}", json={})
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_each_device_of_a_gateway_has_the_page_too(device: Device) -> None:
    gateway = Gateway()
    gateway.add("lamp", device.dispatcher)
    async with (
        gateway,
        serve(gateway, "http://127.0.0.1:0", console=True) as server,
        browser(server.urls[0]) as http,
    ):
        for path, folder in (("", "/.console/"), ("/lamp", "/lamp/.console/")):
            _, *parts = await parts_of(http, path)
            assert {each.status_code for each in parts} == {200}
            assert all(each.url.path.startswith(folder) for each in parts)
        deep = await http.get(f"/lamp/.console/{SCRIPT}")
        assert deep.content == assets()[SCRIPT].body


@pytest.mark.parametrize(
    ("program", "path"),
    [
        (lambda app: app, "/rpc"),
        (lambda app: app, "/rpc/"),
        (lambda app: Starlette(routes=[Mount("/", app)]), "/rpc"),
        (lambda app: Starlette(routes=[Mount("/house/api", app)]), "/house/api/rpc"),
        (lambda app: Starlette(routes=[Mount("/a b", app)]), "/a%20b/rpc/"),
    ],
    ids=["alone", "with a slash", "mounted", "mounted below", "with a space"],
)
async def test_the_page_of_an_application_finds_its_parts_where_that_is_mounted(
    device: Device, program: Any, path: str
) -> None:
    app: AsgiApp = program(asgi_app(device.dispatcher, "/rpc", console=True))
    async with running(app) as place, browser(f"http://{place}") as http:
        _, *parts = await parts_of(http, path)

        assert {each.status_code for each in parts} == {200}


@pytest.mark.parametrize("path", ["/", "/caf\u00e9", "/a'b<c>&d"])
async def test_an_address_may_have_any_name(device: Device, path: str) -> None:
    app = asgi_app(device.dispatcher, path, console=True)
    async with running(app) as place, browser(f"http://{place}") as http:
        page, *parts = await parts_of(http, path)

        assert {each.status_code for each in parts} == {200}
        assert "<c>" not in page.text


async def test_behind_a_proxy_that_cuts_the_path_the_parts_are_found(device: Device) -> None:
    inner = asgi_app(device.dispatcher, "/", console=True)

    async def proxy(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": scope["path"].removeprefix("/lamps/7")}
        await inner(scope, receive, send)

    async with running(proxy) as place, browser(f"http://{place}") as http:
        _, *parts = await parts_of(http, "/lamps/7/")

        assert {each.status_code for each in parts} == {200}


async def test_the_page_is_for_everybody_and_the_device_is_not(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    (tmp_path / "keys.toml").touch(mode=0o600)
    guarded: list[tuple[str, dict[str, Any]]] = [
        ("?token=env:TOKEN", {}),
        ("", {"keyring": Keyring(tmp_path / "keys.toml"), "strangers": False}),
    ]
    for options, who in guarded:
        async with served(device, f"http://127.0.0.1:0/rpc{options}", **who) as http:
            assert {each.status_code for each in await parts_of(http)} == {200}
            answer = await http.post("/add", json=[1, 2])
            assert answer.status_code == 401


async def test_names_and_pages_of_others_get_nothing(device: Device) -> None:
    async with served(device) as http:
        for path in ("", f"/.console/{SCRIPT}"):
            for strange in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
                answer = await http.get(path, headers=PAGE | strange)
                assert answer.status_code == 403
                assert answer.headers["content-type"] == "application/json"


async def test_it_is_there_over_tls(device: Device, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    where = f"127.0.0.1:0/rpc?cert={certificates.server}"
    async with (
        serve(device.dispatcher, f"https://{where}", f"wss://{where}", console=True) as server,
        httpx2.AsyncClient(
            base_url=server.urls[0],
            trust_env=False,
            verify=ssl.create_default_context(cafile=certificates.ca),
        ) as http,
    ):
        assert {each.status_code for each in await parts_of(http)} == {200}


async def test_a_websocket_and_the_page_share_an_address(device: Device) -> None:
    where = "127.0.0.1:0/rpc"
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            serve(device.dispatcher, f"http://{where}", f"ws://{where}", console=True)
        )
        page, socket = server.urls
        http = await stack.enter_async_context(browser(page))
        client = await stack.enter_async_context(connect(socket))
        assert page.removeprefix("http:") == socket.removeprefix("ws:")
        assert {each.status_code for each in await parts_of(http)} == {200}
        assert await client.call("add", [1, 2]) == 3
        assert await status(socket, origin=page.removesuffix("/rpc")) == 101
        assert await status(socket, origin="http://evil.example") == 403


async def test_without_an_address_of_http_there_is_none(device: Device) -> None:
    with pytest.raises(UsageError, match="http:// or https://"):
        async with serve(device.dispatcher, "tcp://127.0.0.1:0", console=True):
            pass


async def test_a_dispatcher_may_have_a_method_that_begins_so() -> None:
    dispatcher = Dispatcher()
    dispatcher.method("console.log")(lambda: "logged")
    async with (
        serve(dispatcher, "http://127.0.0.1:0/rpc", console=True) as server,
        browser(server.urls[0]) as http,
    ):
        assert (await http.post("/console.log")).json() == "logged"
