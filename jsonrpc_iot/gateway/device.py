"""One device of a gateway: whether it is there, who may use what of it, and what is known of it.

Its connection is kept by the client's `Ways`.
"""

import logging
import re
import time
from collections.abc import Callable, Iterable, Sequence
from math import inf

import anyio
from anyio.abc import TaskGroup

from ..channel.changes import Change
from ..channel.clock import now
from ..channel.tasks import task_group
from ..channel.url import key_hint
from ..client.client import Client
from ..client.connecting import keep_connected
from ..client.notifications import Notification
from ..client.ways import ANSWER_SECONDS, Way, Ways, ask, has_no_connection, silence
from ..dispatch.declare.target import Target
from ..dispatch.described import Description
from ..dispatch.dispatcher import Dispatcher
from ..dispatch.forward import Forward
from ..errors import (
    CallTimeout,
    ConnectFailed,
    DeviceOffline,
    Forbidden,
    JsonRpcIotError,
    MalformedResponse,
    RpcError,
    Unauthorized,
)
from ..peer.peer import Peer
from ..protocol.about import about
from ..protocol.backoff import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Backoff
from ..protocol.patterns import Patterns
from .state import DeviceState
from .ways import shown

logger = logging.getLogger("jsonrpc_iot.gateway")

_FIRST_SECONDS = 2.0  # that calls wait for a device of which nothing is known yet
_DESCRIBING_SECONDS = 120.0
_LONGEST_ANSWER_SECONDS = 30.0

_PLACE_OF_SECRET = re.compile(r"[?&]\w+=(?:env|file):[^\s&]*(?<!:)")

TRACE = "gateway.trace"
"""By this a gateway finds out whether a device of its own leads back to itself."""

LOOP = "This gateway leads back to itself"
"""Its answer then, an error."""


class Device(Forward):
    """A device behind a gateway.

    Args:
        name: the gateway's for it.
        where: the ways to it, the best one first; or an open client.
        answers: what the device calls.
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
        where: Sequence[Way] | Client,
        answers: Dispatcher,
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
        self._where = where
        self._answers = answers
        self._wait = wait
        allow, deny = tuple(allow), tuple(deny)
        self._allow = Patterns(allow) if allow else None
        self._deny = Patterns(deny) if deny else None
        self._token = token
        self._changed = Change()
        self._is_tried = True
        self._began_at = -inf
        self._since = time.time()
        self._url: str | None = None
        self._last_error: str | None = None
        self._round_trip: float | None = None
        self._is_describing = False
        self._tasks: TaskGroup
        self._ways: Ways | None = None

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

    def hurry(self) -> None:
        """Look at once whether it is there, if it is away: somebody waits for it."""
        if self._ways is not None:
            self._ways.hurry()

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

    async def find_again(self, deadline: float) -> Target:
        """The client, once its connection is there again; see `Forward.find_again`."""
        while self.target is None:
            if not self.is_watched or deadline <= now():
                raise self.offline()
            with anyio.CancelScope(deadline=deadline):
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

    def check_described(self) -> None:
        """See whether what it says of itself is to be had; see `Forward.check_described`."""
        if (
            self.target is not None
            and isinstance(self._refused, Unauthorized)
            and self._url is not None
        ):
            hint = key_hint(self._url, self._refused)
            if hint is not None:
                raise Forbidden(hint)
        super().check_described()

    async def _describe(self) -> None:
        try:
            await super().describe(_DESCRIBING_SECONDS)
        finally:
            self._is_describing = False
            self._changed.notify()

    async def run(self, tasks: TaskGroup) -> None:
        """Keep the connection until cancelled.

        Args:
            tasks: ask the device what it is.
        """
        self._tasks = tasks
        self._is_tried = False
        self._began_at = now()
        self.is_watched = True
        try:
            if isinstance(self._where, Client):
                await self._accompany(self._where)
            else:
                await self._keep(self._where)
        finally:
            self._changed.notify()

    async def _keep(self, where: Sequence[Way]) -> None:
        """Keep a connection on the first way on which the device answers."""
        self._ways = ways = Ways(
            where,
            greet=self._greet,
            linger=_LONGEST_ANSWER_SECONDS if len(where) == 1 else 0.0,
            on_failure=lambda failure: self._fail(str(failure)),
        )
        async with keep_connected(ways, self._answers) as client:
            leave = client.connected.subscribe(lambda info: self._gain(client))
            try:
                await self._hear(client)
            finally:
                leave()

    async def _accompany(self, client: Client) -> None:
        """Use a client that somebody else keeps connected, for as long as he does."""
        backoff = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        async with task_group() as tasks:
            tasks.start_soon(self._hear, client)
            while True:
                begun = now()
                for peer in client._peers():
                    await self._stay(client, peer)
                if not self._is_tried:
                    self._fail("the client is not connected")
                backoff.connection_ended(now() - begun)
                await anyio.sleep(backoff.next_pause())

    async def _stay(self, client: Client, peer: Peer) -> None:
        """Use a client as long as the device answers."""
        with anyio.CancelScope() as scope:
            leave = client.lost.subscribe(lambda why: scope.cancel())
            try:
                await self._greet(peer)
                self._gain(client)
                await silence(peer)
                self._part("the device does not answer")
            except JsonRpcIotError as error:
                self._fail(str(error))
            finally:
                leave()

    async def _hear(self, client: Client) -> None:
        """Hear what a client hears, and when its connection ends, until that is for good."""
        leave_ends = client.lost.subscribe(self._part)
        leave_news = client._notifications.hear(self._note_news)
        try:
            await client._over.wait()
        finally:
            leave_news()
            leave_ends()
            self._part("")

    def _note_news(self, news: Notification) -> None:
        if not news.method.startswith("rpc.") and self.offers(news.method):
            self.on_notification(news.method, news.params)

    async def _greet(self, peer: Peer) -> None:
        """See whether the device answers, and how long it takes.

        Raises:
            CallTimeout: it does not, and nothing else shows that it is there.
            ConnectFailed: it is this gateway itself.
        """
        begun = now()
        try:
            is_ours = await ask(peer) is True
        except CallTimeout:
            has_choice = not isinstance(self._where, Client) and len(self._where) > 1
            if has_choice or has_no_connection(peer):
                raise
            self._round_trip = None
            return
        round_trip = now() - begun
        if is_ours:
            try:
                params = {"token": self._token}
                await peer.call(TRACE, params, timeout=ANSWER_SECONDS, idempotent=True)
            except RpcError as error:
                if error.message == LOOP:
                    raise ConnectFailed(f"{self.name}: {LOOP}") from None
            except (CallTimeout, MalformedResponse):
                pass
        self._round_trip = round_trip

    def _gain(self, client: Client) -> None:
        if self.target is None:
            self._since = time.time()
        self._url, self._last_error = shown(client.url), None
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

    def _fail(self, why: str) -> None:
        """Note why the device could not be reached."""
        why = _PLACE_OF_SECRET.sub("", why)
        if why != self._last_error:
            logger.info("%s: %s", self.name, why, extra=about(self.name))
            self._last_error = why
        if not self._is_tried:
            self._is_tried = True
            self._tell()

    def _tell(self) -> None:
        self._changed.notify()
        if self.is_watched:
            self.on_change()
