"""Serial ports, over ptys and the real serial library."""

import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream

from jsonrpc_iot import BindFailed, Channel, ConnectFailed, InvalidUrl, MissingExtra, UsageError
from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.testing import LineFaults, virtual_serial_pair
from jsonrpc_iot.transports.serial import listener, pty, uart
from jsonrpc_iot.transports.serial.line import TuyaLine
from jsonrpc_iot.transports.serial.port import READ_BUFFER, open_port
from jsonrpc_iot.transports.serial.pty import open_pty
from tests.waiting import SECONDS

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


def terminals() -> int:
    names = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            names.append(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            continue
    return sum(name.startswith(("/dev/pts/", "/dev/ptmx", "/dev/pts/ptmx")) for name in names)


@asynccontextmanager
async def plugged() -> AsyncIterator[tuple[ByteStream, ByteStream, str]]:
    """A port, the far end of its line, and its path."""
    far, path = open_pty()
    async with far:
        with anyio.fail_after(SECONDS):
            async with await open_port(Url.parse(f"uart://{path}"), 115200) as port:
                yield port, far, path


async def read_exactly(stream: ByteStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await stream.receive(count - len(data))
    return data


async def send_much(stream: ByteStream) -> None:
    while True:
        await stream.send(bytes(1 << 16))


@needs_asyncio
async def test_bytes_both_ways() -> None:
    every = bytes(range(256))
    async with plugged() as (port, far, _):
        await port.send(every)
        assert await read_exactly(far, 256) == every
        await far.send(every)
        assert await read_exactly(port, 256) == every


@needs_asyncio
async def test_a_port_is_for_one_program() -> None:
    async with plugged() as (_, _, path):
        with pytest.raises(ConnectFailed, match=f"uart://{path}: another program has"):
            await open_port(Url.parse(f"uart://{path}"), 115200)
        with pytest.raises(BindFailed, match="another program"):
            await open_port(Url.parse(f"uart://{path}"), 115200, failure=BindFailed)


@needs_asyncio
@pytest.mark.parametrize(
    ("query", "expected"),
    [("", (True, True)), ("?dtr=0", (False, True)), ("?dtr=1&rts=0", (True, False))],
)
async def test_lines_that_reset_a_board_are_as_the_url_has_them(
    monkeypatch: pytest.MonkeyPatch, query: str, expected: tuple[bool, bool]
) -> None:
    import serial

    told: dict[str, bool] = {}  # a pty has no such lines; so what the library is told counts
    for name in ("dtr", "rts"):

        def update(port: Any, name: str = name) -> None:
            told[name] = getattr(port, name)

        monkeypatch.setattr(serial.Serial, f"_update_{name}_state", update)
    far, path = open_pty()
    async with far:
        url = Url.parse(f"uart://{path}{query}")
        async with await url.read_options(uart.UartOptions).open(url):
            assert (told["dtr"], told["rts"]) == expected


@needs_asyncio
async def test_a_closed_port_can_be_opened_again() -> None:
    far, path = open_pty()
    async with far:
        for _ in range(3):
            async with await open_port(Url.parse(f"uart://{path}"), 9600) as port:
                await port.send(b"x")
                with anyio.fail_after(SECONDS):
                    assert await far.receive() == b"x"


@needs_asyncio
@pytest.mark.parametrize("waits", [True, False])
async def test_an_unplugged_port_is_broken(waits: bool, caplog: pytest.LogCaptureFixture) -> None:
    async with plugged() as (port, far, _):

        async def expect_it() -> None:
            with pytest.raises(anyio.BrokenResourceError):
                await port.receive()

        async with anyio.create_task_group() as tasks:
            if waits:
                tasks.start_soon(expect_it)
                await anyio.wait_all_tasks_blocked()
            await far.aclose()
        await expect_it()
        with pytest.raises(anyio.BrokenResourceError):
            await port.send(b"x")
    assert not caplog.records


@needs_asyncio
async def test_unplugged_while_sending() -> None:
    async with plugged() as (port, far, _):

        async def send_for_ever() -> None:
            with pytest.raises(anyio.BrokenResourceError):
                await send_much(port)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send_for_ever)
            await anyio.wait_all_tasks_blocked()
            await far.aclose()


@needs_asyncio
async def test_what_came_before_the_end_is_received() -> None:
    async with plugged() as (port, far, _):
        await far.send(b"abc")
        assert await port.receive(1) == b"a"
        await far.aclose()
        assert await read_exactly(port, 2) == b"bc"
        with pytest.raises(anyio.BrokenResourceError):
            await port.receive()


@needs_asyncio
async def test_closing_ends_what_waits() -> None:
    async with plugged() as (port, _, _):

        async def expect_it() -> None:
            with pytest.raises(anyio.ClosedResourceError):
                await port.receive()

        async def send_for_ever() -> None:
            with pytest.raises(anyio.ClosedResourceError):
                await send_much(port)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(expect_it)
            tasks.start_soon(send_for_ever)
            await anyio.wait_all_tasks_blocked()
            await port.aclose()
        with pytest.raises(anyio.ClosedResourceError):
            await port.send(b"x")


@needs_asyncio
async def test_a_cancelled_receive_loses_nothing() -> None:
    sent = os.urandom(5000)
    received = b""
    async with plugged() as (port, far, _), anyio.create_task_group() as tasks:
        tasks.start_soon(far.send, sent)
        while len(received) < len(sent):
            with anyio.move_on_after(0.0005):
                received += await port.receive(100)
    assert received == sent


@needs_asyncio
async def test_a_slow_reader_holds_a_sender_back() -> None:
    sent = os.urandom(4 * READ_BUFFER)
    async with plugged() as (port, far, _):
        done = False

        async def send() -> None:
            nonlocal done
            await port.send(sent)
            done = True

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            await anyio.wait_all_tasks_blocked()
            assert not done
            assert await read_exactly(far, len(sent)) == sent
        assert done
        await port.send(b"!")
        assert await far.receive() == b"!"


@needs_asyncio
async def test_a_full_line_does_not_block_the_loop() -> None:
    async with plugged() as (port, far, _):
        sent = 0
        with anyio.move_on_after(0.1):
            while True:
                await port.send(b"x")
                sent += 1
        assert sent > 1000
        assert await read_exactly(far, sent) == b"x" * sent


@needs_asyncio
async def test_a_port_that_is_not_read_keeps_little() -> None:
    sent = os.urandom(8 * READ_BUFFER)
    async with plugged() as (port, far, _), anyio.create_task_group() as tasks:
        done = anyio.Event()

        async def send() -> None:
            await far.send(sent)
            done.set()

        tasks.start_soon(send)
        with anyio.move_on_after(0.2):
            await done.wait()
        assert not done.is_set()
        assert await read_exactly(port, len(sent)) == sent


@needs_asyncio
async def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ConnectFailed, match="no device /dev/nowhere; is it plugged in"):
        await open_port(Url.parse("uart:///dev/nowhere"), 115200)
    (tmp_path / "file").touch()
    with pytest.raises(ConnectFailed, match="cannot be opened as a serial port"):
        await open_port(Url.parse(f"uart://{tmp_path}/file"), 115200)
    with pytest.raises(InvalidUrl, match="cannot have -1 baud"):
        await open_port(Url.parse("uart:///dev/nowhere"), -1)


