"""Several ways to one device: the first that answers is used, and a better one when it is back.

A way answers when the device does: a broker or a port alone is not enough. New calls go the better
way as soon as the device has answered there; the other one is left when nothing is open on it.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence

import anyio
from anyio.abc import TaskGroup, TaskStatus

from ..channel.contract import Channel
from ..channel.tasks import task_group
from ..channel.url import Url, mask
from ..errors import (
    ConnectFailed,
    ConnectTimeout,
    JsonRpcIotError,
    MalformedResponse,
    RpcError,
    UsageError,
)
from ..peer.peer import Peer
from ..protocol.backoff import Backoff
from ..transports import find_transport
from .client import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Client

logger = logging.getLogger("jsonrpc_iot.client")

CHECK_SECONDS = 60.0
"""How often it is looked whether a better way is back."""

ANSWER_SECONDS = 5.0
"""How long the device has to answer on a way that is open."""

SILENT_SECONDS = 4.0
"""How long nothing may be answered until the device is asked, where only that shows it is away."""

_PINGS = 2
_WITHOUT_CONNECTIONS = ("http", "https", "mqtt", "mqtts")
_LOOK_SECONDS = 0.05  # how often it is looked whether calls are still open


class Ways:
    """Keeps a client connected, on the first of its ways that answers.

    Args:
        urls: of the ways, the best one first.
        open: opens a channel to one of them.

    Attributes:
        tried: is set when the device has answered for the first time, or nowhere.

    Raises:
        InvalidUrl: a URL makes no sense.
        UsageError: there is none.
    """

    def __init__(self, urls: Sequence[str], open: Callable[[str], Awaitable[Channel]]) -> None:
        if not urls:
            raise UsageError("a device needs at least one URL")
        for url in urls:
            find_transport(Url.parse(url))
        self.tried = anyio.Event()
        self._urls = urls
        self._open = open
        self._backoff = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        self._problems: dict[int, Exception] = {}
        self._channels: dict[int, Channel] = {}
        self._index = 0
        self._lost = anyio.Event()

    def failure(self) -> ConnectFailed:
        """The error that says of each way why the device did not answer there."""
        problems = [self._explain(index, self._problems[index]) for index in sorted(self._problems)]
        late = all(isinstance(each, TimeoutError) for each in self._problems.values())
        kind = ConnectTimeout if late else ConnectFailed
        return kind(f"the device answers nowhere: {'; '.join(problems)}")

    async def run(self, client: Client) -> None:
        """Keep a client connected until it is told to end."""
        async with task_group() as tasks:
            while client._reopen is not None:
                begin = anyio.current_time()
                if await self._use_first(len(self._urls), client, tasks):
                    self.tried.set()
                    await self._stay(client, tasks)
                    self._backoff.connection_ended(anyio.current_time() - begin)
                else:
                    self.tried.set()
                    logger.info("%s; trying again", self.failure())
                if client._reopen is not None:
                    await anyio.sleep(self._backoff.next_pause())
            tasks.cancel_scope.cancel()
        client._end()

    async def _stay(self, client: Client, tasks: TaskGroup) -> None:
        """Return when the way in use ends; look for a better one meanwhile."""
        while not self._lost.is_set():
            with anyio.move_on_after(CHECK_SECONDS):
                await self._lost.wait()
            if self._index and not self._lost.is_set():
                with anyio.move_on_after(CHECK_SECONDS):  # who always calls gets there as well
                    await _idle(client._peers())
                await self._use_first(self._index, client, tasks)

    async def _use_first(self, count: int, client: Client, tasks: TaskGroup) -> bool:
        """Use the first way on which the device answers, of so many; says whether one was found."""
        for index in range(count):
            if client._reopen is None:
                break
            self._problems.pop(index, None)
            try:
                channel = await self._open(self._urls[index])
            except (JsonRpcIotError, OSError) as error:
                self._problems[index] = error
                continue
            if index in self._channels:
                channel.follow(self._channels[index])
            self._channels[index] = channel
            if await tasks.start(self._live, index, channel, client, tasks):
                return True
        return False

    async def _live(
        self,
        index: int,
        channel: Channel,
        client: Client,
        tasks: TaskGroup,
        *,
        task_status: TaskStatus[bool],
    ) -> None:
        """Use a channel until it ends, if the device answers there, which the status says."""
        used: Peer | None = None

        async def greet(peer: Peer, gain: Callable[[], object]) -> None:
            nonlocal used
            if (problem := await _problem(peer)) is not None:
                self._problems[index] = problem
                scope.cancel()
                return
            used = peer
            for other in client._peers():
                tasks.start_soon(_leave_when_idle, other)
            self._index, self._lost = index, anyio.Event()
            client._name = self._place(index)
            gain()
            task_status.started(True)
            await _silence(peer)
            peer.calls.why = "the device does not answer"
            scope.cancel()

        try:
            with anyio.CancelScope() as scope:
                await client._run_peer(channel, greet)
        finally:
            if used is None:
                self._problems.setdefault(index, ConnectFailed("the connection has ended"))
                task_status.started(False)
            elif client._peer in (None, used):
                self._lost.set()
                if client._reopen is None:  # it shall not wait for a look at a better way
                    client._end()

    def _explain(self, index: int, why: Exception) -> str:
        place = self._place(index)
        text = str(why) or repr(why)
        return text if text.startswith(place) else f"{place}: {text}"

    def _place(self, index: int) -> str:
        return mask(self._urls[index])


async def _problem(peer: Peer) -> JsonRpcIotError | None:
    """Why the device does not answer, `None` if it does: an error is an answer too."""
    try:
        answer = await peer.calls.call("rpc.ping", None, object, ANSWER_SECONDS, True)
    except (RpcError, MalformedResponse):
        return None
    except JsonRpcIotError as error:
        return error
    if answer is True and peer.session.extensions is None:
        peer.session.extensions = True  # so that no late copy of the first calls seems to be new
    return None


async def _silence(peer: Peer) -> None:
    """Return when a call and two pings after it have stayed unanswered.

    Where there is a connection its end shows that the device is away, and this never returns.
    """
    if peer.info.reliable and peer.info.transport not in _WITHOUT_CONNECTIONS:
        await anyio.sleep_forever()
    sent, answered = peer.session.exchanged
    while True:
        await anyio.sleep(SILENT_SECONDS)
        sent_before, answered_before = sent, answered
        sent, answered = peer.session.exchanged
        is_waiting = peer.session.open_calls > 0
        if answered > answered_before or not (is_waiting or sent > sent_before):
            continue
        if is_waiting and peer.info.in_flight is not None:
            sent = sent_before  # a ping would have to wait for its turn
        elif all([await _problem(peer) for _ in range(_PINGS)]):
            return
        else:
            sent, answered = peer.session.exchanged


async def _idle(peers: Sequence[Peer]) -> None:
    """Wait until no calls are open there."""
    while any(each.is_busy for each in peers):  # noqa: ASYNC110  # there is no event
        await anyio.sleep(_LOOK_SECONDS)


async def _leave_when_idle(peer: Peer) -> None:
    await _idle([peer])
    peer.leave(0)
