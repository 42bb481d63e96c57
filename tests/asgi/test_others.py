"""What people have: curl, pjrpc, jsonrpcclient, Starlette; and our client on trio."""

import importlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import anyio
import pytest

from jsonrpc_iot import UsageError, asgi_app, connect, serve
from tests._system import require_command
from tests.places import ROOT

from .conftest import Device

PROGRAM = """
import sys, anyio
from jsonrpc_iot import serve
from jsonrpc_iot.cli.serve import virtual_device

async def main():
    async with serve(virtual_device("lamp"), "http://127.0.0.1:0/rpc") as server:
        print(server.urls[0], flush=True)
        await anyio.to_thread.run_sync(sys.stdin.read)

anyio.run(main)
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Give the URL of a device in another process."""
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate(timeout=20)
        assert process.returncode == 0


PAGE = (ROOT / "docs/http.md").read_text(encoding="utf-8")
CURLS = re.findall(r"```console\n\$ (curl .*?)\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("command", "output"), CURLS)
def test_the_curl_lines_in_the_docs(url: str, command: str, output: str) -> None:
    require_command("curl")
    words = shlex.split(command.replace("\\\n", " ").replace("http://127.0.0.1:8080/rpc", url))
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout.strip() == output.strip()


def test_there_are_curl_lines() -> None:
    assert len(CURLS) >= 4


def test_pjrpc(url: str) -> None:
    requests = importlib.import_module("pjrpc.client.backend.requests")
    client = requests.Client(url)
    assert client("echo", value=[1, "é"]) == [1, "é"]
    assert client.proxy.echo(value=2) == 2


def test_jsonrpcclient(url: str) -> None:
    jsonrpcclient = importlib.import_module("jsonrpcclient")
    requests = importlib.import_module("requests")
    sent = jsonrpcclient.request("echo", params={"value": 3})
    answer = jsonrpcclient.parse(requests.post(url, json=sent, timeout=10).json())
    assert answer.result == 3


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_our_client_on_every_loop(url: str, backend: str) -> None:
    async def main() -> None:
        async with connect(url) as client:
            assert await client.call("echo", {"value": 1}) == 1
            names = [name async for name in client.stream("rpc.methods")]
            assert {"echo", "wifi.scan"} < set(names)

    anyio.run(main, backend=backend)


def test_serving_on_trio_says_what_to_do() -> None:
    async def main() -> None:
        with pytest.raises(UsageError, match="asyncio"):
            async with serve(Device().dispatcher, "http://127.0.0.1:0/rpc"):
                pass

    anyio.run(main, backend="trio")


@pytest.mark.parametrize(("place", "path"), [("/", "/rpc"), ("/devices", "/devices/rpc")])
def test_mounted_in_starlette(place: str, path: str) -> None:
    httpx2 = importlib.import_module("httpx2")
    starlette = importlib.import_module("starlette.applications")
    routing = importlib.import_module("starlette.routing")

    async def main() -> None:
        app = starlette.Starlette(routes=[routing.Mount(place, asgi_app(Device().dispatcher))])
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://lamp") as http:
            message = {"id": 1, "method": "add", "params": [1, 2]}
            assert (await http.post(path, json=message)).json() == {"id": 1, "result": 3}
            document = (await http.get(f"{path}/openrpc.json")).json()
            assert json.dumps(document["info"]).startswith('{"title": "Lamp"')
            assert (await http.get("/elsewhere")).status_code == 404

    anyio.run(main)
