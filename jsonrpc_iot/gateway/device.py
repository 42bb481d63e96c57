"""One device of a gateway: the connection that is kept, and what is known of it.

Its ways are tried in order until one answers. When the connection ends, all are tried again, after
pauses that grow. On a link without connections a device counts as away that leaves a call and two
pings unanswered.
"""

import logging
import re
import time
from collections.abc import Callable, Iterable, Sequence
from math import inf

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream

from ..channel.changes import Change
from ..channel.clock import now
from ..channel.tasks import task_group
from ..client.client import Client
from ..client.notifications import Notification
from ..dispatch.declare.target import Target
from ..dispatch.described import Description
from ..dispatch.forward import Forward
from ..errors import (
    CallTimeout,
    ChannelClosed,
    ConnectFailed,
    DeviceOffline,
    JsonRpcIotError,
    MalformedResponse,
    RpcError,
    TransportError,
    UsageError,
)
from ..protocol.backoff import Backoff
from ..protocol.patterns import Patterns
from .state import DeviceState
from .ways import Way

logger = logging.getLogger("jsonrpc_iot.gateway")

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_GREETING_SECONDS = 5.0
_FIRST_SECONDS = 2.0  # that calls wait for a device of which nothing is known yet
_SILENT_SECONDS = 4.0  # until a device is asked that leaves a call unanswered
_PING_SECONDS = 4.5
_PINGS = 2
_DESCRIBING_SECONDS = 120.0
_LONGEST_ANSWER_SECONDS = 30.0
_WITHOUT_CONNECTIONS = ("http", "https", "mqtt", "mqtts")

_PLACE_OF_SECRET = re.compile(r"[?&]\w+=(?:env|file):[^\s&]*(?<!:)")

TRACE = "gateway.trace"
"""By this a gateway finds out whether a device of its own leads back to itself."""

LOOP = "This gateway leads back to itself"
"""Its answer then, an error."""


