"""Several ways to one device: the first that answers is used, and a better one when it is back.

A way answers when the device does: a broker or a port alone is not enough. New calls go the better
way as soon as the device has answered there; the other one is left when nothing is open on it.
Gateways keep the connections to their devices with this too, where there is one way as well.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress

import anyio
from anyio.abc import TaskGroup, TaskStatus
from msgspec import Struct

from ..channel.changes import Change
from ..channel.contract import Channel
from ..errors import (
    ConnectFailed,
    ConnectTimeout,
    JsonRpcIotError,
    MalformedResponse,
    RpcError,
    UsageError,
)
from ..peer.peer import Peer
from ..protocol.about import about
from ..protocol.backoff import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Backoff
from .client import Client

logger = logging.getLogger("jsonrpc_iot.client")

CHECK_SECONDS = 60.0
"""How often it is looked whether a better way is back."""

ANSWER_SECONDS = 4.5
"""How long the device has to answer on a way that is open."""

SILENT_SECONDS = 3.0
"""How often it is looked whether calls are answered, where only that shows a device is there."""

_PINGS = 2
_WITHOUT_CONNECTIONS = ("http", "https", "mqtt", "mqtts")
_LOOK_SECONDS = 0.05  # how often it is looked whether calls are still open


Greet = Callable[[Peer], Awaitable[object]]
"""Finds out whether the device answers a peer; raises a `JsonRpcIotError` if it does not."""


class Way(Struct, frozen=True):
    """One way to a device.

    Args:
        url: where the device is, to be shown.
        open: opens a channel to it, which is used while the block runs.
    """

    url: str
    open: Callable[[], AbstractAsyncContextManager[Channel]]


async def ask(peer: Peer) -> object:
    """See whether the device answers, and what; an error is an answer too, and gives `None`."""
    answer: object = None
    with suppress(RpcError, MalformedResponse):
        answer = await peer.calls.call("rpc.ping", None, object, ANSWER_SECONDS, True)
    if answer is True and peer.session.extensions is None:
        peer.session.extensions = True  # so that no late copy of the first calls seems to be new
    return answer


def has_no_connection(peer: Peer) -> bool:
    """Whether nothing but its silence shows that a device is away."""
    return not peer.info.reliable or peer.info.transport in _WITHOUT_CONNECTIONS


class Ways:
    """Keeps a client connected, on the first of its ways that answers.

    Args:
        ways: the best one first.
        greet: decides whether a way is used.
        linger: seconds for which a device that answers no pings may answer the calls that are open,
            before any way is tried again.
        on_failure: is told each time that the device answers nowhere.

    Raises:
        UsageError: there is none.
    """

    def __init__(
        self,
        ways: Sequence[Way],
        *,
        greet: Greet = ask,
        linger: float = 0.0,
        on_failure: Callable[[ConnectFailed], object] | None = None,
    ) -> None:
        if not ways:
            raise UsageError("a device needs at least one URL")
        self._ways = ways
        self._greet = greet
        self._linger = linger
        self._on_failure = on_failure or _log
        self._backoff = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        self._problems: dict[int, Exception] = {}
        self._channels: dict[int, Channel] = {}
        self._index = 0
        self._is_lost = self._is_tried = False
        self._changed = Change()
        self._hurry = Change()

    def hurry(self) -> None:
        """Try again at once, if a pause goes on: somebody waits for the device."""
        self._hurry.notify()

    async def first(self) -> None:
        """Wait until the device has answered for the first time, or nowhere."""
        while not self._is_tried:
            await self._changed.wait()

    def failure(self) -> ConnectFailed:
        """The error that says of each way why the device did not answer there."""
        problems = [self._explain(index, self._problems[index]) for index in sorted(self._problems)]
        late = all(isinstance(each, TimeoutError) for each in self._problems.values())
        kind = ConnectTimeout if late else ConnectFailed
        text = "; ".join(problems)
        return kind(text if len(self._ways) == 1 else f"the device answers nowhere: {text}")

    async def run(self, client: Client, tasks: TaskGroup) -> None:
        """Keep a client connected until it is told to end.

        Args:
            client: what is kept.
            tasks: outlive all ways.
        """
        while client._reconnects:
            begin = anyio.current_time()
            best = _Attempt(self, 0, client, tasks)
            await best.run()
            if best.was_of_use or await self._use_others(client, tasks):
                self._backoff.connection_ended(anyio.current_time() - begin)
            else:
                self._is_tried = True
                self._changed.notify()
                self._on_failure(self.failure())
            if client._reconnects:
                with anyio.move_on_after(self._backoff.next_pause()):
                    await self._hurry.wait()
        client._end()

    async def _use_others(self, client: Client, tasks: TaskGroup) -> bool:
        """Use the ways beside the best one as long as any lasts, and look for better ones.

        Returns:
            Whether the device has answered on one of them.
        """
        if not await self._use_first(range(1, len(self._ways)), client, tasks):
            return False
        while not self._is_lost:
            with anyio.move_on_after(CHECK_SECONDS):
                while not self._is_lost:
                    await self._changed.wait()
            if self._index and not self._is_lost:
                with anyio.move_on_after(CHECK_SECONDS):  # who always calls gets there as well
                    await _idle(client._peers())
                await self._use_first(range(self._index), client, tasks)
        return True

    async def _use_first(self, indexes: Sequence[int], client: Client, tasks: TaskGroup) -> bool:
        """Use the first way of some on which the device answers; says whether there is one."""
        for index in indexes:
            if not client._reconnects:
                break
            if await tasks.start(_Attempt(self, index, client, tasks).run):
                return True
        return False

    def _explain(self, index: int, why: Exception) -> str:
        place = self._ways[index].url
        text = str(why) or repr(why)
        return text if text.startswith(place) else f"{place}: {text}"


class _Attempt:
    """One attempt to use a way, and what becomes of it.

    Args:
        ways: it is one of them.
        index: its place among them.
        client: gets a peer there.
        tasks: outlive it.
    """

    def __init__(self, ways: Ways, index: int, client: Client, tasks: TaskGroup) -> None:
        self._ways = ways
        self._index = index
        self._client = client
        self._tasks = tasks
        self._scope = anyio.CancelScope()
        self._status: TaskStatus[bool] = anyio.TASK_STATUS_IGNORED
        self._used: Peer | None = None

    @property
    def was_of_use(self) -> bool:
        """Whether the device has answered there."""
        return self._used is not None

    async def run(self, *, task_status: TaskStatus[bool] = anyio.TASK_STATUS_IGNORED) -> None:
        """Use the way until it ends, if the device answers there, which the status says."""
        self._status = task_status
        ways, index = self._ways, self._index
        ways._problems.pop(index, None)
        try:
            async with ways._ways[index].open() as channel:
                if index in ways._channels:
                    channel.follow(ways._channels[index])
                ways._channels[index] = channel
                with self._scope:
                    await self._client._run_peer(channel, self._meet)
        except (JsonRpcIotError, OSError) as error:
            ways._problems[index] = error
        except Exception as error:
            logger.exception("%s failed", ways._ways[index].url, extra=about(ways._ways[index].url))
            ways._problems[index] = error
        finally:
            self._end()

    async def _meet(self, peer: Peer, gain: Callable[[], object]) -> None:
        ways, client = self._ways, self._client
        try:
            await ways._greet(peer)
        except JsonRpcIotError as error:
            ways._problems[self._index] = error
            self._scope.cancel()
            return
        self._used = peer
        for other in client._peers():
            self._tasks.start_soon(_leave_when_idle, other)
        ways._index, ways._is_lost = self._index, False
        client._name = ways._ways[self._index].url
        gain()
        ways._is_tried = True
        ways._changed.notify()
        self._status.started(True)
        if not has_no_connection(peer):
            return
        await silence(peer)
        peer.calls.why = "the device does not answer"
        if ways._linger:
            peer.session.on_notification = None
            client._part(peer)
            with anyio.move_on_after(ways._linger):
                await _idle([peer])
        self._scope.cancel()

    def _end(self) -> None:
        if self._used is None:
            self._ways._problems.setdefault(self._index, ConnectFailed("the connection has ended"))
            self._status.started(False)
        elif self._client._peer in (None, self._used):
            self._ways._is_lost = True
            self._ways._changed.notify()
            if not self._client._reconnects:  # it shall not wait for a look at a better way
                self._client._end()


def _log(failure: ConnectFailed) -> None:
    logger.info("%s; trying again", failure)


async def silence(peer: Peer) -> None:
    """Return when a call and two pings after it have stayed unanswered.

    Where there is a connection its end shows that the device is away, and this never returns.
    """
    if not has_no_connection(peer):
        await anyio.sleep_forever()
    exchanged = peer.session.exchanged
    heard = exchanged.heard
    while True:
        await anyio.sleep(SILENT_SECONDS)
        before, heard = heard, exchanged.heard
        is_waiting = peer.session.open_calls > 0
        if heard > before or not (is_waiting or exchanged.unheard):
            continue
        if is_waiting and peer.info.in_flight is not None:  # a ping would wait for its turn
            if exchanged.unheard > 1 + _PINGS:
                return
        elif not await _answers(peer):
            return


async def _answers(peer: Peer) -> bool:
    for _ in range(_PINGS):
        try:
            await ask(peer)
        except JsonRpcIotError:
            continue
        return True
    return False


async def _idle(peers: Sequence[Peer]) -> None:
    """Wait until no calls are open there."""
    while any(each.is_busy for each in peers):  # noqa: ASYNC110  # there is no event
        await anyio.sleep(_LOOK_SECONDS)


async def _leave_when_idle(peer: Peer) -> None:
    await _idle([peer])
    peer.leave(0)
