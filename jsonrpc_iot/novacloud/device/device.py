"""A device of a NovaCloud platform: it reports, takes commands, and stays connected.

What is promised of reports is decided in `session`; they wait in an `outbox`.
"""

import inspect
import logging
import math
import ssl
import time
from collections.abc import Callable, Container, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self, TypeAlias, TypeVar

import anyio
from anyio.abc import TaskGroup

from jsonrpc_iot import Dispatcher, MalformedFrame, MessageTooLarge, UsageError

from ..messages import (
    ACK,
    DEFAULT_PORT,
    LAST_SECOND,
    PLATFORM_TYPES,
    Auth,
    AuthPayload,
    AuthResponse,
    AuthResult,
    Command,
    UnreadableCommand,
    decode_from_platform,
    encode_line,
)
from .backoff import Backoff
from .commands import CommandRunner
from .key import find_key
from .link import Link, LinkLost
from .outbox import Outbox, OutboxFailed
from .outbox_rows import Kind
from .payload import encode_payload
from .session import PlatformSession
from .settings import DeviceCounts, DeviceSettings
from .systemd import Supervisor

F = TypeVar("F", bound=Callable[..., Any])
OnMessage: TypeAlias = Callable[[dict[str, Any]], object]

logger = logging.getLogger("jsonrpc_iot.novacloud")

_ENVELOPE = 128  # bytes of a line besides its payload
_USUAL_HEARTBEAT = (30, 180)
_MESSAGES_AT_ONCE = 64
_PARTING_SECONDS = 1.0
_GIVING_UP_SECONDS = 1.0
_ROWS_IN_MEMORY = 10_000
_BYTES_IN_MEMORY = 4 << 20


class _Refused(Exception):
    """The platform does not let the device in; the text is its reason."""


