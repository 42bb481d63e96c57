"""The cases in MessagePack: the same messages over channels that write them so.

Which cases have such a form is worked out from their bytes. The rest are those about JSON texts:
what is no JSON, members given twice, a leading BOM, and numbers of more than 64 bits.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import msgspec

from jsonrpc_iot.channel.contract import Channel
from jsonrpc_iot.channel.info import ChannelInfo
from jsonrpc_iot.testing.conformance.replies import strict_json
from jsonrpc_iot.transports import open_channel

from .model import Case
from .wire import NAME, PacketWire, Transport, UdpWire, Wire, served_at


def to_msgpack(data: bytes) -> bytes:
    """A JSON message in MessagePack; raises `ValueError` where it has no such form."""
    try:
        value = strict_json(data)
        if any(isinstance(part, float) and math.isinf(part) for part in _parts(value)):
            raise ValueError("a number that no double holds")
        return msgspec.msgpack.encode(value)
    except (OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from None


def to_json(data: bytes) -> bytes:
    """A MessagePack message in JSON; raises for one that holds what JSON lacks."""
    value = msgspec.msgpack.decode(data)
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def is_expressible(case: Case) -> bool:
    """Whether a case can be sent in MessagePack."""
    try:
        to_msgpack(case.sent)
    except ValueError:
        return False
    return True


def _parts(value: object) -> Iterator[object]:
    todo = [value]
    while todo:
        part = todo.pop()
        yield part
        if isinstance(part, dict):
            todo += part.values()
        elif isinstance(part, list):
            todo += part


class RecodedChannel(Channel):
    """A channel that takes JSON and gives JSON, and carries MessagePack.

    Args:
        inner: carries the bytes.
    """

    def __init__(self, inner: Channel) -> None:
        self._inner = inner

    @classmethod
    async def open(cls, url: str) -> Channel:
        return cls(await open_channel(url))

    @property
    def info(self) -> ChannelInfo:
        return self._inner.info

    async def send(self, item: bytes) -> None:
        await self._inner.send(to_msgpack(item))

    async def receive(self) -> bytes:
        return to_json(await self._inner.receive())

    async def send_eof(self) -> None:
        await self._inner.send_eof()

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _open_memory(url: str, directory: Path) -> Wire:
    return PacketWire(await RecodedChannel.open(url))


async def _open_udp(url: str, directory: Path) -> Wire:
    return await UdpWire.open(url, directory, RecodedChannel.open)


RECODED = [
    Transport(
        "memory+msgpack",
        served_at(f"memory://{NAME}-msgpack?codec=msgpack", _open_memory),
        stream=False,
        takes=is_expressible,
    ),
    Transport(
        "udp+msgpack",
        served_at("udp://127.0.0.1:0?codec=msgpack&max=65507", _open_udp),
        stream=False,
        lossy=True,
        takes=is_expressible,
    ),
]
