"""Forged senders over UDP: what they make a server send, in bytes, and that honest ends get all."""

import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import pytest

from jsonrpc_iot import Dispatcher, Limits, Server, connect, serve
from jsonrpc_iot.transports.packets.udp import UdpListener
from tests.waiting import SECONDS, eventually

pytestmark = pytest.mark.anyio

FACTOR, BYTES = Limits().unproved_factor, Limits().unproved_bytes
QUESTION = 48
"""Bytes of the largest `rpc.ping` that asks whether somebody is there."""


def device() -> Dispatcher:
    dispatcher = Dispatcher()

    @dispatcher.method
    def big(size: int = 1300) -> str:
        return "x" * size

    @dispatcher.method("log.read")
    async def read_log(count: int = 100) -> list[str]:
        return ["x" * 1300] * count

    @dispatcher.method
    def echo(value: Any) -> Any:
        return value

    return dispatcher


@asynccontextmanager
async def serving(options: str = "", limits: Limits | None = None) -> AsyncIterator[Server]:
    with anyio.fail_after(3 * SECONDS):
        async with serve(
            device(), f"udp://127.0.0.1:0{options}", limits=limits, grace=0.5
        ) as server:
            yield server


OPEN: list[socket.socket] = []


@pytest.fixture(autouse=True)
def close_sockets() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


class Address:
    """An address that sends what it is told, answers nothing by itself, and counts."""

    def __init__(self, server: Server, host: str = "127.0.0.1") -> None:
        parts = urlsplit(server.urls[0])
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((host, 0))
        self.socket.connect((parts.hostname, parts.port))
        OPEN.append(self.socket)
        self.sent = self.received = 0
        self.waiting: list[bytes] = []

    def send(self, message: bytes) -> None:
        self.sent += len(message)
        self.socket.send(message)

    async def receive(self) -> Any:
        """The next message, whatever it is."""
        if not self.waiting:
            await anyio.wait_readable(self.socket)
            self.drain()
        return json.loads(self.waiting.pop(0))

    async def receive_question(self) -> int:
        """Wait for the question whether somebody is here; what else comes is dropped."""
        while True:
            message = await self.receive()
            if message.get("method") == "rpc.ping":
                return int(message["id"])

    async def receive_news(self) -> Any:
        """Wait for what is pushed; what else comes is dropped."""
        while True:
            message = await self.receive()
            if message.get("method") == "telemetry":
                return message

    async def receive_reply(self) -> Any:
        """Wait for a response; what else comes is dropped."""
        while "result" not in (message := await self.receive()):
            pass
        return message

    async def settle(self, server: Server) -> None:
        """Return when the server has dealt with all that was sent before."""
        async with connect(server.urls[0]) as other:
            await other.call("echo", ["after"])
        self.drain()

    def drain(self) -> None:
        while True:
            try:
                self.waiting.append(self.socket.recv(65_535))
            except BlockingIOError:
                return
            self.received += len(self.waiting[-1])

    def answer(self, id: object, member: str = '"result":true') -> None:
        self.send(b'{"id":%s,%s}' % (json.dumps(id).encode(), member.encode()))


async def push(server: Server, count: int, size: int = 1300) -> None:
    for number in range(count):
        server.broadcast("telemetry", {"number": number, "text": "x" * size})
    await anyio.lowlevel.checkpoint()


STREAM = b'{"id":1,"method":"log.read","stream":true}'
STREAMS = b"[" + b",".join(STREAM.replace(b"1", b"%d" % id) for id in range(100)) + b"]"
BATCH = b'[{"id":1,"method":"big"},{"id":2,"method":"big"}]'
MORE = b'{"method":"rpc.more","params":{"id":1,"upto":100000}}'


@pytest.mark.parametrize("options", ["", "?segment=1", "?max=60000"])
@pytest.mark.parametrize(
    "messages",
    [
        (STREAM,),
        (STREAM, MORE, MORE),
        (STREAMS,),
        (BATCH,) * 20,
        (b'{"id":1,"method":"big","params":[50000]}',),
        (b'{"id":1,"method":"echo","params":["x"]}',) * 50,
        (b"!",),
        (b"",),
        (b'{"method":"nobody.hears"}',),
        (b'{"id":1,"error":{"code":-1,"message":""}}', b'{"id":null,"error":{"code":-1}}'),
    ],
    ids=[
        "stream",
        "credit",
        "streams",
        "batches",
        "big",
        "many",
        "junk",
        "nothing",
        "news",
        "lies",
    ],
)
async def test_a_forged_sender_gets_little_more_than_it_sent(
    options: str, messages: tuple[bytes, ...]
) -> None:
    async with serving(options) as server:
        address = Address(server)
        for message in messages:
            address.send(message)
        await address.settle(server)
        await push(server, 50)
        await address.settle(server)
        responses = 100 * len(messages) if len(messages) < 3 else 0  # errors, junk included
        assert address.received <= FACTOR * address.sent + QUESTION + responses


