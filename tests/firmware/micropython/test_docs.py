"""What the page about MicroPython shows is what happens."""

import re
import subprocess
import sys

import anyio.to_thread
import pytest

from jsonrpc_iot.testing import virtual_serial_pair
from tests.places import ROOT
from tests.ports import free_port
from tests.waiting import SECONDS

from .lamp import running

pytestmark = [pytest.mark.firmware, pytest.mark.anyio]

PAGE = (ROOT / "docs" / "micropython.md").read_text(encoding="utf-8")
CALLS = re.findall(r"^\$ jsonrpc-iot call (\S+) (.*)\n(.*)$", PAGE, re.MULTILINE)


def call(url: str, words: str) -> str:
    """What the command line prints, errors too."""
    command = [sys.executable, "-m", "jsonrpc_iot", "call", url, *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    return (done.stdout + done.stderr).strip()


def test_the_calls_over_udp() -> None:
    port = str(free_port())
    with running("udp", port):
        calls = [(words, output) for url, words, output in CALLS if url.startswith("udp")]
        assert len(calls) == 4
        for words, output in calls:
            assert call(f"udp://127.0.0.1:{port}", words) == output


async def test_the_call_over_a_uart() -> None:
    ((words, output),) = [(words, output) for url, words, output in CALLS if "ttyUSB0" in url]
    async with virtual_serial_pair(paths=True) as line:
        with running("uart", line.second):
            found = await anyio.to_thread.run_sync(call, f"uart://{line.first}", words)
    assert found == output
