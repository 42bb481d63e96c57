"""A broker's topics for what is no RPC: messages of others, on a connection of its own."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from ...channel.url import Url
from ...errors import ConnectFailed
from ...protocol.limits import DEFAULT_LIMITS
from . import check_machine
from ._options import MqttOptions, read_broker_options

if TYPE_CHECKING:
    from ._broker import Arrived, Broker

__all__ = ["Arrived", "Broker", "open_broker", "read_broker"]


def read_broker(url: Url) -> MqttOptions:
    """The options of a URL that names a broker; its path may be empty.

    Raises:
        InvalidUrl: something is wrong with it.
    """
    return read_broker_options(url)


@asynccontextmanager
async def open_broker(url: Url, will: tuple[str, bytes]) -> "AsyncIterator[Broker]":
    """Connect to a broker while the block runs.

    Args:
        url: of the broker.
        will: topic and message that the broker is to publish, retained, when we vanish.

    Raises:
        ConnectFailed: there is no broker, or it refuses us.
        InvalidUrl: the URL makes no sense.
        MissingExtra: the extra `mqtt` is not installed.
        UsageError: the event loop is not asyncio's.
    """
    options = read_broker(url)
    check_machine(url)
    from ._broker import Broker

    broker = await Broker.open(
        url,
        options,
        DEFAULT_LIMITS,
        ConnectFailed,
        name=f"jsonrpc-iot-{secrets.token_hex(6)}",
        will=will,
    )
    try:
        yield broker
    finally:
        with anyio.CancelScope(shield=True):  # else the broker takes us for vanished; it is bounded
            await broker.aclose()
