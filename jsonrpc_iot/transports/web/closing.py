"""What both ends of a WebSocket have in common.

Close codes that we send: 1000 at an ordinary end, 1002 for broken frames, 1003 for a frame of the
wrong kind, 1008 for a message that stays unfinished, 1009 for one over the limit, 1011 to who
answers no ping. 1000, 1001 and 1005 (no code) end the stream, others break it and give the reason.
"""

import anyio

MAX_MESSAGE = 1 << 20
PING_INTERVAL = 20.0
"""Seconds of silence after which the other end is asked whether it lives."""
PING_TIMEOUT = 20.0
"""Seconds that it has to show it."""
SUBPROTOCOL = "jsonrpc"
SUBPROTOCOLS = ("jsonrpc-iot", SUBPROTOCOL)
"""Those that a server knows, of which it takes the first that a client offers."""

ORDERLY = (1000, 1001, 1005)
"""Close codes after which nothing is missing."""

ABORT = "jsonrpc_iot.abort"
"""The ASGI extension that cuts a connection off, whatever waits to be sent."""
ARRIVED = "jsonrpc_iot.arrived"
"""The ASGI extension that tells how many events wait to be received."""

DIRECT = "jsonrpc_iot.direct"
"""The ASGI extension that offers messages to a function, and sends without waiting."""


def closing(code: int, reason: str) -> str:
    """A close code and its reason, for people."""
    return f"WebSocket closed, {code}{': ' if reason else ''}{reason}"


def ending(code: int, reason: str) -> anyio.EndOfStream | anyio.BrokenResourceError:
    """What whoever receives gets when the other end has closed."""
    if code not in ORDERLY:
        return anyio.BrokenResourceError(closing(code, reason))
    return anyio.EndOfStream(closing(code, reason)) if reason else anyio.EndOfStream()
