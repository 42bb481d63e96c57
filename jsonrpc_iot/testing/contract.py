"""What every channel must do, whatever its transport."""

import anyio
import anyio.lowlevel

from ..channel.contract import Channel
from ..channel.info import ChannelInfo

_AT_ONCE = 40


async def check_channel_contract(client: Channel, server: Channel, seconds: float = 10.0) -> None:
    """Check that both ends of a channel do what `Channel` promises; both are closed in the end.

    On a channel that may lose messages, the link must be a good one meanwhile.

    Args:
        client: one end.
        server: the other end.
        seconds: time that the whole check may take.

    Raises:
        AssertionError: something is not as it must be; the text says what.
        TimeoutError: something does not happen at all.
    """
    with anyio.fail_after(seconds):
        for channel in (client, server):
            _check_facts(channel.info)
        for here, there in ((client, server), (server, client)):
            await _check_messages(here, there)
            await _check_cancellation(here, there)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_check_messages, client, server)
            tasks.start_soon(_check_messages, server, client)
        await _check_end(client, server)


def _check_facts(info: ChannelInfo) -> None:
    for name in ("local", "peer"):
        address: str = getattr(info, name)
        _require(address.startswith(f"{info.transport}://"), f"{name} is no URL: {address!r}")
    _require(info.max_message is None or info.max_message > 0, "max_message is no size")
    _require(info.retry_seconds > 0, "retry_seconds is no time")


async def _check_messages(here: Channel, there: Channel) -> None:
    """Messages arrive whole and in order, one by one and in batches."""
    largest = min(here.info.max_message or 3000, 3000)
    sent = [
        b'["%d%s"]' % (number, b"x" * (number * 61 % max(1, largest - 8)))
        for number in range(_AT_ONCE)
    ]
    sent[-1] = b'"%s"' % (b"y" * (largest - 2))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_send, here, sent)
        received: list[bytes] = []
        while len(received) < len(sent):
            one_by_one = len(received) % 2
            received += [await there.receive()] if one_by_one else await there.receive_batch()
    _require(received == sent, "messages were changed, lost, doubled or reordered")


async def _send(channel: Channel, messages: list[bytes]) -> None:
    half = len(messages) // 2
    for message in messages[:half]:
        await channel.send(message)
    await channel.send_batch(messages[half:])


async def _check_cancellation(here: Channel, there: Channel) -> None:
    """A receive that is cancelled loses no message."""
    received: list[bytes] = []
    sent = [b"[%d]" % number for number in range(_AT_ONCE)]

    async def send() -> None:
        for message in sent:
            await here.send(message)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        turn = 0
        while len(received) < len(sent):
            turn += 1
            with anyio.CancelScope() as scope:
                if turn % 3 == 0:
                    scope.cancel()
                else:
                    scope.deadline = anyio.current_time() + turn % 5 * 0.0002
                received += await there.receive_batch()
    _require(received == sent, "a cancelled receive lost a message")


async def _check_end(here: Channel, there: Channel) -> None:
    """What was sent before the end arrives; after it nothing goes through."""
    await here.send_batch([b"[1]", b"[2]"])
    await here.aclose()
    await here.aclose()
    received = [await there.receive(), await there.receive()]
    _require(received == [b"[1]", b"[2]"], "the end came before the last message")
    closed = (anyio.ClosedResourceError, anyio.BrokenResourceError)
    for use in (lambda: here.send(b"[3]"), lambda: here.send_batch([b"[3]"]), here.receive):
        try:
            await use()
        except closed:
            continue
        raise AssertionError("a closed channel was usable")
    if there.info.reliable:
        try:
            await there.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            pass
        else:
            raise AssertionError("a message came after the end")
    await there.aclose()


def _require(condition: bool, text: str) -> None:
    if not condition:
        raise AssertionError(text)
