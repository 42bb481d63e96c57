"""A lamp, and an assistant that speaks to it with the official library's own client."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Any

import anyio
from mcp import Client, types
from msgspec import Meta, Struct

from jsonrpc_iot import Context, Dispatcher, Event, service
from jsonrpc_iot.gateway.mcp import Assistant, mcp_server
from tests.waiting import SECONDS, Tally

Level = Annotated[int, Meta(ge=0, le=100)]

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
"""What a client says first, where it is written by hand."""


class Levels(Struct):
    """How bright it is."""

    level: int


@service("lamp")
class Changes:
    changed = Event[Levels]()
    secret = Event[Levels](requires="secrets")


class Lamp:
    """A lamp, whose slow calls are held until `gate` opens."""

    def __init__(self) -> None:
        self.dispatcher = dispatcher = Dispatcher(title="Lamp")
        self.changes = Changes()
        self.level = 20
        self.gate = anyio.Event()
        self.began = Tally()
        self.cancelled = Tally()
        dispatcher.include(self.changes)
        dispatcher.method("lamp.get", effect="read", idempotent=True)(self.get)
        dispatcher.method("lamp.set", effect="change", idempotent=True)(self.set)
        dispatcher.method("lamp.reset", effect="danger")(self.reset)
        dispatcher.method("lamp.old")(self.reset)
        dispatcher.method("lamp.private", effect="read", requires="secrets")(self.get)
        dispatcher.method("hold", effect="read")(self.hold)
        dispatcher.method("hold.change", effect="change")(self.hold)
        dispatcher.method("items", effect="read")(self.items)
        dispatcher.method("much", effect="read")(self.much)

    def get(self) -> int:
        """Tell how bright it is.

        Returns:
            percent of what it can.
        """
        return self.level

    def set(self, to: Level) -> int:
        """Set how bright it is.

        Args:
            to: percent of what it can.
        """
        self.level = to
        self.changes.changed.emit(Levels(to))
        return to

    def reset(self) -> None:
        self.level = -1

    async def hold(self) -> str:
        self.began.add()
        try:
            await self.gate.wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled.add()
            raise
        return "held"

    async def items(self, count: int, context: Context) -> AsyncIterator[int]:
        for number in range(count):
            yield number

    def much(self, count: int, length: int = 100) -> list[str]:
        return [f"{number}:{'x' * length}" for number in range(count)]


@asynccontextmanager
async def assisted(
    where: Any, *, mode: str = "auto", message_handler: Any = None, **options: Any
) -> AsyncIterator[tuple[Client, Assistant]]:
    """An assistant with tools."""
    async with AsyncExitStack() as stack:
        assistant = await stack.enter_async_context(mcp_server(where, **options))
        client = Client(assistant.server, mode=mode, cache=None, message_handler=message_handler)
        yield await stack.enter_async_context(client), assistant


async def tools_of(client: Client) -> dict[str, types.Tool]:
    """All tools, by name."""
    found: list[types.Tool] = []
    cursor = None
    while True:
        listed = await client.list_tools(cursor=cursor)
        found += listed.tools
        cursor = listed.next_cursor
        if cursor is None:
            break
    names = {each.name: each for each in found}
    assert len(names) == len(found)
    return names


def text_of(result: Any) -> str:
    """The text of a result, in one piece."""
    return "\n".join(each.text for each in result.content)


async def call(client: Client, name: str, **arguments: Any) -> tuple[bool, str]:
    """Whether a call has failed, and the text."""
    with anyio.fail_after(SECONDS):
        result = await client.call_tool(name, arguments)
    return result.is_error, text_of(result)
