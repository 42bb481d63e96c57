"""Devices that conform and devices that do not, and what a report says of them."""

import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Listener, SocketAttribute, SocketStream

from jsonrpc_iot import Dispatcher
from jsonrpc_iot.channel.tasks import task_group
from jsonrpc_iot.protocol.jsonstream import JsonSplitter
from jsonrpc_iot.testing.conformance import Report, check_conformance, rules

RULES = {rule for name, rule in vars(rules).items() if name.isupper()}

Answer = Callable[[bytes], Iterable[bytes]]


class Dead(Exception):
    """The device has crashed."""


class HangUp(Exception):
    """The device ends the connection."""


def lamp(forbidden: Callable[[], object] = lambda: None) -> Dispatcher:
    """A device with methods that read, of which one tells others, and one not to be called."""
    device = Dispatcher(title="Lamp")

    @device.method("lamp.get", effect="read")
    def get(scale: int = 1) -> dict[str, int]:
        return {"level": 40 * scale}

    @device.method("lamp.look", effect="read")
    def look() -> int:
        device.emit("lamp.looked", {"level": 40})
        return 40

    @device.method("lamp.set")
    def set_(on: bool = True) -> None:
        forbidden()

    return device


def verdicts(report: Report) -> dict[str, str]:
    return {section.name: section.verdict for section in report.sections}


def failed(report: Report) -> set[str]:
    return {name for name, verdict in verdicts(report).items() if verdict == "fail"}


def case_of(report: Report, section: str, name: str) -> Any:
    (found,) = (
        case
        for each in report.sections
        if each.name == section
        for case in each.cases
        if case.name == name
    )
    return found


Cut = Callable[[bytes], Iterable[bytes]]


@asynccontextmanager
async def device_that(
    answer: Answer,
    path: Path | None = None,
    new_cut: Callable[[], Cut] = lambda: JsonSplitter(1 << 20).feed,
) -> AsyncIterator[str]:
    """Serve a device that gives any messages for a message; `Dead` and `HangUp` end it.

    Args:
        answer: gives them.
        path: of its socket; a port by default.
        new_cut: makes what cuts the messages out of the stream of a connection.
    """
    dead = False

    async def handle(stream: SocketStream) -> None:
        nonlocal dead
        cut = new_cut()
        async with stream:
            while not dead:
                try:
                    messages = cut(await stream.receive())
                    for reply in (each for message in messages for each in answer(message)):
                        await stream.send(reply + b"\n")
                except Dead:
                    dead = True
                except (HangUp, anyio.EndOfStream, anyio.BrokenResourceError):
                    return

    async with AsyncExitStack() as stack:
        if path is None:
            tcp = await anyio.create_tcp_listener(local_host="127.0.0.1")
            listener: Listener[SocketStream] = await stack.enter_async_context(tcp)
            url = f"tcp://127.0.0.1:{tcp.extra(SocketAttribute.local_port)}"
        else:
            listener = await stack.enter_async_context(await anyio.create_unix_listener(path))
            url = f"unix://{path}"
        tasks = await stack.enter_async_context(task_group())
        tasks.start_soon(listener.serve, handle)
        yield url
        tasks.cancel_scope.cancel()


def right(message: bytes) -> list[bytes]:
    """What a right device says to a message: one that does not name its methods."""
    value = parsed(message)
    if isinstance(value, dict) and value.get("method") == "rpc.methods":
        message = message.replace(b"rpc.methods", b"rpc.no_such")
    reply = _LAMP.dispatch_sync(message)
    return [] if reply is None else [reply]


_LAMP = lamp()


def parsed(message: bytes) -> Any:
    try:
        return json.loads(message)
    except ValueError:
        return None


async def report_of(
    answer: Answer, profile: Any = "full", timeout: float = 5.0, restart: float = 0.2
) -> Report:
    async with device_that(answer) as url:
        return await check_conformance(url, profile=profile, timeout=timeout, restart=restart)
