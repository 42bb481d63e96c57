"""One call of a tool: the device's method, its items one by one, and how it may end."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import anyio
import msgspec
from msgspec import Raw, Struct

from ...client.client import Client
from ...errors import JsonRpcIotError
from ...protocol.text import escape_json
from .failures import explain
from .pages import pages_of
from .tools import Tool

Report = Callable[[int, str], Awaitable[None]]
"""Is told how many items have come, and the last of them."""

_MOST_ITEMS = 10_000
_MOST_BYTES = 4 << 20
_EACH = 100  # items that are reported one by one; later each hundredth is
_SHOWN = 500  # characters of an item in a report


class Outcome(Struct, frozen=True):
    """How a call has ended.

    Args:
        pages: the result, or what there is of it.
        note: what is to be known of that; why it has failed.
        failed: it has.
    """

    pages: list[str]
    note: str = ""
    failed: bool = False


async def run(
    client: Client, tool: Tool, arguments: Mapping[str, Any], seconds: float, report: Report
) -> Outcome:
    """Call a tool.

    Args:
        client: reaches what has the method.
        tool: to be called.
        arguments: for it.
        seconds: that it may take. A stream that goes on for longer gives what has come until then.
        report: is told of the items of a stream.
    """
    params = tool.params_of(arguments)
    if tool.streams:
        return await _stream(client, tool, params, seconds, report)
    try:
        result = await client.call(
            tool.method,
            params or None,
            result=Raw,
            timeout=seconds,
            idempotent=tool.idempotent,
        )
    except JsonRpcIotError as error:
        return Outcome([], explain(error, tool), failed=True)
    if bytes(result) == b"null":
        return Outcome([], f"Done: {tool.shown} was called, and gives no result.")
    return Outcome(pages_of(bytes(result)))


async def _stream(
    client: Client, tool: Tool, params: Any, seconds: float, report: Report
) -> Outcome:
    items: list[Raw] = []
    room = _MOST_BYTES
    failure = ""
    is_whole = False
    with anyio.move_on_after(seconds):
        try:
            stream = client.stream(tool.method, params or None, item=Raw, timeout=seconds)
            async with aclosing(stream):
                async for item in stream:
                    room -= len(bytes(item))
                    items.append(item.copy())
                    if room < 0 or len(items) >= _MOST_ITEMS:
                        break
                    if len(items) <= _EACH or len(items) % _EACH == 0:
                        shown = escape_json(bytes(item)[:_SHOWN].decode(errors="replace"))
                        await report(len(items), shown)
                else:
                    is_whole = True
        except JsonRpcIotError as error:
            failure = explain(error, tool)
    pages = pages_of(msgspec.json.encode(items)) if items or is_whole else []
    if failure:
        note = f"{failure} {len(items)} items had come." if items else failure
        return Outcome(pages, note, failed=True)
    if is_whole:
        return Outcome(pages)
    return Outcome(pages, f"[{tool.shown} goes on; these are its first {len(items)} items.]")
