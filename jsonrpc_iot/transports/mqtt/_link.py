"""One connection to an MQTT broker as plain async code, on asyncio's loop.

Paho reads and writes the packets and knows which of them wait for an acknowledgement. Beside its
public interface only what it reads is taken hold of, see `_bounds`: it connects in a thread, and
from then on the loop tells it when its socket can be read or written. What messages mean, which
version to speak and whether to connect again is left to others.

Source: MQTT 3.1.1 and 5.0 (OASIS).
"""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from paho.mqtt.client import MQTT_ERR_SUCCESS, Client, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ._facts import (
    ANSWER_SECONDS,
    Arrived,
    Facts,
    LinkLost,
    LinkRefused,
    LinkSilent,
    Settings,
    connect_properties,
    new_client,
    read_facts,
)

_PARTING_SECONDS = 1.0
_WAITING = 1000
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
_KEEP_ALIVE_TIMEOUT = 141


class Link:
    """A connection, until it ends. There is no second life: open another one.

    What arrives waits until it is taken, and is acknowledged then. When much waits, nothing more is
    read, so that the broker is held back.

    Args:
        settings: how to connect.

    Attributes:
        facts: what the broker says of itself.
        ended: why there is no connection any more, `None` while there is one.
        oversize: messages that were larger than what is taken in, and dropped.
        on_confirmed: is told the number of each message that the broker has answered for, or that
            has left where it does not answer (QoS 0), and what the broker says.
        on_end: is called once, when the connection has ended.
    """

    def __init__(self, settings: Settings) -> None:
        self.facts = Facts()
        self.ended: str | None = None
        self.oversize = 0
        self.on_confirmed: Callable[[int, ReasonCode], object] = lambda mid, reason: None
        self.on_end: Callable[[], object] = lambda: None
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._subscribing: dict[int, asyncio.Future[ReasonCode]] = {}
        self._arrived: deque[Arrived] = deque()
        self._bytes = 0
        self._is_paused = False
        self._is_deaf = False
        self._waits_for_room = False
        self._wake: asyncio.Event | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._paho = paho = new_client(settings)
        self.unsubscribe = paho.unsubscribe  # nobody waits for what the broker says to that
        paho.on_connect = self._note_connected
        paho.on_disconnect = self._note_disconnected
        paho.on_subscribe = self._note_subscribed
        paho.on_publish = self._note_published
        paho.on_message = self._note_message
        paho.on_socket_close = self._detach
        paho.on_socket_register_write = self._want_write

    @classmethod
    async def open(cls, settings: Settings) -> "Link":
        """Connect. Whoever gives up meanwhile leaves a thread that cleans up after itself.

        Raises:
            LinkRefused: the broker does not let us.
            LinkSilent: it does not answer in time.
            LinkLost: it closes the connection.
            OSError: there is no broker, or it is not the one that we trust.
            ValueError: the name of the host or the port is none.
        """
        link = cls(settings)
        try:
            await link._connect()
        except BaseException:
            link.abort()
            raise
        return link

    async def _connect(self) -> None:
        settings = self._settings
        connect = partial(self._paho.connect, properties=connect_properties(settings))
        connecting = self._loop.run_in_executor(
            None, connect, settings.host, settings.port, settings.keepalive
        )
        try:
            await asyncio.shield(connecting)
        except asyncio.CancelledError:
            connecting.add_done_callback(self._clean_up)
            raise
        self._attach()
        try:
            async with asyncio.timeout(settings.seconds):
                await self._connected
        except TimeoutError:
            raise LinkSilent("the broker does not answer") from None
        self._keep_alive()

    def _clean_up(self, connecting: "asyncio.Future[MQTTErrorCode]") -> None:
        if not connecting.cancelled():
            connecting.exception()  # nobody waits for it any more
        if (late := self._paho.socket()) is not None:
            late.close()

    async def subscribe(self, topic: str, qos: int) -> ReasonCode:
        """Subscribe; returns what the broker says to that: the QoS that it grants, or a failure.

        Raises:
            LinkLost: the connection is gone.
        """
        if self.ended is not None:
            raise LinkLost(self.ended)
        result, mid = self._paho.subscribe(topic, qos)
        if result != MQTT_ERR_SUCCESS or mid is None:
            raise LinkLost("the connection is gone")
        answer: asyncio.Future[ReasonCode] = self._loop.create_future()
        self._subscribing[mid] = answer
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await answer
        except TimeoutError:
            raise LinkSilent("the broker does not answer") from None
        finally:
            del self._subscribing[mid]

    def publish(
        self,
        topic: str,
        data: bytes,
        qos: int,
        properties: Properties | None = None,
        *,
        retain: bool = False,
    ) -> int | None:
        """Publish a message; `on_confirmed` is told what becomes of it.

        Returns:
            Its number, `None` when it will not be sent.
        """
        if self.ended is not None:
            return None
        info = self._paho.publish(topic, data, qos, retain, properties)
        return info.mid if info.rc == MQTT_ERR_SUCCESS else None

    async def receive(self) -> list[Arrived]:
        """Wait until something has arrived, and take all of that.

        Raises:
            LinkLost: the connection is gone.
        """
        while not self._arrived:
            if self.ended is not None or self._is_deaf:
                raise LinkLost(self.ended or "closed")
            await self._next_event()
        return self.take()

    def stop_receiving(self) -> None:
        """Have `receive` fail from now on, and drop what arrives."""
        self._is_deaf = True
        self.take()
        self._wake_up()

    def take(self) -> list[Arrived]:
        """Take what has arrived."""
        taken = list(self._arrived)
        self._arrived.clear()
        self._bytes = 0
        for each in taken:
            if each.acknowledge_as and self.ended is None:
                self._paho.ack(each.acknowledge_as, 1)
        if self._is_paused:
            self._resume()
        return taken

    async def aclose(self) -> None:
        """Say goodbye, and close the connection."""
        try:
            if self.ended is None:
                self._paho.disconnect()
                async with asyncio.timeout(_PARTING_SECONDS):
                    while self.ended is None:
                        await self._next_event()
        except TimeoutError:
            pass
        finally:
            self.abort()

    def abort(self, why: str = "closed") -> None:
        """Close the connection without a word; safe wherever paho may be just now.

        Args:
            why: what those are told who use it.
        """
        if self._socket is not None:
            closing = self._socket
            self._detach()
            closing.close()
        self._end(why)

    def _attach(self) -> None:
        paho_socket = self._paho.socket()
        if not isinstance(paho_socket, socket.socket):
            raise LinkLost("the connection is gone")
        self._socket = paho_socket
        paho_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop.add_reader(paho_socket.fileno(), self._read)
        self._loop.call_soon(self._write)

    def _detach(self, *ignored: object) -> None:
        """Forget the socket, which is about to be closed."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
            self._socket = None

    def _want_write(self, *ignored: object) -> None:
        if self._socket is not None:  # else it is the thread that connects
            self._loop.call_soon(self._write)

    def _read(self) -> None:
        if self._socket is None or self._is_paused:
            return
        try:
            self._paho.loop_read()
        except Exception as error:  # noqa: BLE001  # the broker sends what paho cannot read
            self._fail(error)
        if self._socket is None:
            return
        if _QUICKACK is not None:
            # A broker without TCP_NODELAY, as Mosquitto is by default, waits for the kernel's
            # acknowledgement before it sends the next message: 40 ms, several times a call. The
            # kernel does not go on acknowledging at once by itself.
            with suppress(OSError):  # it is broken, which shows elsewhere
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            self._loop.call_soon(self._read)  # the kernel has no more to tell of that

    def _write(self) -> None:
        """Write what waits: at once, and what the kernel has no room for when it has."""
        if self._socket is None:
            return
        try:
            self._paho.loop_write()
        except Exception as error:  # noqa: BLE001  # as above
            self._fail(error)
        self._watch_for_room(self._paho.want_write())

    def _watch_for_room(self, has_more: bool) -> None:
        if self._socket is None or has_more == self._waits_for_room:
            return
        self._waits_for_room = has_more
        if has_more:
            self._loop.add_writer(self._socket.fileno(), self._write)
        else:
            self._loop.remove_writer(self._socket.fileno())

    def _fail(self, error: Exception) -> None:
        self.abort(f"the connection failed: {error!r}")

    def _keep_alive(self) -> None:
        """Have paho ask whether the broker is there, unless nothing it says would be read."""
        if not self._is_paused:
            self._paho.loop_misc()
        if self.ended is None:
            pause = max(1.0, self._paho.keepalive / 6)
            self._timer = self._loop.call_later(pause, self._keep_alive)

    def _pause(self) -> None:
        self._is_paused = True
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())

    def _resume(self) -> None:
        self._is_paused = False
        if self._socket is not None:
            self._loop.add_reader(self._socket.fileno(), self._read)
            self._loop.call_soon(self._read)  # TLS may hold what the kernel has given away

    def _end(self, why: str) -> None:
        if self.ended is not None:
            return
        self.ended = why
        if self._timer is not None:
            self._timer.cancel()
        lost = LinkLost(why)
        if not self._connected.done():
            self._connected.set_exception(lost)
            self._connected.exception()  # it may be that nobody asks
        for answer in self._subscribing.values():
            if not answer.done():
                answer.set_exception(lost)
        self._wake_up()
        self.on_end()

    async def _next_event(self) -> None:
        self._wake = self._wake or asyncio.Event()
        await self._wake.wait()

    def _wake_up(self) -> None:
        if self._wake is not None:
            self._wake.set()
            self._wake = None

    def _note_connected(
        self,
        paho: Client,
        userdata: object,
        flags: object,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if self._connected.done():
            return
        if reason.is_failure:
            self._connected.set_exception(LinkRefused(reason))
            return
        self.facts = read_facts(properties)
        self._connected.set_result(None)

    def _note_disconnected(
        self,
        paho: Client,
        userdata: object,
        flags: DisconnectFlags,
        reason: ReasonCode,
        properties: object,
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._end(f"the broker closed the connection: {reason}")
        elif reason.value == _KEEP_ALIVE_TIMEOUT:
            self._end("the broker does not answer any more")
        elif reason.is_failure:
            self._end("the broker closed the connection")
        else:
            self._end("closed")

    def _note_subscribed(
        self, paho: Client, userdata: object, mid: int, reasons: list[ReasonCode], *rest: object
    ) -> None:
        answer = self._subscribing.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(reasons[0])

    def _note_published(
        self, paho: Client, userdata: object, mid: int, reason: ReasonCode, *rest: object
    ) -> None:
        self.on_confirmed(mid, reason)

    def _note_message(self, paho: Client, userdata: object, message: MQTTMessage) -> None:
        mid = message.mid if message.qos else 0
        is_cut = self._paho.reader is not None and self._paho.reader.is_cut
        is_oversize = is_cut or len(message.payload) > self._settings.max_payload
        self.oversize += is_oversize
        if is_oversize or self._is_deaf:
            paho.ack(mid, message.qos)
            return
        properties = message.properties
        self._arrived.append(
            Arrived(
                message.topic,
                bytes(message.payload),
                message.retain,
                message.dup,
                getattr(properties, "ResponseTopic", None),
                getattr(properties, "CorrelationData", None),
                mid,
            )
        )
        self._bytes += len(message.payload)
        if len(self._arrived) >= _WAITING or self._bytes > self._settings.max_payload:
            self._pause()
        self._wake_up()
