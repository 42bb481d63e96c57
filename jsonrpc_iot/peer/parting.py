"""How a channel is left in good order: what runs ends, and the last messages are read."""

import logging

import anyio

from ..channel.contract import Channel
from ..errors import FramingError, RpcError
from ..protocol.about import about
from ..protocol.session import Session
from .incoming import Incoming
from .outgoing import BROKEN, Outgoing

logger = logging.getLogger("jsonrpc_iot.peer")


async def finish(
    incoming: Incoming, outgoing: Outgoing, calls_seconds: float, writes_seconds: float
) -> None:
    """Let running calls end and their answers leave.

    Args:
        incoming: has the calls.
        outgoing: has the answers.
        calls_seconds: how long to wait for the calls.
        writes_seconds: how long to wait for the answers after that.
    """
    with anyio.move_on_after(calls_seconds):
        await incoming.finish()
    with anyio.move_on_after(writes_seconds):
        await outgoing.drain()


async def part(channel: Channel, seconds: float) -> None:
    """Give the other end a moment to read the last messages.

    Closing at once, with something on its way to us, would reset the connection and lose them.

    Args:
        channel: to be closed then.
        seconds: how long to wait for the other end to close it.
    """
    with anyio.move_on_after(seconds):
        try:
            await channel.send_eof()
            while True:
                await channel.receive()
        except (anyio.EndOfStream, FramingError, NotImplementedError, *BROKEN):
            pass
        except Exception as error:  # noqa: BLE001  # TLS has more ways to end
            logger.debug(
                "%s: parting failed: %r", channel.info.peer, error, extra=about(channel.info.peer)
            )


def say(error: RpcError, session: Session, outgoing: Outgoing) -> None:
    """Send an error that answers nothing."""
    farewell = session.codec.encode_error(None, error, "2.0")
    outgoing.push(*filter(None, (farewell,)))