@pytest.mark.parametrize(
    "url", ["uart://", "uart://ttyUSB0", "uart://socket", "uart://socket/x", "uart://socket/h:1/x"]
)
async def test_urls_that_name_no_port(url: str) -> None:
    with pytest.raises(InvalidUrl, match="looks like"):
        await open_port(Url.parse(url), 115200)


@needs_asyncio
async def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "serial_asyncio_fast", None)
    with pytest.raises(MissingExtra, match=r"pip install 'jsonrpc-iot\[uart\]'"):
        await open_port(Url.parse("uart:///dev/ttyUSB0"), 115200)


@pytest.mark.only_on("trio")
async def test_trio_is_told() -> None:
    with pytest.raises(UsageError, match="not on trio"):
        await open_port(Url.parse("uart:///dev/ttyUSB0"), 115200)


async def test_a_serial_server_on_tcp() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")

    async def echo(stream: ByteStream) -> None:
        async with stream:
            with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await stream.send(await stream.receive())

    place = listener.extra(anyio.abc.SocketAttribute.local_port)
    with anyio.fail_after(SECONDS):
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, echo)
            url = Url.parse(f"uart://socket/127.0.0.1:{place}")
            async with await open_port(url, 115200) as port:
                await port.send(b"hello")
                assert await port.receive() == b"hello"
            tasks.cancel_scope.cancel()
    with pytest.raises(ConnectFailed, match=f"{url}: no serial server"):
        await open_port(url, 115200)


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


