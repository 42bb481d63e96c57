"""Pseudo-terminals: `uart+pty://`, and what programs that open them find."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from anyio.abc import ByteStream

from jsonrpc_iot import BindFailed, Channel, UsageError
from jsonrpc_iot.transports.serial import listener, pty, uart
from jsonrpc_iot.transports.serial.line import TuyaLine
from jsonrpc_iot.transports.serial.pty import open_pty
from tests.waiting import SECONDS

from .ports import read_exactly, terminals

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not hasattr(os, "openpty"), reason="no ptys here"),
]

needs_asyncio = pytest.mark.only_on("asyncio")


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    """Fail a test that leaves a terminal or pipe open."""
    before = terminals()
    yield
    assert terminals() == before


async def test_a_pty_outlives_the_programs_that_open_it(tmp_path: Path) -> None:
    link = str(tmp_path / "line")
    master, path = open_pty(link)
    assert path == link
    with anyio.fail_after(SECONDS):
        async with master:
            for _ in range(2):
                far = os.open(path, os.O_RDWR | os.O_NOCTTY)
                try:
                    os.write(far, b"\x03\r\n")
                    assert await read_exactly(master, 3) == b"\x03\r\n"
                    await master.send(b"\x11\n")
                    assert os.read(far, 10) == b"\x11\n"
                finally:
                    os.close(far)
            with pytest.raises(BindFailed, match="is there already"):
                open_pty(link)
        with pytest.raises(anyio.ClosedResourceError):
            await master.receive()
    assert os.listdir(tmp_path) == []


async def test_a_pty_that_nobody_reads_loses_bytes_as_a_wire_does(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pty, "_UNREAD_SECONDS", 0.3)  # instead of 2
    caplog.set_level(logging.INFO)
    master, path = open_pty()
    with anyio.fail_after(SECONDS):
        async with master:
            for _ in range(4):
                await master.send(bytes(1 << 16))  # more than the system keeps
            assert caplog.text.count(f"nobody reads {path}") == 1
            far = os.open(path, os.O_RDWR | os.O_NOCTTY)
            try:
                os.set_blocking(far, False)
                await read_all(far)
                sent = os.urandom(1 << 18)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(master.send, sent)
                    received = b""
                    while len(received) < len(sent):
                        received += await read_all(far)
                assert received == sent
            finally:
                os.close(far)


async def read_all(fd: int) -> bytes:
    """What there is, once there is something."""
    received = b""
    await anyio.wait_readable(fd)
    try:
        while True:
            received += os.read(fd, 4096)
    except BlockingIOError:
        return received


async def test_a_pty_whose_service_ends_says_so(caplog: pytest.LogCaptureFixture) -> None:
    def make_channel(stream: ByteStream) -> Channel:
        return uart.open_channel(TuyaLine(stream), "uart:///dev/x", uart.UartOptions())

    async def hang_up(channel: Channel) -> None:
        await channel.aclose()

    port = listener.PortListener(open_pty()[0], "uart:///dev/x", make_channel, None)
    async with port, anyio.create_task_group() as tasks:
        tasks.start_soon(port.serve, hang_up, tasks)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert "uart:///dev/x: nothing more is served there" in caplog.text


async def test_a_link_to_nowhere_is_replaced(tmp_path: Path) -> None:
    link = tmp_path / "line"
    link.symlink_to(tmp_path / "gone")
    async with open_pty(str(link))[0]:
        assert os.path.exists(link)


async def test_a_system_without_ptys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "openpty")
    with pytest.raises(UsageError, match="no ptys"):
        open_pty()
