"""Failures in words that an assistant can act on: what, where, and what to do."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import msgspec

from ...errors import (
    Busy,
    CallTimeout,
    Cancelled,
    ChannelClosed,
    DeadlineExceeded,
    DeviceOffline,
    Forbidden,
    InvalidParams,
    JsonRpcIotError,
    MethodNotFound,
    OutcomeUnknown,
    RpcError,
    TooLarge,
    Unauthorized,
)
from .schemas import short
from .tools import READ_MORE, Tool

_LONGEST = 500

_AGAIN = "It only reads, so you may call it again."
_LOOK = "It may have run: look at the device's state before you call it again."


def explain(error: JsonRpcIotError, tool: Tool) -> str:
    """Why a call has failed, and what to do.

    Args:
        error: what it has failed with. Its texts may be a device's.
        tool: what was called.
    """
    device = tool.device or "the device"
    whether = _AGAIN if tool.effect == "read" else _LOOK
    if isinstance(error, DeviceOffline):
        return f"{device} is away{_since(error)}, so {tool.shown} was not called. Try again later."
    if isinstance(error, InvalidParams):
        where, why = _place(error)
        return f"{tool.shown} does not take {where}: {why}. Correct that and call it again."
    if isinstance(error, DeadlineExceeded | CallTimeout):
        return f"{device} has not answered {tool.shown} in time. {whether}"
    if isinstance(error, OutcomeUnknown | ChannelClosed):
        return f"The connection to {device} was lost while {tool.shown} was called. {whether}"
    if isinstance(error, MethodNotFound):
        return f"{device} does not have {tool.shown} any more. List the tools again."
    if isinstance(error, Unauthorized | Forbidden):
        return (
            f"{tool.shown} needs a permission that you do not have. Whoever runs this server can "
            "give it a key that has it."
        )
    if isinstance(error, Busy):
        return f"{device} is busy. Wait a few seconds, then call {tool.shown} again."
    if isinstance(error, TooLarge):
        return f"What {tool.shown} was sent, or gives, is too large for {device}{_told(error)}."
    if isinstance(error, Cancelled):
        return f"{tool.shown} was cancelled at {device}."
    return f"{tool.shown} failed at {device}: {_told(error).removeprefix(': ')}."


def not_offered(
    name: str, closed: Tool | None, left_out: int, unknown: Collection[str] = ()
) -> str:
    """Why a tool cannot be called.

    Args:
        name: that was called.
        closed: the method of that name which nobody has opened.
        left_out: how many tools are not offered because there are too many.
        unknown: the devices that have not said what they are.
    """
    if closed is not None:
        what = {"change": "changes something", "danger": "is a danger"}.get(
            closed.effect or "", "does not say what it does"
        )
        return (
            f"{closed.shown} {what}, and nobody has opened it to assistants. Do not try to get "
            f"around that. Whoever runs this server can open it: --allow {closed.shown} (in code "
            f"allow=[{closed.shown!r}])."
        )
    more = f" {left_out} more methods are left out." if left_out else ""
    if unknown:
        away = ", ".join(sorted(unknown)) if any(unknown) else "the device"
        more += f" Of {short(away, _LONGEST)} nothing is known: it may be away. Try again later."
    return f"There is no tool {short(name, 100)!r}. List the tools again.{more}"


def no_page() -> str:
    """Why there is no such page."""
    return f"{READ_MORE} knows no such page (any more). Call the tool that gave the result again."


def too_much() -> str:
    """Why a call was not even begun."""
    return "Too many calls wait already, so this one was not made. Wait for others to end."


def _since(error: RpcError) -> str:
    since = error.data.get("since") if isinstance(error.data, dict) else None
    if not isinstance(since, int | float) or not 0 < since < 1e11:
        return ""
    return f" since {datetime.fromtimestamp(since, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _place(error: RpcError) -> tuple[str, str]:
    """What of the arguments is wrong, and why."""
    data = error.data if isinstance(error.data, dict) else {}
    path = short(data.get("path"), 200)
    why = short(data.get("message"), _LONGEST) or short(error.message, _LONGEST)
    return f"the argument {path.removeprefix('$.')}" if path not in ("", "$") else (
        "these arguments"
    ), why.removesuffix(".")


def _told(error: JsonRpcIotError) -> str:
    """What an error says itself, with a colon before it."""
    if not isinstance(error, RpcError):
        return f": {short(str(error), _LONGEST).removesuffix('.')}"
    data = "" if error.data is None else f", {short(_json(error.data), _LONGEST)}"
    return f": {short(error.message, _LONGEST)} ({error.code}){data}"


def _json(data: Any) -> str:
    try:
        return msgspec.json.encode(data).decode()
    except (TypeError, ValueError, RecursionError):
        return repr(data)
