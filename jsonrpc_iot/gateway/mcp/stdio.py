"""MCP over standard input and output, which are the protocol's alone meanwhile."""

import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from io import StringIO
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

LONGEST = 4 << 20
"""Bytes of one message; a longer one is dropped."""

_PIECE = 1 << 16


async def serve_stdio(server: Server[Any]) -> None:
    """Serve until standard input ends."""
    async with stdio_server(stdin=_Input()) as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


class _Input(anyio.AsyncFile[str]):
    """The lines of standard input, read by a thread of their own.

    The library's would keep a program from ending until its input does: a thread that reads cannot
    be cancelled, and those of the event loop are waited for.
    """

    def __init__(self) -> None:
        super().__init__(StringIO())
        self._descriptor = sys.stdin.fileno()

    async def __aiter__(self) -> AsyncIterator[str]:
        send, receive = anyio.create_memory_object_stream[str]()
        token = anyio.lowlevel.current_token()
        threading.Thread(
            target=_read, args=(self._descriptor, send, token), name="stdin", daemon=True
        ).start()
        async with receive:
            async for line in receive:
                yield line


def _read(descriptor: int, send: MemoryObjectSendStream[str], token: Any) -> None:
    with suppress(anyio.BrokenResourceError, CancelledError, RuntimeError):  # nobody reads any more
        with suppress(OSError):  # the terminal is gone
            for line in _lines(descriptor):
                anyio.from_thread.run(send.send, line, token=token)
        anyio.from_thread.run_sync(send.close, token=token)


def _lines(descriptor: int) -> Iterator[str]:
    kept = bytearray()
    is_too_long = False
    while piece := os.read(descriptor, _PIECE):
        *ended, rest = piece.split(b"\n")
        for end in ended:
            kept += end
            if kept.strip() and not is_too_long:
                yield kept.decode(errors="replace")
            kept.clear()
            is_too_long = False
        kept += rest
        if len(kept) > LONGEST:
            kept.clear()
            is_too_long = True
