"""How the tests ask a dispatcher to describe itself."""

from typing import Any

import msgspec

from jsonrpc_iot import ChannelInfo, Context, Dispatcher


def ask(
    dispatcher: Dispatcher, name: str | None = None, context: Context | None = None
) -> dict[str, Any]:
    """Give the response to `rpc.discover`."""
    params = {} if name is None else {"method": name}
    request = msgspec.json.encode({"id": 1, "method": "rpc.discover", "params": params})
    reply = dispatcher.dispatch_sync(request, context)
    assert reply is not None
    answer: dict[str, Any] = msgspec.json.decode(reply)
    return answer


def described(
    dispatcher: Dispatcher, name: str | None = None, context: Context | None = None
) -> dict[str, Any]:
    """Give the document."""
    document: dict[str, Any] = ask(dispatcher, name, context)["result"]
    return document


def method(dispatcher: Dispatcher, name: str) -> dict[str, Any]:
    """Give the entry of a method."""
    entry: dict[str, Any]
    (entry,) = described(dispatcher, name)["methods"]
    return entry


def notification(dispatcher: Dispatcher, name: str) -> dict[str, Any]:
    """Give the entry of a notification."""
    entry: dict[str, Any]
    (entry,) = described(dispatcher, name)["x-notifications"]
    return entry


def with_limit(size: int | None, *permissions: str) -> Context:
    """Come over a link with that limit in bytes, with these permissions."""
    info = ChannelInfo(transport="x", max_message=size, can_call_back=False)
    return Context(None, info, permissions or None)