async def spoiled(seed: int) -> tuple[bytes, tuple[int, ...]]:
    faults = LineFaults(drop=0.1, flip=0.1, insert=0.1)
    async with virtual_serial_pair(faults, seed=seed) as line:
        await line.first.send(bytes(2000))
        counts = line.to_second.counts
        return await read_exactly(line.second, counts.delivered), (
            counts.sent,
            counts.delivered,
            counts.dropped,
            counts.flipped,
            counts.inserted,
        )


async def test_a_noisy_line_is_the_same_each_time() -> None:
    data, counts = await spoiled(7)
    sent, delivered, dropped, flipped, inserted = counts
    assert sent == 2000
    assert delivered == len(data) == sent - dropped + inserted
    assert all(100 < count < 300 for count in (dropped, flipped, inserted))
    assert await spoiled(7) == (data, counts)
    assert (await spoiled(8))[0] != data


async def test_a_cut_line_and_unplugged_streams() -> None:
    with anyio.fail_after(SECONDS):
        async with virtual_serial_pair() as line:
            line.cut()
            await line.first.send(b"lost")
            line.mend()
            await line.first.send(b"found")
            assert await line.second.receive() == b"found"
            assert line.to_second.counts.lost == 4

            async def expect_it() -> None:
                with pytest.raises(anyio.BrokenResourceError):
                    await line.second.receive()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(expect_it)
                await anyio.wait_all_tasks_blocked()
                await line.unplug()
            with pytest.raises(anyio.BrokenResourceError):
                await line.first.send(b"x")
            await line.replug()
            await line.second.send(b"back")
            assert await line.first.receive() == b"back"


async def test_a_baud_rate_takes_its_time() -> None:
    async with virtual_serial_pair(baudrate=9600) as line:
        start = anyio.current_time()
        await line.first.send(bytes(192))
        assert anyio.current_time() - start >= 0.2
        assert await read_exactly(line.second, 192) == bytes(192)


@needs_asyncio
async def test_devices_at_both_ends() -> None:
    with anyio.fail_after(SECONDS):
        async with virtual_serial_pair(baudrate=115200, paths=True) as line:
            first, second = (Url.parse(f"uart://{path}") for path in (line.first, line.second))
            for _ in range(2):
                async with (
                    await open_port(first, 115200) as here,
                    await open_port(second, 115200) as there,
                ):
                    await here.send(bytes(range(256)))
                    assert await read_exactly(there, 256) == bytes(range(256))
                    await line.unplug()
                    with pytest.raises(anyio.BrokenResourceError):
                        await there.receive()
                    assert not os.path.lexists(line.first)
                await line.replug()


async def test_devices_on_any_loop() -> None:
    with anyio.fail_after(SECONDS):
        async with virtual_serial_pair(paths=True) as line:
            here = os.open(line.first, os.O_RDWR | os.O_NOCTTY)
            there = os.open(line.second, os.O_RDWR | os.O_NOCTTY)
            try:
                os.write(here, b"hello")
                await anyio.wait_readable(there)
                assert os.read(there, 10) == b"hello"
            finally:
                os.close(here)
                os.close(there)


async def test_a_port_that_ends_at_once_is_opened_ever_more_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "_FIRST_PAUSE_SECONDS", 0.01)
    opened = 0

    async def open_again() -> ByteStream:
        nonlocal opened
        opened += 1
        return open_pty()[0]

    async def hang_up(channel: Channel) -> None:
        await channel.aclose()

    def make_channel(stream: ByteStream) -> Channel:
        return uart.open_channel(TuyaLine(stream), "uart:///dev/x", uart.UartOptions())

    port = listener.PortListener(open_pty()[0], "uart:///dev/x", make_channel, open_again)
    async with port, anyio.create_task_group() as tasks:
        with anyio.move_on_after(2):
            await port.serve(hang_up, tasks)
    assert 1 <= opened < 25  # and some 400 where the pauses do not grow
