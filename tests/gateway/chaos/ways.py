"""Raw ways to a gateway, without any of our code: each asks one thing, and waits for the answer.

A way is opened for each caller. Where its connection ends it raises one of `GONE`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import paho.mqtt.client as paho
from anyio import BrokenResourceError, EndOfStream, IncompleteRead
from anyio.streams.buffered import BufferedByteReceiveStream
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from websockets.asyncio.client import connect as websocket_connect
from websockets.exceptions import WebSocketException

Ask = Callable[[bytes], Awaitable[bytes]]
Way = Callable[[], AbstractAsyncContextManager[Ask]]

GONE = (
    OSError,
    BrokenResourceError,
    EndOfStream,
    IncompleteRead,
    WebSocketException,
    httpx2.TransportError,
)


def is_answer(message: bytes) -> bool:
    """Whether it is neither a notification nor a question."""
    return "method" not in json.loads(message)


def by_tcp(url: str) -> Way:
    """A connection with one message a line."""

    @asynccontextmanager
    async def way() -> AsyncIterator[Ask]:
        parts = urlsplit(url)
        async with await anyio.connect_tcp(str(parts.hostname), parts.port or 0) as stream:
            lines = BufferedByteReceiveStream(stream)

            async def ask(message: bytes) -> bytes:
                await stream.send(message + b"\n")
                while not is_answer(line := await lines.receive_until(b"\n", 1 << 16)):
                    pass
                return line

            yield ask

    return way


def by_websocket(url: str) -> Way:
    """A WebSocket."""

    @asynccontextmanager
    async def way() -> AsyncIterator[Ask]:
        async with websocket_connect(url, proxy=None, close_timeout=1.0) as socket:

            async def ask(message: bytes) -> bytes:
                await socket.send(message, text=True)
                while not is_answer(text := await socket.recv(decode=False)):
                    pass
                return text

            yield ask

    return way


def by_http(web: httpx2.AsyncClient, url: str) -> Way:
    """POSTs; the client is for all callers, each of which has one open at a time."""

    @asynccontextmanager
    async def way() -> AsyncIterator[Ask]:
        async def ask(message: bytes) -> bytes:
            response = await web.post(url, content=message)
            status = f"status {response.status_code}".encode()
            return response.content if response.status_code == 200 else status

        yield ask

    return way


class _Box:
    """Where the answers for one caller arrive.

    Attributes:
        asked: all its questions.
        question: the last one.
        answer: to that one.
    """

    def __init__(self) -> None:
        self.asked: set[bytes] = set()
        self.question = b""
        self.answer: asyncio.Future[bytes] | None = None

    def ask(self, question: bytes) -> asyncio.Future[bytes]:
        self.asked.add(question)
        self.question = question
        self.answer = asyncio.get_running_loop().create_future()
        return self.answer

    def take(self, question: bytes, answer: bytes) -> None:
        """Take an answer, unless it is a late one; one for somebody else is taken, to be seen."""
        is_late = question in self.asked and question != self.question
        if self.answer is not None and not self.answer.done() and not is_late:
            self.answer.set_result(answer)

    def lose(self) -> None:
        """Learn that no answer can be hoped for."""
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(EndOfStream())


class Post:
    """One connection to a broker for many callers, made again whenever it is lost.

    As MQTT has it, what the broker has not confirmed is sent again then. Callers wait no longer
    when the connection is lost, or when the gateway is said to be away.

    Args:
        port: of the broker on this machine.
        topic: of the gateway.
    """

    def __init__(self, port: int, topic: str) -> None:
        self._presence = f"{topic}/online"
        self._loop = asyncio.get_running_loop()
        self._boxes: dict[str, _Box] = {}
        self._unconfirmed: dict[int, asyncio.Future[bytes]] = {}
        self._client = client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.reconnect_delay_set(0.1, 1.0)  # type: ignore[arg-type]
        client.on_connect = self._subscribe
        client.on_disconnect = self._lose_all
        client.on_message = self._take
        client.on_publish = self._confirm
        client.connect("127.0.0.1", port)
        client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._client._reset_sockets()  # those that woke its thread

    def way(self, topic: str, caller: int) -> Way:
        """The way of one caller, with a topic of its own for the answers."""
        answers = f"{topic}/response/raw-{caller}"
        box = self._boxes[answers] = _Box()
        self._client.subscribe(answers, 1)

        async def ask(message: bytes) -> bytes:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.ResponseTopic = answers
            properties.CorrelationData = message
            answer = box.ask(message)
            info = self._client.publish(topic, message, 1, properties=properties)
            self._unconfirmed[info.mid] = answer
            return await answer

        @asynccontextmanager
        async def way() -> AsyncIterator[Ask]:
            yield ask

        return way

    def _subscribe(self, client: paho.Client, *_: Any) -> None:
        for topic in (self._presence, *self._boxes):
            client.subscribe(topic, 1)

    def _lose_all(self, *_: Any) -> None:
        for box in tuple(self._boxes.values()):
            self._loop.call_soon_threadsafe(box.lose)

    def _take(self, _: paho.Client, __: object, message: paho.MQTTMessage) -> None:
        if message.topic == self._presence:
            if message.payload == b"false":
                self._lose_all()
            return
        question = getattr(message.properties, "CorrelationData", b"")
        take = self._boxes[message.topic].take
        self._loop.call_soon_threadsafe(take, question, bytes(message.payload))

    def _confirm(self, _: paho.Client, __: object, mid: int, reason: Any, ___: object) -> None:
        self._loop.call_soon_threadsafe(self._note_confirmed, mid, reason.value)

    def _note_confirmed(self, mid: int, reason: int) -> None:
        answer = self._unconfirmed.pop(mid, None)
        if answer is not None and not answer.done() and reason:  # nobody was there to take it
            answer.set_exception(EndOfStream())