async def test_responses_are_bounded_by_time() -> None:
    async with serving() as server:
        address = Address(server)
        for id in range(30):
            address.send(b'{"id":%d,"method":"big"}' % id)
        await address.settle(server)
        assert BYTES - 1400 < address.received <= BYTES + FACTOR * address.sent + QUESTION


async def test_a_single_request_of_a_script_is_answered_at_once() -> None:
    async with serving() as server:
        for _ in range(20):
            address = Address(server)
            address.send(b'{"id":1,"method":"big"}')
            assert (await address.receive())["result"] == "x" * 1300


async def test_who_never_answers_gets_single_responses_still() -> None:
    async with serving() as server:
        address = Address(server)
        address.send(STREAM)
        await address.receive_question()
        for id in range(2, 300):
            address.send(b'{"id":%d,"method":"echo","params":["polled"]}' % id)
            assert await address.receive_reply() == {"id": id, "result": "polled"}


@pytest.mark.parametrize(
    "member", ['"result":true', '"result":null', '"error":{"code":-32601,"message":"no"}']
)
async def test_who_answers_gets_all_that_waited_in_order(member: str) -> None:
    async with serving() as server:
        address = Address(server)
        address.send(b'{"id":1,"method":"echo","params":[0]}')
        await address.receive()
        await push(server, 50)
        id = await address.receive_question()
        address.answer(id, member)
        numbers = [(await address.receive())["params"]["number"] for _ in range(50)]
        assert numbers == list(range(50))
        await push(server, 20)
        assert [(await address.receive())["params"]["number"] for _ in range(20)] == list(range(20))


async def test_an_answer_that_says_nothing_proves_nothing() -> None:
    async with serving() as server:
        address = Address(server)
        address.send(b'{"id":1,"method":"echo","params":[0]}')
        await address.receive()
        await push(server, 50)
        id = await address.receive_question()
        for wrong in (id + 1, id - 1, None, str(id), float(id), 1, True, 0):
            address.answer(wrong)
            address.answer(wrong, '"error":{"code":-32600,"message":"no"}')
        other = Address(server)
        other.answer(id)
        await address.settle(server)
        assert address.received <= FACTOR * address.sent + QUESTION
        before = len([each for each in address.waiting if b"telemetry" in each])
        address.answer(id)
        for number in range(50):
            assert (await address.receive_news())["params"]["number"] == number
        assert before < 50


async def test_an_echo_service_proves_nothing() -> None:
    async with serving() as server:
        address = Address(server)
        address.send(b'{"id":1,"method":"echo","params":[0]}')
        await address.receive()
        await push(server, 5)
        await anyio.wait_readable(address.socket)
        address.drain()
        (question,) = address.waiting
        address.send(question)
        await address.settle(server)
        assert address.waiting == [question]


async def test_a_question_that_was_lost_is_asked_again() -> None:
    async with serving() as server:
        address = Address(server)
        address.send(b'{"id":1,"method":"echo","params":[0]}')
        await address.receive()
        await push(server, 5)
        first = await address.receive_question()
        await anyio.sleep(0.45)  # the server's own patience
        address.send(b'{"id":2,"method":"echo","params":[0]}')
        assert await address.receive_question() == first
        address.answer(first)
        assert (await address.receive_news())["params"]["number"] == 0


async def test_a_late_answer_proves_it_still() -> None:
    async with serving(limits=Limits(unproved_wait_seconds=0.0, send_seconds=0.1)) as server:
        address = Address(server)
        address.send(b'{"id":1,"method":"echo","params":[0]}')
        await address.receive()
        await push(server, 5)
        id = await address.receive_question()
        demux = demux_of(server)
        assert demux.doubts is not None
        await eventually(lambda: demux.doubts is not None and demux.doubts.dropped == 5)
        assert demux.doubts.room.byte_count == server._limits.unproved_waiting_bytes
        address.answer(id)
        await address.settle(server)
        await push(server, 3)
        assert (await address.receive_news())["params"]["number"] == 0


def demux_of(server: Server) -> Any:
    (listener,) = server._listeners
    assert isinstance(listener, UdpListener)
    return listener.demux


