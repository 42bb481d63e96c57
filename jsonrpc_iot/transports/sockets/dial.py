"""Connecting stream sockets."""

import os
import socket
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import anyio

from .stream import SocketStream

_STAGGER_SECONDS = 0.25  # RFC 8305, section 5
_FULL_SECONDS = 0.01


async def connect_tcp(host: str, port: int, *, last: str | None = None) -> SocketStream:
    """Connect to a port; where a name has several addresses, to the one that answers first.

    They are tried in turns of families, each a quarter of a second after the one before, or as soon
    as that has failed (RFC 8305).

    Args:
        host: a name or an address.
        port: of TCP.
        last: an address that is tried after all others, if the name has it.

    Raises:
        OSError: nobody answers there; where several were tried, a group of errors is its cause.
        UnicodeError: no host can have such a name.
    """
    places = _by_turns(await _resolve(host, port))
    places.sort(key=lambda place: place[1][0] == last)
    winner: socket.socket | None = None
    failures: list[OSError] = []

    async def attempt(family: int, address: Any, ended: anyio.Event) -> None:
        nonlocal winner
        try:
            raw = await _connect(family, address)
        except OSError as error:
            failures.append(error)
            ended.set()
            return
        if winner is not None:
            raw.close()
            return
        winner = raw
        tasks.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as tasks:
            for family, address in places:
                ended = anyio.Event()
                tasks.start_soon(attempt, family, address, ended)
                with anyio.move_on_after(_STAGGER_SECONDS):
                    await ended.wait()
    except BaseException:
        if winner is not None:
            winner.close()
        raise
    if winner is not None:
        return SocketStream(winner)
    if len(failures) == 1:
        raise failures[0]
    raise OSError("all attempts failed") from ExceptionGroup("attempts to connect", failures)


async def connect_unix(path: Path) -> socket.socket:
    """Connect to a Unix socket, whose server may have many to accept.

    Raises:
        OSError: nobody listens there.
    """
    raw = socket.socket(socket.AF_UNIX)
    raw.setblocking(False)
    try:
        while True:
            try:
                raw.connect(os.fspath(path))
            except BlockingIOError:  # the queue of connections is full; there is no event
                await anyio.sleep(_FULL_SECONDS)
            else:
                return raw
    except BaseException:
        raw.close()
        raise


async def _resolve(host: str, port: int) -> Sequence[Any]:
    try:  # which needs no thread
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        return await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _by_turns(found: Sequence[Any]) -> list[tuple[int, Any]]:
    places = [(family, address) for family, _, _, _, address in found]
    same = [place for place in places if place[0] == places[0][0]]
    others = [place for place in places if place[0] != places[0][0]]
    return [place for pair in zip_longest(same, others) for place in pair if place is not None]


async def _connect(family: int, address: Any) -> socket.socket:
    raw = socket.socket(family, socket.SOCK_STREAM)
    raw.setblocking(False)
    try:
        try:
            raw.connect(address)
        except BlockingIOError:
            await anyio.wait_writable(raw)
            if code := raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(code, os.strerror(code)) from None
    except BaseException:
        raw.close()
        raise
    return raw
