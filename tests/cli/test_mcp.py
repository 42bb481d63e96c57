"""`mcp`: the real program, spoken to as assistants' programs do it."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.gateway.mcp.rig import HELLO, call
from tests.waiting import SECONDS

from .conftest import Simulated
from .program import COMMAND, Done, environment, listening, run, started

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=[pytest.param(("asyncio", {}), id="asyncio")])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The loop of the client; the program has its own."""
    backend: tuple[str, dict[str, Any]] = request.param
    return backend


def program(*arguments: str) -> StdioServerParameters:
    words = [*COMMAND[1:], "mcp", *arguments]
    return StdioServerParameters(command=COMMAND[0], args=words, env=environment())


def running() -> "subprocess.Popen[str]":
    """The program, whose device is away."""
    return subprocess.Popen(
        (*COMMAND, "mcp", "tcp://127.0.0.1:1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    )


async def test_an_assistant_calls_two_devices_over_stdio(device: Simulated) -> None:
    words = (f"one={device.tcp}", f"two={device.udp}", "--allow", "one.wifi.disconnect")
    async with Client(program(*words)) as client:
        tools = {each.name for each in (await client.list_tools()).tools}
        assert {"one_sys_info", "two_wifi_scan", "one_wifi_disconnect"} <= tools
        assert not {"two_wifi_disconnect", "one_wifi_connect"} & tools
        for name in ("one_sys_info", "two_sys_info"):
            failed, text = await call(client, name)
            assert (failed, json.loads(text)["name"]) == (False, "lamp")
        failed, text = await call(client, "two_wifi_disconnect")
        assert failed
        assert "--allow two.wifi.disconnect" in text


def test_standard_output_is_the_protocols_and_the_program_ends_with_its_input() -> None:
    messages: list[Any] = [
        HELLO,
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
        {"jsonrpc": "2.0", "id": 3, "method": "ping", "params": {"_meta": {"x": "y" * 5_000_000}}},
        {"jsonrpc": "2.0", "id": 4, "method": "ping"},
    ]
    lines = "".join(f"{json.dumps(each)}\n" for each in messages)
    with running() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(lines)
        process.stdin.flush()
        answers = {}
        while 4 not in answers or 2 not in answers:
            message = json.loads(process.stdout.readline())
            answers[message.get("id")] = message
        rest, errors = process.communicate(timeout=SECONDS)
    assert answers.keys() - {None} == {1, 2, 4}
    names = [each["name"] for each in answers[2]["result"]["tools"]]
    assert names == ["read_more", "gateway_devices"]
    assert answers[1]["result"]["serverInfo"]["name"] == "jsonrpc-iot"
    assert (process.returncode, errors) == (0, "")
    assert all(json.loads(line) for line in rest.splitlines())


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_although_its_input_is_open(number: signal.Signals) -> None:
    with running() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{json.dumps(HELLO)}\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == 1
        process.send_signal(number)
        assert process.wait(SECONDS) == 0
        assert process.communicate() == ("", "")


async def test_over_http_keys_say_who_may_come(device: Simulated, tmp_path: Path) -> None:
    path = str(tmp_path / "keys.toml")
    assert run("keys", "new", path, "app").code == 0
    token = run("keys", "token", path, "app").out.strip()
    options = ("--http", "0", "--keys", path, "--require-key")
    with started("mcp", device.tcp, *options) as program:
        url = listening(program)
        assert url.startswith("http://127.0.0.1:")
        async with httpx2.AsyncClient() as stranger:
            assert (await stranger.post(url, json=HELLO)).status_code == 401
        headers = {"authorization": f"Bearer {token}"}
        async with (
            httpx2.AsyncClient(headers=headers) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            assert "sys_info" in {each.name for each in (await client.list_tools()).tools}
        assert program.stop() == Done(0, "", "")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("tcp://127.0.0.1:1", "tcp://127.0.0.1:2"), "a device is given as NAME=URL"),
        (("one=tcp://127.0.0.1:1", "one=tcp://127.0.0.1:2"), "'one' is given twice"),
        (("tcp://127.0.0.1:1", "--keys", "keys.toml"), "are for --http"),
        (("tcp://127.0.0.1:1", "--http", "0", "--require-key"), "without --keys FILE"),
        (("nonsense://x",), "nonsense"),
        ((), "NAME=URL"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(words: tuple[str, ...], complaint: str) -> None:
    done = run("mcp", *words)
    assert done.code == 2
    assert complaint in done.complaint
