"""The example page in a headless Chromium, from Debian's package.

`make test-browser` installs it and runs these tests; the other tests leave them out.
"""

import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import anyio
import anyio.from_thread
import pytest

from jsonrpc_iot import Dispatcher, Keyring, serve
from jsonrpc_iot.services.wifi import SimulatedWifi
from jsonrpc_iot.trust.keyring import bearer_token
from tests._system import require_command
from tests.places import EXAMPLES

PAGE = EXAMPLES / "browser" / "index.html"
SECONDS = 40.0

# Chromium dumps a page when all of it is loaded. The image is, once every section has its answer.
WAIT = """
<script>
  const sections = [...document.querySelectorAll("section")];
  const told = new Set();
  const tell = (name) => { if (!told.has(name)) { told.add(name); fetch(`/${name}`); } };
  new MutationObserver(() => {
    if (document.getElementById("events").dataset.status === "listening") tell("listening");
    if (sections.every((each) => ["done", "failed"].includes(each.dataset.status))) tell("shown");
  }).observe(document.body, { attributes: true, subtree: true });
</script>
<img src="/wait">
"""

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop is enough: what is tested is the browser."""
    return "asyncio"


@contextmanager
def page_server(on_listening: Callable[[], object]) -> Iterator[str]:
    """Serve the page at an origin of its own; gives its URL."""
    page = (PAGE.read_text(encoding="utf-8") + WAIT).encode()
    shown = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b""
            if self.path == "/listening":
                on_listening()
            elif self.path == "/shown":
                shown.set()
            elif self.path == "/wait":
                shown.wait(SECONDS)
            else:
                body = page
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            shown.set()
            server.shutdown()
            thread.join()


async def dump(url: str) -> str:
    """The page as it is after its scripts have run."""
    with tempfile.TemporaryDirectory() as profile:
        command = [
            require_command("chromium"),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-proxy-server",
            f"--user-data-dir={profile}",
            "--dump-dom",
            url,
        ]
        with anyio.fail_after(SECONDS):
            done = await anyio.run_process(command, stderr=subprocess.DEVNULL)
    return done.stdout.decode()


def section(page: str, name: str) -> tuple[str, str]:
    """The status and the text of a section."""
    found = re.search(
        rf'<section id="{name}" data-status="(\w+)">.*?<pre>(.*?)</pre>', page, re.DOTALL
    )
    assert found, page
    return found[1], found[2]


async def visit(
    allow: Callable[[str], str], keyring: Keyring | None = None, token: str | None = None
) -> str:
    """Open the page, which calls a device at another origin; returns it with the answers.

    Args:
        allow: given the page's origin, the one that the device allows.
        keyring: the device's, which then lets no strangers in.
        token: the page's.
    """
    wifi = SimulatedWifi(scan_time=0.0, connect_time=0.0)
    dispatcher = Dispatcher()
    dispatcher.include(wifi)
    status = {"ssid": "home", "state": 3, "signal": -40}

    def tell() -> None:
        dispatcher.emit("wifi.status", status)

    with page_server(tell) as origin:
        options = f"?cors={allow(origin)}"
        web, socket = f"http://127.0.0.1:0/rpc{options}", f"ws://127.0.0.1:0/rpc{options}"
        is_open = keyring is None
        async with serve(dispatcher, web, socket, keyring=keyring, strangers=is_open) as server:
            http_url, ws_url = server.urls
            assert ws_url == http_url.replace("http", "ws", 1)
            return await dump(f"{origin}/?rpc={http_url}" + (f"#token={token}" if token else ""))


async def test_the_page_calls_and_listens() -> None:
    assert_all_is_shown(await visit(lambda origin: origin))


async def test_the_page_shows_its_token(keyring: Keyring) -> None:
    token = bearer_token(keyring.add("page"))
    page = await visit(lambda origin: origin, keyring, token)
    assert_all_is_shown(page)
    assert token not in page


@pytest.mark.parametrize("token", [None, "nobody's"])
async def test_a_page_without_a_good_token_gets_nothing(
    keyring: Keyring, token: str | None
) -> None:
    page = await visit(lambda origin: origin, keyring, token)
    for name in ("fetch", "websocket", "events"):
        status, text = section(page, name)
        assert status == "failed", text
        assert "ssid" not in text


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    path = tmp_path / "keys.toml"
    path.touch(mode=0o600)
    return Keyring(path)


def assert_all_is_shown(page: str) -> None:
    for name in ("fetch", "websocket"):
        status, text = section(page, name)
        assert status == "done", text
        assert '"ssid"' in text
        assert '"rssi"' in text
    status, text = section(page, "events")
    assert status == "done", text
    assert '"state":3' in text


async def test_a_page_of_a_stranger_gets_nothing() -> None:
    page = await visit(lambda origin: "https://elsewhere.example")
    for name in ("fetch", "websocket", "events"):
        status, text = section(page, name)
        assert status == "failed", text
        assert "ssid" not in text