class NovaDevice:
    """A device, connected while its `async with` block runs, as far as the network lets it.

    Entering the block does not wait for the platform: reports wait in the outbox until it is there.

    Args:
        host: the platform's name or address.
        port: its port.
        device_id: the UUID that the platform knows the device by.
        device_key: the key; a `Path` of a TOML file with `device_key = "..."`; by default the
            environment variable NOVACLOUD_DEVICE_KEY.
        outbox: where reports wait: an `Outbox`, or the path of its file. Without one they wait in
            memory, and are lost with the program.
        tls: `True` to trust the system's authorities, or a context of your own.
        heartbeat: seconds between signs of life; platforms want 30 to 180.
        dispatcher: has the methods that commands call; several may share one with `serve`.
        permissions: what the platform may do, for methods that ask for it with `requires`.
        settings: limits and times.

    Raises:
        UsageError: there is no key, or the heartbeat is no time.

    Attributes:
        dispatcher: as above, or an empty one.
        outbox: what waits.
        counts: what has happened so far.
        refusal: why the platform does not let the device in, `None` as long as it has not said so.
    """

    def __init__(
        self,
        host: str,
        port: int = DEFAULT_PORT,
        *,
        device_id: str,
        device_key: str | Path | None = None,
        outbox: Outbox | str | Path | None = None,
        tls: ssl.SSLContext | bool | None = None,
        heartbeat: float = 60.0,
        dispatcher: Dispatcher | None = None,
        permissions: Container[str] | None = None,
        settings: DeviceSettings | None = None,
    ) -> None:
        if not 0 < heartbeat < math.inf:
            raise UsageError("heartbeat: a number of seconds above 0 is needed")
        if not _USUAL_HEARTBEAT[0] <= heartbeat <= _USUAL_HEARTBEAT[1]:
            logger.info("a heartbeat every %g s: platforms want 30 to 180 s", heartbeat)
        self._host = host
        self._port = port
        self._device_id = device_id
        self._key = find_key(device_key)
        self._tls = ssl.create_default_context() if tls is True else tls or None
        self._heartbeat = heartbeat
        self._settings = settings or DeviceSettings()
        self.dispatcher = dispatcher or Dispatcher()
        self.outbox = _outbox(outbox)
        self.counts = DeviceCounts()
        self.refusal: str | None = None
        self._commands = CommandRunner(
            self.dispatcher, permissions, self._settings, self.counts, self._send
        )
        self._on_message: dict[str, OnMessage] = {}
        self._backoff = Backoff(self._settings.schedule)
        self._session: PlatformSession | None = None
        self._connected = anyio.Event()
        self._handling = 0
        self._stack: AsyncExitStack | None = None
        self._tasks: TaskGroup

    def __repr__(self) -> str:
        state = "connected" if self.is_connected else "not connected"
        return f"<NovaDevice {self._device_id} at {self._host}:{self._port}, {state}>"

    @property
    def is_connected(self) -> bool:
        """Whether the platform has let the device in and the connection is not known to be over."""
        return self._session is not None

    async def connected(self) -> None:
        """Wait until the platform has let the device in."""
        while self._session is None:
            await self._connected.wait()

    def command(self, key: str) -> Callable[[F], F]:
        """Register a function for a command key; the same as `dispatcher.method(key)`."""
        return self.dispatcher.method(key)

    def on_message(self, type: str) -> Callable[[F], F]:
        """Register a function for a type of message that the protocol does not know.

        It is called with the whole message, a dict; what it returns is ignored.

        Raises:
            UsageError: the protocol does know the type, or it is taken.
        """
        if type in PLATFORM_TYPES or type in self._on_message:
            raise UsageError(f"messages of type {type!r} have a receiver already")

        def register(function: F) -> F:
            self._on_message[type] = function
            return function

        return register

    async def report(self, values: Mapping[str, Any], timestamp: float | None = None) -> None:
        """Report sensor values; returns once they are in the outbox.

        Args:
            values: by `value_key`: numbers, texts, booleans, lists or dicts.
            timestamp: when they were taken, in Unix seconds; now by default.

        Raises:
            OutboxFailed: the disk is full or broken.
            MessageTooLarge: they do not fit one line.
            Unencodable: JSON has no form for a value.
            UsageError: there are none, one is `None`, or the time is none.
        """
        await self._put("data", values, timestamp)

    async def send_status(self, status: Mapping[str, Any], timestamp: float | None = None) -> None:
        """Report how the device is: `battery` %, `signal` dBm, `uptime` s and the like.

        It goes the way of `report` and raises the same. Only platforms that acknowledge are told
        its time; others take the time of arrival.
        """
        await self._put("status", status, timestamp)

    async def __aenter__(self) -> Self:
        """Open the outbox, and begin to connect.

        Raises:
            OutboxFailed: the outbox cannot be opened.
        """
        if self._stack is not None:
            raise UsageError("the device runs already")
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.outbox)
            if self.outbox.path is not None:
                answers = self.outbox.path.with_name(f"{self.outbox.path.name}.answers")
                await self._commands.answers.open(answers)
                stack.push_async_callback(self._commands.answers.close)
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            self._supervisor = Supervisor()
            self._tasks.start_soon(self._keep_connected)
            if self._supervisor.watchdog is not None:
                self._tasks.start_soon(self._feed_watchdog, self._supervisor.watchdog / 2)
            self._supervisor.tell("READY=1")
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Finish commands, send what waits if that goes quickly, and close the connection."""
        assert self._stack is not None
        stack, self._stack = self._stack, None
        stack.push_async_callback(self._finish)
        await stack.aclose()  # the failure goes on by itself, in no group

    async def _finish(self) -> None:
        self._supervisor.tell("STOPPING=1")
        try:
            if self._session is not None:
                with anyio.move_on_after(self._settings.close_seconds):
                    await self._commands.finished()
                    await self._session.finished()
                with anyio.move_on_after(_GIVING_UP_SECONDS, shield=True):
                    await self._commands.give_up()
        finally:
            self._tasks.cancel_scope.cancel()

    async def _put(self, kind: Kind, values: Mapping[str, Any], timestamp: float | None) -> None:
        if timestamp is None:
            timestamp = round(time.time(), 3)
        elif not 0 <= timestamp <= LAST_SECOND:  # NaN too
            raise UsageError(f"timestamp={timestamp!r} is no Unix time in seconds")
        payload = encode_payload(values)
        longest = self._settings.line - _ENVELOPE
        if len(payload) > longest:
            raise MessageTooLarge(len(payload), longest)
        await self.outbox.put(kind, timestamp, payload)

    async def _keep_connected(self) -> None:
        while True:
            pause = await self._connect_once()
            logger.debug("connecting again in %.1f s", pause)
            await anyio.sleep(pause)

    async def _connect_once(self) -> float:
        """Connect and stay so as long as possible; returns the seconds until the next attempt."""
        try:
            lived = await self._connect_and_run()
        except LinkLost as lost:
            self.counts.failed_connections += 1
            logger.warning("%s:%d: not connected: %s", self._host, self._port, lost)
            return self._backoff.after_failure()
        except _Refused as refused:
            pause = self._backoff.after_refusal()
            self.counts.refusals += 1
            level = logging.INFO if self.refusal == str(refused) else logging.ERROR
            self.refusal = str(refused)
            logger.log(
                level,
                "%s:%d refuses device %s: %.200s; trying again in %.0f s",
                *(self._host, self._port, self._device_id, self.refusal, pause),
            )
            return pause
        return self._backoff.after_connection(lived)

    async def _connect_and_run(self) -> float:
        """Connect; returns the seconds that the connection lived.

        Raises:
            LinkLost: no connection could be had, or the platform did not let the device in.
            _Refused: it said no.
        """
        link = Link(self._heartbeat, self._settings.line, self._key.mask)
        await link.open(self._host, self._port, self._tls, seconds=self._settings.connect_seconds)
        try:
            acknowledges = await self._authenticate(link)
            began = anyio.current_time()
            session = PlatformSession(
                link,
                self.outbox,
                acknowledges=acknowledges,
                heartbeat=self._heartbeat,
                settings=self._settings,
                counts=self.counts,
                deliver=self._receive,
            )
            self._begin(session)
            try:
                await session.run()
            except* LinkLost as lost:
                logger.warning("%s:%d: %s", self._host, self._port, lost.exceptions[0])
            return anyio.current_time() - began
        finally:
            self._session = None
            with anyio.CancelScope(shield=True):
                await link.part(min(_PARTING_SECONDS, self._settings.close_seconds))

    async def _authenticate(self, link: Link) -> bool:
        """Say who we are; returns whether the platform acknowledges data."""
        payload = AuthPayload(
            device_id=self._device_id,
            device_key=self._key.reveal(),
            ext=[ACK],
            outbox_id=self.outbox.id,
        )
        await link.send(encode_line(Auth(payload=payload)), secret=True)
        with anyio.move_on_after(self._settings.auth_seconds):
            while True:
                try:
                    message = decode_from_platform(await link.receive())
                except MalformedFrame:
                    self.counts.malformed += 1
                    continue
                if isinstance(message, AuthResponse):
                    return self._understand(message.payload)
        raise LinkLost("the platform does not answer the authentication")

    def _understand(self, result: AuthResult) -> bool:
        if result.status == "error":
            raise _Refused(self._key.mask(result.message) or "no reason given")
        return ACK in result.ext

    def _begin(self, session: PlatformSession) -> None:
        self.counts.connections += 1
        self.refusal = None
        self._session = session
        self._connected.set()
        self._connected = anyio.Event()
        logger.info("%s:%d: connected", self._host, self._port)
        self._tasks.start_soon(self._commands.flush)

    async def _send(self, line: bytes) -> bool:
        """Send a line if the device is connected; returns whether it left."""
        if self._session is None:
            return False
        try:
            await self._session.link.send(line)
        except LinkLost:  # the session notices it too
            return False
        return True

    def _receive(self, message: Command | UnreadableCommand | dict[str, Any]) -> None:
        if isinstance(message, Command):
            self._commands.start(message, self._tasks)
            return
        if isinstance(message, UnreadableCommand):
            self.counts.malformed += 1
            self._commands.refuse(message, self._tasks)
            return
        handler = self._on_message.get(message["type"])
        if handler is None or self._handling >= _MESSAGES_AT_ONCE:
            self.counts.unknown_messages += 1
            logger.info("a message of type %.100r is left alone", message["type"])
            return
        self._handling += 1
        self._tasks.start_soon(self._handle, handler, message)

    async def _handle(self, handler: OnMessage, message: dict[str, Any]) -> None:
        try:
            outcome = handler(message)
            if inspect.isawaitable(outcome):
                await outcome
        except Exception:  # whatever a handler raises, the device goes on
            logger.exception("the receiver of %.100r failed", message["type"])
        finally:
            self._handling -= 1

    async def _feed_watchdog(self, pause: float) -> None:
        """Give signs of life as long as the event loop runs and the outbox answers."""
        while True:
            try:
                await self.outbox.read(self.outbox.last_seq, 1)
            except OutboxFailed as error:  # a broken disk is no reason for a restart
                logger.error("%s", error)
            self._supervisor.tell("WATCHDOG=1")
            await anyio.sleep(pause)


def _outbox(given: Outbox | str | Path | None) -> Outbox:
    if isinstance(given, Outbox):
        return given
    if given is None:
        return Outbox(max_rows=_ROWS_IN_MEMORY, max_bytes=_BYTES_IN_MEMORY)
    return Outbox(given)
