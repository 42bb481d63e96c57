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

from jsonrpc_iot import Dispatcher, MessageTooLarge, UsageError

from ..messages import DEFAULT_PORT, LAST_SECOND, PLATFORM_TYPES, Command, UnreadableCommand
from .batches import Batches
from .commands import CommandRunner
from .connection import Account, Connection
from .key import find_key
from .outbox import Outbox, OutboxFailed
from .payload import encode_payload
from .pulse import Pulse
from .remote_log import DeviceLogHandler
from .settings import DeviceCounts, DeviceSettings
from .systemd import Supervisor

F = TypeVar("F", bound=Callable[..., Any])
OnMessage: TypeAlias = Callable[[dict[str, Any]], object]

logger = logging.getLogger("jsonrpc_iot.novacloud")

_ENVELOPE = 128  # bytes of a line besides its payload
_USUAL_HEARTBEAT = (30, 180)
_MESSAGES_AT_ONCE = 64
_GIVING_UP_SECONDS = 1.0
_ROWS_IN_MEMORY = 10_000
_BYTES_IN_MEMORY = 4 << 20


class NovaDevice:
    """A device, connected while its `async with` block runs, as far as the network lets it.

    Entering the block does not wait for the platform: reports wait in the outbox until it is there.

    Args:
        host: the platform's name or address.
        port: its port.
        device_id: the UUID that the platform knows the device by.
        device_key: the key; a `Path` of a TOML file with `device_key = "..."`; by default the
            environment variable NOVACLOUD_DEVICE_KEY. With a context for `tls` there need be none.
        outbox: where reports wait: an `Outbox`, or the path of its file. Without one they wait in
            memory, and are lost with the program.
        tls: `True` to trust the system's authorities, or a context of your own; its certificate,
            whose common name is the id, proves to a platform that asks for it who the device is.
        heartbeat: seconds between signs of life; platforms want 30 to 180.
        bad_line_heartbeat: seconds between them while the line is bad: from two losses of the
            connection within ten minutes until an hour without one. At least 30, and less than
            `heartbeat`; `None` for no difference.
        batch_seconds: how long a report waits for others, to leave with them; 0 for not at all.
            Those without a `timestamp` then get the time of the first of them.
        dispatcher: has the methods that commands call; several may share one with `serve`.
        permissions: what the platform may do, for methods that ask for it with `requires`.
        settings: limits and times.

    Raises:
        UsageError: there is no key, or a time is none that may be.

    Attributes:
        dispatcher: as above, or an empty one.
        outbox: what waits.
        counts: what has happened so far.
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
        bad_line_heartbeat: float | None = None,
        batch_seconds: float = 0.0,
        dispatcher: Dispatcher | None = None,
        permissions: Container[str] | None = None,
        settings: DeviceSettings | None = None,
    ) -> None:
        _check_times(heartbeat, bad_line_heartbeat, batch_seconds)
        secured = ssl.create_default_context() if tls is True else tls or None
        key = find_key(device_key, is_needed=not isinstance(tls, ssl.SSLContext))
        self._account = Account(host, port, secured, device_id, key)
        self._settings = settings or DeviceSettings()
        self.dispatcher = dispatcher or Dispatcher()
        self.outbox = _outbox(outbox)
        self.counts = DeviceCounts()
        self._batches = Batches(self.outbox, batch_seconds, self._settings.line - _ENVELOPE)
        self._connection = Connection(
            self._account,
            self.outbox,
            Pulse(heartbeat, bad_line_heartbeat),
            self._settings,
            self.counts,
            deliver=self._receive,
            begun=self._begin,
        )
        self._commands = CommandRunner(
            self.dispatcher, permissions, self._settings, self.counts, self._connection.send
        )
        self._on_message: dict[str, OnMessage] = {}
        self._logs: list[DeviceLogHandler] = []
        self._handling = 0
        self._stack: AsyncExitStack | None = None
        self._tasks: TaskGroup

    def __repr__(self) -> str:
        state = "connected" if self.is_connected else "not connected"
        where = f"{self._account.host}:{self._account.port}"
        return f"<NovaDevice {self._account.device_id} at {where}, {state}>"

    @property
    def is_connected(self) -> bool:
        """Whether the platform has let the device in and the connection is not known to be over."""
        return self._connection.session is not None

    @property
    def refusal(self) -> str | None:
        """Why the platform does not let the device in, `None` as long as it has not said so."""
        return self._connection.refusal

    async def connected(self) -> None:
        """Wait until the platform has let the device in."""
        await self._connection.connected()

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
            timestamp: when they were taken, in Unix seconds; now by default, or when the first
                report was made that this one leaves with.

        Raises:
            OutboxFailed: the disk is full or broken.
            MessageTooLarge: they do not fit one line.
            Unencodable: JSON has no form for a value.
            UsageError: there are none, one is `None`, or the time is none.
        """
        payload = self._encode(values, timestamp)
        at, batch = self._batches.place(payload, timestamp)
        await self.outbox.put("data", at, payload, batch)

    async def send_status(self, status: Mapping[str, Any], timestamp: float | None = None) -> None:
        """Report how the device is: `battery` %, `signal` dBm, `uptime` s and the like.

        It goes the way of `report` and raises the same, but waits for no other report, nor do
        those before it. Only platforms that acknowledge are told its time; others take the time of
        arrival.
        """
        payload = self._encode(status, timestamp)
        self._batches.end()
        at = round(time.time(), 3) if timestamp is None else timestamp
        seq = await self.outbox.put("status", at, payload)
        self.outbox.release(seq)

    def flush(self) -> None:
        """Have the reports so far leave without waiting for others; see `batch_seconds`."""
        self._batches.end()

    def log_handler(
        self,
        level: int = logging.WARNING,
        *,
        seconds: float = 10.0,
        records: int = 100,
        size: int = 4096,
    ) -> DeviceLogHandler:
        """A handler for `logging` that sends records to the platform, while the device runs.

        They are statuses with `log`, a list of `{"at", "level", "logger", "message"}`, and
        `log_dropped`, the number of all records that were dropped so far, if any were.

        Args:
            level: the least level that is sent.
            seconds: between two statuses, at least.
            records: that may wait; those beyond are dropped.
            size: bytes of the records of one status, roughly.

        Raises:
            UsageError: a bound is not above 0.
        """
        handler = DeviceLogHandler(level, seconds, records, size, self._account.key.mask)
        self._logs.append(handler)
        if self._stack is not None:
            self._tasks.start_soon(self._send_log, handler)
        return handler

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
            self._tasks.start_soon(self._connection.run)
            if self._supervisor.watchdog is not None:
                self._tasks.start_soon(self._feed_watchdog, self._supervisor.watchdog / 2)
            for handler in self._logs:
                self._tasks.start_soon(self._send_log, handler)
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
        self.flush()
        session = self._connection.session
        try:
            with anyio.move_on_after(self._settings.close_seconds):
                for handler in self._logs:
                    await handler.send(self.send_status)
            if session is not None:
                with anyio.move_on_after(self._settings.close_seconds):
                    await self._commands.finished()
                    self.flush()  # what they reported
                    await session.finished()
                with anyio.move_on_after(_GIVING_UP_SECONDS, shield=True):
                    await self._commands.give_up()
        finally:
            self._tasks.cancel_scope.cancel()

    def _encode(self, values: Mapping[str, Any], timestamp: float | None) -> bytes:
        if timestamp is not None and not 0 <= timestamp <= LAST_SECOND:  # NaN too
            raise UsageError(f"timestamp={timestamp!r} is no Unix time in seconds")
        payload = encode_payload(values)
        longest = self._settings.line - _ENVELOPE
        if len(payload) > longest:
            raise MessageTooLarge(len(payload), longest)
        return payload

    async def _send_log(self, handler: DeviceLogHandler) -> None:
        await handler.run(lambda: self.is_connected, self.send_status)
        self._logs.remove(handler)

    def _begin(self) -> None:
        self._tasks.start_soon(self._commands.flush)

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


def _check_times(heartbeat: float, on_bad_line: float | None, batch_seconds: float) -> None:
    if not 0 < heartbeat < math.inf:
        raise UsageError("heartbeat: a number of seconds above 0 is needed")
    if not _USUAL_HEARTBEAT[0] <= heartbeat <= _USUAL_HEARTBEAT[1]:
        logger.info("a heartbeat every %g s: platforms want 30 to 180 s", heartbeat)
    if on_bad_line is not None and not _USUAL_HEARTBEAT[0] <= on_bad_line < heartbeat:
        raise UsageError("bad_line_heartbeat: at least 30 s, and less than heartbeat")
    if not 0 <= batch_seconds < math.inf:
        raise UsageError("batch_seconds: a number of seconds is needed, 0 for no batches")


def _outbox(given: Outbox | str | Path | None) -> Outbox:
    if isinstance(given, Outbox):
        return given
    if given is None:
        return Outbox(max_rows=_ROWS_IN_MEMORY, max_bytes=_BYTES_IN_MEMORY)
    return Outbox(given)
