"""Methods as tools, held against the conformance suite of MCP's own authors.

MCP_CONFORMANCE names a folder with that suite and a Node that runs it, as `make test-foreign`
installs them. Of its scenarios these are about what an assistant is given here: tools, progress,
resources that are subscribed to, and the ways over HTTP. The others want prompts, pictures,
sampling and the like, which devices do not have.
"""

import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import Dispatcher, RpcError
from jsonrpc_iot.gateway.mcp import mcp_server

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]

SECONDS = 50.0
SUITE = Path("node_modules/@modelcontextprotocol/conformance/dist/index.js")
SCENARIOS = [
    "server-initialize",
    "ping",
    "tools-list",
    "tools-call-simple-text",
    "tools-call-error",
    "tools-call-with-progress",
    "server-sse-multiple-streams",
    "resources-list",
    "resources-subscribe",
    "resources-unsubscribe",
    "dns-rebinding-protection",
]


def suite() -> list[str]:
    """What runs the suite; skips without."""
    folder = os.environ.get("MCP_CONFORMANCE")
    if not folder:
        pytest.skip("MCP_CONFORMANCE names no folder with the suite")
    return [f"{folder}/node_modules/.bin/node", f"{folder}/{SUITE}"]


def asked_device() -> Dispatcher:
    """A device with the methods that the suite calls."""
    device = Dispatcher(title="Asked")

    @device.method("test_simple_text", effect="read")
    def simple_text() -> str:
        return "This is a simple text response for testing."

    @device.method("test_error_handling", effect="read")
    def error_handling() -> None:
        raise RpcError(1, "This tool intentionally returns an error for testing")

    @device.method("test_tool_with_progress", effect="read")
    async def with_progress() -> AsyncIterator[int]:
        for done in (0, 50, 100):
            yield done
            await anyio.sleep(0.05)  # the suite wants to see one after the other

    return device


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    async with (
        mcp_server(asked_device()) as assistant,
        assistant.serve_http("http://127.0.0.1:0/mcp") as (url,),
    ):
        yield url


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_the_suite_finds_nothing(scenario: str, tmp_path: Path) -> None:
    command = suite()
    async with served() as url:
        with anyio.fail_after(SECONDS):
            done = await anyio.run_process(
                [*command, "server", "--url", url, "--scenario", scenario],
                stderr=subprocess.STDOUT,
                cwd=tmp_path,
                check=False,
            )

    told = done.stdout.decode()
    assert done.returncode == 0, told
    assert "0 failed" in told
