"""aiomqtt's client, with three differences, which `_broker` is made of.

Messages are handed on as they arrive, with their DUP flag, which aiomqtt drops, and without a task
for each. What the broker confirms is told with the reason. And a connection that fails or is given
up at any point leaves nothing open.
"""

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import aiomqtt
from paho.mqtt.client import Client, DisconnectFlags, MQTTMessage
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

_TCP_SECONDS = 10.0
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)

_quiet = logging.getLogger("jsonrpc_iot.transports.mqtt.paho")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False  # what matters of it is raised or logged here


class Closed(aiomqtt.MqttError):
    """The broker closed the connection before it said anything."""


class ClosingSocket(ssl.SSLSocket):
    """A socket that closes itself when its handshake fails; paho (2.2) forgets it then."""

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands; see `ssl.SSLSocket.do_handshake`."""
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class Connection(aiomqtt.Client):
    """aiomqtt's client, which tells what it hears at once."""

    def __init__(
        self,
        on_arrival: Callable[[MQTTMessage], object],
        on_confirmed: Callable[[int, int], object],
        on_end: Callable[[], object],
        *arguments: Any,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, logger=_quiet, **options)
        self._on_arrival = on_arrival
        self._on_confirmed = on_confirmed
        self._on_end = on_end
        self._thread = threading.get_ident()
        self._client.connect_timeout = _TCP_SECONDS
        self._disconnected.add_done_callback(self._note_end)

    @property
    def paho(self) -> Client:
        """The client below."""
        return self._client

    async def open(self) -> None:
        """Connect. Whoever is cancelled meanwhile leaves a thread that cleans up after itself."""
        opening = asyncio.ensure_future(self.__aenter__())
        try:
            await asyncio.shield(opening)
        except BaseException:
            opening.add_done_callback(self._abandon)
            if not self._connected.done():
                self._connected.set_exception(Closed("given up"))
            raise

    def _abandon(self, opening: "asyncio.Future[Any]") -> None:
        if not opening.cancelled():
            opening.exception()  # so that nobody misses it
        if self._connected.done() and not self._connected.cancelled():
            self._connected.exception()
        self.abort()

    def abort(self) -> None:
        """Close the socket without a word."""
        self._client._sock_close()
        # What the thread that connected has asked for may still be on its way.
        self._loop.call_soon(self._stop_misc)
        if not self._disconnected.done():
            self._disconnected.set_result(None)

    def _stop_misc(self) -> None:
        if self._misc_task is not None:
            self._misc_task.cancel()

    def _note_end(self, disconnected: "asyncio.Future[None]") -> None:
        failure = None if disconnected.cancelled() else disconnected.exception()
        if not self._connected.done():
            self._connected.set_exception(Closed(str(failure or "the broker closed it")))
            self._connected.exception()  # aiomqtt may have put a future there that nobody awaits
        self._on_end()

    def _on_socket_register_write(self, client: Client, userdata: Any, sock: Any) -> None:
        if threading.get_ident() == self._thread:
            self._write_when_possible(sock)
        else:  # the one that connects
            self._loop.call_soon_threadsafe(self._write_when_possible, sock)

    def _write_when_possible(self, sock: Any) -> None:
        if sock.fileno() >= 0:  # it may be closed by now
            self._loop.add_writer(sock.fileno(), self._write)

    def _write(self) -> None:
        try:
            self._client.loop_write()
        except Exception as error:  # noqa: BLE001  # as aiomqtt does it: the connection is gone
            if not self._disconnected.done():
                self._disconnected.set_exception(error)

    def _on_disconnect(
        self,
        client: Client,
        userdata: Any,
        flags: DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if not self._connected.done():
            self._connected.set_exception(Closed("the broker closed the connection"))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_message(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        self._acknowledge()
        self._on_arrival(message)

    def _acknowledge(self) -> None:
        """Have the kernel acknowledge what came, which it does not go on doing by itself.

        A broker without TCP_NODELAY, as Mosquitto is by default, waits for that before it sends
        the next message: 40 ms, several times a call.
        """
        raw = self._client.socket()
        if _QUICKACK is not None and isinstance(raw, socket.socket):
            with suppress(OSError):  # it is broken, which shows elsewhere
                raw.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def _on_publish(
        self,
        client: Client,
        userdata: Any,
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,
    ) -> None:
        self._acknowledge()
        self._on_confirmed(mid, getattr(reason_code, "value", 0))
        super()._on_publish(client, userdata, mid, reason_code, properties)
