"""Sending one notification and nothing else.

A `Client` would ask the device for its extensions first, and gives up what a slow device has not
taken a second after the last call; here the notification has left, or its sender hears why not.
"""

from typing import Any

import anyio

from jsonrpc_iot import CallTimeout, ChannelClosed, Dispatcher, FramingError, MessageTooLarge
from jsonrpc_iot.channel.contract import Channel, Trace
from jsonrpc_iot.channel.wrappers import TracedChannel
from jsonrpc_iot.protocol.messages import Dialect
from jsonrpc_iot.protocol.session import Session
from jsonrpc_iot.transports import open_channel

_PARTING_SECONDS = 1.0
_BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError)


async def send_notification(
    url: str,
    method: str,
    params: Any,
    timeout: float,
    *,
    dialect: Dialect = "iot",
    trace: Trace | None = None,
) -> None:
    """Send one notification, and return when it has left for good.

    Args:
        url: where the device is.
        method: the notification's name.
        params: an object or an array, `None` for no params.
        timeout: seconds for all of it.
        dialect: how to write it.
        trace: is called with the message.

    Raises:
        CallTimeout: the time ran out.
        MessageTooLarge: it does not fit the channel; nothing was sent.
        Unencodable: the channel or its codec has no form for it.
        TransportError: the device cannot be reached, or the connection broke.
    """
    try:
        with anyio.fail_after(timeout):
            async with await open_channel(url) as channel, anyio.create_task_group() as tasks:
                channel.start(tasks)
                codec = Dispatcher().responder(channel.info.codec).codec
                message = Session(codec, dialect=dialect).notification(method, params)
                await _send(TracedChannel(channel, trace) if trace else channel, method, message)
                tasks.cancel_scope.cancel()
    except TimeoutError:
        raise CallTimeout(f"{method}: not sent within {timeout:g} s") from None


async def _send(channel: Channel, method: str, message: bytes) -> None:
    limit = channel.info.max_message
    if limit is not None and len(message) > limit:
        raise MessageTooLarge(len(message), limit)
    channel.check(message)
    try:
        await channel.send(message)
    except _BROKEN as error:
        why = f" ({error})" if str(error) else ""
        raise ChannelClosed(f"{method}: the connection broke before it was sent{why}") from None
    await _part(channel)


async def _part(channel: Channel) -> None:
    """Let the other end take all in: an end that closes with something unread may cut it short."""
    if not channel.info.reliable:
        return
    try:
        with anyio.move_on_after(_PARTING_SECONDS):
            await channel.send_eof()
            while True:
                await channel.receive()
    except (anyio.EndOfStream, FramingError, NotImplementedError, *_BROKEN):
        pass  # it has left, and what the other end sends is not for us