class Device(Forward):
    """A device behind a gateway.

    Args:
        name: the gateway's for it.
        ways: to it, in the order in which they are tried.
        wait: seconds that a call waits for a device that is away.
        allow: patterns of the names that may be used there; none for all.
        deny: patterns of those that may not.
        timeout: seconds that a call may take whose caller does not say; `None` for any time.
        requires: the permission that a caller needs.
        token: the gateway's, by which it knows itself.

    Attributes:
        is_watched: what becomes of it is told; not once the gateway parts with it.
        on_change: is called when it comes or goes.
        on_notification: is called with the name and params of what the device emits.
        name: as above.
    """

    def __init__(
        self,
        name: str,
        ways: Sequence[Way],
        *,
        wait: float,
        allow: Iterable[str],
        deny: Iterable[str],
        timeout: float | None,
        requires: str | None,
        token: str,
    ) -> None:
        super().__init__(requires=requires, timeout=timeout)
        self.name = name
        self.is_watched = False
        self.on_change: Callable[[], object] = lambda: None
        self.on_notification: Callable[[str, object], object] = lambda method, params: None
        self._ways = ways
        self._wait = wait
        allow, deny = tuple(allow), tuple(deny)
        self._allow = Patterns(allow) if allow else None
        self._deny = Patterns(deny) if deny else None
        self._token = token
        self._backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        self._changed = Change()
        self._is_tried = True
        self._began_at = -inf
        self._since = time.time()
        self._url: str | None = None
        self._last_error: str | None = None
        self._round_trip: float | None = None
        self._lost: anyio.Event | None = None
        self._is_lossy = False
        self._open = 0
        self._unanswered = 0
        self._silent_since = inf
        self._is_asking = False
        self._is_describing = False

    @property
    def state(self) -> DeviceState:
        """What is known of it at the moment."""
        return DeviceState(
            self.name,
            self.target is not None,
            self._url,
            self._since,
            self._last_error,
            self._round_trip,
        )

    def offers(self, method: str) -> bool:
        """Whether a name may be used; see `Forward.offers`."""
        if not super().offers(method):
            return False
        if self._deny is not None and self._deny.match(method):
            return False
        return self._allow is None or method.startswith("rpc.") or self._allow.match(method)

    async def find(self, deadline: float) -> Target:
        """The open client; see `Forward.find`."""
        if self.target is not None:
            return self.target
        begun = now()
        while self.target is None:
            patience = begun + self._wait
            if not self._is_tried:  # nobody knows yet whether it is there
                patience = max(patience, self._began_at + _FIRST_SECONDS)
            until = min(deadline, patience)
            if until <= now():
                raise self.offline()
            with anyio.CancelScope(deadline=until):
                await self._changed.wait()
        return self.target

    def offline(self) -> DeviceOffline:
        """The error that says since when the device is away."""
        return DeviceOffline(data={"since": self._since})

    async def describe(self, seconds: float) -> Description:
        """What the device says of itself, as far as it is known in time; see `Forward.describe`.

        A slow one goes on to be asked, for whoever wants to know it next.
        """
        with anyio.move_on_after(seconds):
            while not self._is_tried:
                await self._changed.wait()
            if self.target is not None and not self.is_described and not self._is_describing:
                self._is_describing = True
                self._tasks.start_soon(self._describe)
            while self._is_describing:
                await self._changed.wait()
        return self._description

    async def _describe(self) -> None:
        try:
            await super().describe(_DESCRIBING_SECONDS)
        finally:
            self._is_describing = False
            self._changed.notify()

    def note_sent(self) -> None:
        """Learn that the device ought to answer something; see `Forward.note_sent`."""
        self._open += 1
        if self._silent_since == inf:
            self._silent_since = now()

    def note_end(self, *, answered: bool) -> None:
        """Learn that nobody waits for a call any more; see `Forward.note_end`."""
        self._open -= 1
        if self.target is None:
            self._changed.notify()
        if answered:
            self.note_answer()
        else:
            self._unanswered += 1

    def note_answer(self) -> None:
        """Learn that the device has said something; see `Forward.note_answer`."""
        self._unanswered = 0
        self._silent_since = now() if self._open else inf

    def note_failure(self, error: JsonRpcIotError) -> None:
        """Learn that the link has failed a call; see `Forward.note_failure`."""
        if isinstance(error, TransportError):
            self._silent_since = -inf

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        self._is_tried = False
        self._began_at = now()
        self.is_watched = True
        while True:
            for way in self._ways:
                try:
                    if await self._use(way):
                        break  # and begin again with the first one
                except (JsonRpcIotError, OSError) as error:
                    level = logging.WARNING if isinstance(error, UsageError) else logging.INFO
                    self._note_error(str(error) or repr(error), level)
                except Exception as error:
                    logger.exception("%s: %s failed", self.name, way.url)
                    self._note_error(repr(error), logging.INFO)
            if not self._is_tried:
                self._is_tried = True
                self._tell()
            await anyio.sleep(self._backoff.next_pause())

    async def _use(self, way: Way) -> bool:
        """Use one way as long as it lasts; says whether the device was there."""
        async with way.open() as client:
            begun = now()
            round_trip = await self._greet(client)
            self._lost = lost = anyio.Event()
            leave = client.lost.subscribe(self._part)
            try:
                async with client.notifications() as notifications, task_group() as tasks:
                    self._gain(client, way, round_trip, tasks)
                    tasks.start_soon(self._listen, notifications)
                    if client.state != "connected":
                        self._part("the connection has ended")
                    await lost.wait()
                    await self._let_answer()
                    tasks.cancel_scope.cancel()
            finally:
                leave()
                self._part("")
                self._backoff.connection_ended(now() - begun)
        return True

    async def _let_answer(self) -> None:
        """Give a device that is only too busy to answer pings the time to answer its calls."""
        with anyio.move_on_after(_LONGEST_ANSWER_SECONDS):
            while self._open:
                await self._changed.wait()

    async def _greet(self, client: Client) -> float | None:
        """See whether the device answers; returns the seconds that took.

        Raises:
            CallTimeout: it does not, on a link where nothing else would show that.
            ConnectFailed: it is this gateway itself.
        """
        begun = now()
        is_ours = False
        try:
            is_ours = (
                await client.call("rpc.ping", timeout=_GREETING_SECONDS, idempotent=True) is True
            )
        except (RpcError, MalformedResponse):
            pass  # which is an answer
        except CallTimeout:
            if _has_no_connection(client):
                raise
            return None
        round_trip = now() - begun
        if is_ours:
            client.note_extensions()  # so that no late copy of the first calls seems to be new
            try:
                params = {"token": self._token}
                await client.call(TRACE, params, timeout=_GREETING_SECONDS, idempotent=True)
            except RpcError as error:
                if error.message == LOOP:
                    raise ConnectFailed(f"{self.name}: {LOOP}") from None
            except (CallTimeout, MalformedResponse):
                pass
        return round_trip

    def _gain(self, client: Client, way: Way, round_trip: float | None, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._is_lossy = _has_no_connection(client)
        self._silent_since, self._unanswered = inf, 0
        self._url, self._round_trip, self._last_error = way.url, round_trip, None
        self._since = time.time()
        self._is_tried = True
        self.forget_description()
        self.target = client
        self._tell()

    def _part(self, why: str) -> None:
        """Note that the device is away."""
        if self.target is None:
            return
        self.target = None
        self._since = time.time()
        self._last_error = _PLACE_OF_SECRET.sub("", why) or "the connection has ended"
        self._tell()
        if self._lost is not None:
            self._lost.set()

    def _note_error(self, why: str, level: int) -> None:
        why = _PLACE_OF_SECRET.sub("", why)
        if why != self._last_error:
            logger.log(level, "%s: %s", self.name, why)
            self._last_error = why

    def _tell(self) -> None:
        self._changed.notify()
        if self.is_watched:
            self.on_change()

    async def _listen(self, notifications: MemoryObjectReceiveStream[Notification]) -> None:
        async for each in notifications:
            self.note_answer()
            if not each.method.startswith("rpc.") and self.offers(each.method):
                self.on_notification(each.method, each.params)

    def look(self, at: float) -> None:
        """See whether the device still answers, where nothing else shows it.

        Args:
            at: the event loop's time.
        """
        if not self._is_lossy or self.target is None or self._is_asking:
            return
        if at - self._silent_since < _SILENT_SECONDS:
            return
        if self.target.info.in_flight is None or not self._open:
            self._is_asking = True
            self._tasks.start_soon(self._ask, self.target)
        elif self._unanswered > _PINGS:  # nothing else could be sent meanwhile
            self._part("it does not answer")

    async def _ask(self, target: Target) -> None:
        silent_since = self._silent_since
        try:
            for _ in range(_PINGS):
                try:
                    await target.call(
                        "rpc.ping", result=object, timeout=_PING_SECONDS, idempotent=True
                    )
                except (RpcError, MalformedResponse):
                    pass  # which is an answer
                except (CallTimeout, ChannelClosed, TransportError):
                    continue
                self.note_answer()
                return
            if self.target is target and self._silent_since == silent_since:
                self._part("it does not answer")
        finally:
            self._is_asking = False


def _has_no_connection(client: Client) -> bool:
    """Whether nothing but its silence shows that a device is away."""
    return not client.info.reliable or client.info.transport in _WITHOUT_CONNECTIONS