async def test_a_flood_of_new_addresses_is_bounded_and_harms_nobody() -> None:
    room = 200_000
    async with serving(limits=Limits(unproved_waiting_bytes=room)) as server:
        addresses = [
            Address(server, f"127.3.{number // 250}.{number % 250 + 1}") for number in range(500)
        ]
        for address in addresses:
            address.send(b'{"method":"hello"}')
        await eventually(lambda: len(server.peers) == 500)
        await push(server, 20)
        doubts = demux_of(server).doubts
        assert doubts.room.byte_count >= 0
        assert doubts.dropped > 0
        for address in addresses:
            address.drain()
            assert address.received <= FACTOR * address.sent + QUESTION
        async with connect(server.urls[0]) as honest, honest.notifications() as news:
            await honest.call("echo", [1])
            await push(server, 1, 10)
            assert (await news.receive()).method == "telemetry"


async def test_room_is_given_back_when_peers_go() -> None:
    async with serving() as server:
        address = Address(server)
        address.send(b'{"method":"hello"}')
        await eventually(lambda: server.peers)
        await push(server, 20)
        demux = demux_of(server)
        assert demux.doubts.room.byte_count < server._limits.unproved_waiting_bytes
        await demux.expire(anyio.current_time() + 1000)
        assert demux.doubts.room.byte_count == server._limits.unproved_waiting_bytes
        assert not server.peers


@pytest.mark.parametrize("options", ["", "?segment=1"])
async def test_an_honest_client_does_not_notice(options: str) -> None:
    async with serving(options) as server, connect(server.urls[0]) as client:
        async with client.notifications() as news:
            assert await client.call("echo", ["hello"]) == "hello"
            await push(server, 50)
            numbers = [(await news.receive()).params["number"] for _ in range(50)]
            assert numbers == list(range(50))
        items = [item async for item in client.stream("log.read")]
        assert items == ["x" * 1300] * 100


async def test_a_big_answer_is_the_first_thing_that_a_client_gets() -> None:
    async with serving("?segment=1") as server, connect(server.urls[0]) as client:
        started = anyio.current_time()
        assert await client.call("big", [500_000]) == "x" * 500_000
        assert anyio.current_time() - started < 2


async def test_a_big_answer_to_a_forged_sender_is_not_sent() -> None:
    async with serving("?segment=1") as server:
        address = Address(server)
        address.send(b'{"id":1,"method":"big","params":[500000]}')
        await address.receive_question()
        await anyio.sleep(1.2)  # time for what would be sent again
        address.drain()
        assert address.received <= FACTOR * address.sent + QUESTION


async def test_reports_of_segments_are_paid_for() -> None:
    async with serving("?segment=1") as server:
        address = Address(server)
        for index in range(0, 4000, 2):  # each gap makes reports longer
            address.send(b"~00%03x%03xx" % (index, 4095))
        await address.settle(server)
        await anyio.sleep(0.3)
        address.drain()
        assert address.received <= FACTOR * address.sent + QUESTION


async def test_an_answered_call_of_ours_proves_it_too() -> None:
    async with serving() as server:
        address = Address(server)
        address.send(b'{"id":1,"method":"echo","params":["%s"]}' % (b"x" * 100))
        await address.receive()
        (peer,) = server.peers
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(peer.call, "name")
            request = await address.receive()
            assert request["method"] == "name"
            address.answer(request["id"])
        await push(server, 20)
        assert [(await address.receive())["params"]["number"] for _ in range(20)] == list(range(20))


async def test_a_stream_to_nobody_ends() -> None:
    limits = Limits(unproved_seconds=0.2)
    async with serving(limits=limits) as server:
        address = Address(server)
        address.send(b'{"id":1,"method":"log.read","stream":true,"params":[100000]}')
        address.send(MORE)
        await eventually(lambda: server.peers)
        (peer,) = server.peers
        await eventually(lambda: peer.is_busy)
        await eventually(lambda: not peer.is_busy)


@pytest.mark.parametrize("message", [b'{"id":1,"method":"echo","params":[1]}', STREAM])
async def test_forged_addresses_that_ask_for_something_keep_nobody_out(
    message: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jsonrpc_iot.protocol.unproved._ANSWER_SECONDS", 0.0)
    async with serving(limits=Limits(peers=20)) as server:
        for number in range(60):
            address = Address(server, f"127.4.0.{number + 1}")
            address.send(message)
            await address.receive()
        for _ in range(3):
            async with connect(server.urls[0]) as honest:
                assert await honest.call("echo", ["hello"]) == "hello"


async def test_who_had_to_go_is_told_that_nobody_knows_what_ran() -> None:
    async with serving(limits=Limits(peers=5)) as server:
        server._ended._began -= 60  # it has been listening for long
        honest = Address(server)
        honest.send(b'{"id":1,"method":"echo","params":[1],"retry":false}')
        await honest.receive()
        for number in range(5):
            other = Address(server, f"127.4.0.{number + 1}")
            other.send(b'{"id":1,"method":"echo","params":[1]}')
            await other.receive()
        honest.send(b'{"id":1,"method":"echo","params":[1],"retry":true}')
        assert (await honest.receive())["error"]["code"] == -32011
