"""`?segment=1`: messages of many packets, over links that lose, double and reorder them."""

import random
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import pytest

from jsonrpc_iot import (
    CallTimeout,
    Channel,
    Context,
    Dispatcher,
    InvalidUrl,
    Limits,
    MalformedResponse,
    MessageTooLarge,
    ParseError,
    TooLarge,
    connect,
    serve,
)
from jsonrpc_iot.channel.wrappers import TracedChannel, WrappedChannel
from jsonrpc_iot.protocol.segments.format import AssemblyBudget
from jsonrpc_iot.testing import Faults, LossyLink, check_channel_contract, memory_pair, served
from jsonrpc_iot.transports import open_channel, open_listener
from jsonrpc_iot.transports.packets.segmented_channel import SegmentedChannel

pytestmark = pytest.mark.anyio

SECONDS = 20.0
MEGABYTE = 1_000_000
UDP = "udp://127.0.0.1:0?segment=1"


def new_device() -> Dispatcher:
    dispatcher = Dispatcher()
    dispatcher.method("big")(lambda size: "x" * size)
    dispatcher.method("echo")(lambda value: value)
    return dispatcher


def wrapped(channel: Channel, limits: Limits = Limits()) -> SegmentedChannel:
    return SegmentedChannel(channel, limits)


class Expiring(WrappedChannel):
    """Notes which packets leave, and how long each is waited for then; `None` if nobody does."""

    def __init__(self, inner: Channel) -> None:
        super().__init__(inner)
        self.expected: dict[bytes, float | None] = {}
        self.left: list[tuple[bytes, float | None]] = []

    def expect_within(self, message: bytes, seconds: float | None) -> None:
        self.expected[message] = seconds

    def forget(self, message: bytes) -> None:
        self.expected.pop(message, None)

    async def send_batch(self, messages: Sequence[bytes]) -> None:
        self.left += [(message, self.expected.get(message)) for message in messages]
        await self._inner.send_batch(messages)


async def read(channel: Channel) -> None:
    """Receive as a peer does, whatever comes."""
    try:
        while True:
            await channel.receive_batch()
    except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
        return


@asynccontextmanager
async def pair(
    packet: int, budget: AssemblyBudget | None = None
) -> AsyncIterator[tuple[SegmentedChannel, SegmentedChannel]]:
    """Both ends of a link that loses nothing."""
    ends = memory_pair(max_message=packet)
    here, there = (SegmentedChannel(end, Limits(), budget) for end in ends)
    with anyio.fail_after(SECONDS):
        try:
            yield here, there
        finally:
            for end in (here, there):
                await anyio.aclose_forcefully(end)


# A link that loses nothing


async def test_all_arrives_in_order_between_two_ends_that_read() -> None:
    sent = [b"[%d]" % n + b"x" * (n * 997 % 5000) for n in range(100)]
    got: list[list[bytes]] = [[], []]
    async with pair(220) as (here, there), anyio.create_task_group() as tasks:

        async def collect(channel: Channel, found: list[bytes]) -> None:
            while True:
                found += await channel.receive_batch()
                if len(got[0]) == len(got[1]) == len(sent):
                    tasks.cancel_scope.cancel()

        for channel, found in ((here, got[1]), (there, got[0])):
            tasks.start_soon(collect, channel, found)
            tasks.start_soon(channel.send_batch, sent)
    assert got == [sent, sent]


async def test_the_contract() -> None:
    """With packets as large as the check's messages nothing has to be received meanwhile."""
    async with pair(3000) as (here, there):
        await check_channel_contract(here, there)


async def test_a_cancelled_receive_loses_nothing() -> None:
    sent = [b"[%d]" % n + b"x" * (n * 97 % 1000) for n in range(100)]
    received: list[bytes] = []
    async with pair(220) as (here, there), anyio.create_task_group() as tasks:
        tasks.start_soon(read, here)
        tasks.start_soon(here.send_batch, sent)
        turn = 0
        while len(received) < len(sent):
            turn += 1
            with anyio.CancelScope() as scope:
                if turn % 3 == 0:
                    scope.cancel()
                else:
                    scope.deadline = anyio.current_time() + turn % 5 * 0.0002
                received += await there.receive_batch()
        tasks.cancel_scope.cancel()
    assert received == sent


async def test_the_facts() -> None:
    async with pair(220) as (channel, _):
        assert channel.info.max_message == 4095 * 211
        assert channel.info.transport == "memory"
        assert channel.info.sends_need_receiver
        assert not channel.is_mid_message
        traced = TracedChannel(channel, lambda *_: None)
        assert traced.info.sends_need_receiver
        await channel.send(b"x" * 1000)
        assert channel.is_mid_message
        assert traced.is_mid_message
        traced.forget(b"x" * 1000)
        assert not channel.is_mid_message


async def test_a_sender_waits_while_a_megabyte_does() -> None:
    async with pair(1400) as (here, there), anyio.create_task_group() as tasks:
        await here.send(b"a" * 600_000)
        with anyio.move_on_after(0.02) as waiting:
            await here.send(b"b" * 600_000)
        assert waiting.cancelled_caught
        tasks.start_soon(read, here)
        tasks.start_soon(here.send, b"b" * 600_000)
        assert [len(await there.receive()) for _ in range(2)] == [600_000] * 2
        tasks.cancel_scope.cancel()


async def test_whoever_waits_to_send_learns_of_the_end() -> None:
    async with pair(1400) as (here, _), anyio.create_task_group() as tasks:
        await here.send(b"a" * 900_000)
        woken = anyio.Event()

        async def send() -> None:
            with pytest.raises(anyio.ClosedResourceError):
                await here.send(b"b" * 900_000)
            woken.set()

        tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        await here.aclose()
        await woken.wait()


async def test_what_is_under_way_leaves_before_the_end() -> None:
    async with pair(220) as (here, there), anyio.create_task_group() as tasks:
        await here.send(b"x" * 50_000)
        tasks.start_soon(here.aclose)
        assert await there.receive() == b"x" * 50_000


async def test_what_all_peers_may_hold_together_is_bounded() -> None:
    budget = AssemblyBudget(1 << 20)
    inner, raw = memory_pair(max_message=1400)
    channel = SegmentedChannel(inner, Limits(), budget)
    async with raw, anyio.create_task_group() as tasks:
        with anyio.fail_after(SECONDS):
            tasks.start_soon(read, channel)
            for index in range(1000):
                await raw.send(b"~00%03x3e9" % index + b"x" * 1391)
            await anyio.wait_all_tasks_blocked()
            assert 0 <= budget.left < 2000
            assert channel.segmentation.dropped > 200
            await channel.aclose()
            assert budget.left == 1 << 20


async def test_a_small_message_is_sent_plain() -> None:
    inner, raw = memory_pair(max_message=220)
    async with raw, wrapped(inner) as channel:
        await channel.send(b'{"a":1}')
        assert await raw.receive() == b'{"a":1}'


# Channels that let messages expire


@asynccontextmanager
async def expiring() -> AsyncIterator[tuple[SegmentedChannel, Expiring]]:
    end, other = memory_pair(max_message=220)
    inner = Expiring(end)
    async with other, wrapped(inner) as channel:
        yield channel, inner


async def test_each_segment_expires_with_its_call() -> None:
    link = LossyLink(max_message=220, retry_seconds=0.25)
    inner = Expiring(link.client)
    here, big = wrapped(inner), b"x" * 2000
    async with link.server, here, anyio.create_task_group() as tasks:
        with anyio.fail_after(SECONDS):
            here.expect_within(big, 5.0)
            await here.send(big)
            assert len(inner.left) == 10
            assert all(4.0 < (seconds or 0.0) <= 5.0 for _, seconds in inner.left)
            first = inner.left[0][1]
            inner.left.clear()
            tasks.start_soon(read, here)
            while not inner.left or inner.expected:  # until some are repeated: none was reported
                await anyio.lowlevel.checkpoint()
            assert all(4.0 < (seconds or 0.0) < (first or 0.0) - 0.2 for _, seconds in inner.left)
            # So what was lost is repeated here, and nowhere else.
            tasks.cancel_scope.cancel()


async def test_what_nobody_waits_for_expires_never() -> None:
    async with expiring() as (here, inner):
        here.expect_within(b"a" * 1000, None)
        await here.send(b"a" * 1000)
        here.expect_within(b"b" * 1000, 5.0)
        here.forget(b"b" * 1000)
        await here.send(b"b" * 1000)
        await here.send(b"c")
        assert len(inner.left) == 11
        assert [seconds for _, seconds in inner.left] == [None] * 11
        here.forget(b"a" * 1000)
        here.forget(b"b" * 1000)


async def test_reports_do_not_expire() -> None:
    async with expiring() as (here, inner):
        number = here.segmentation.sender._next_number
        here.expect_within(b"x" * 1000, 5.0)
        await here.send(b"x" * 1000)
        inner.left.clear()
        here._outbox.append(b"~%02x!001" % number)
        await here.send(b"small")
        assert inner.left == [(b"~%02x!001" % number, None), (b"small", None)]
        here.forget(b"x" * 1000)


async def test_a_small_call_is_the_inner_channels_business() -> None:
    async with expiring() as (here, inner):
        here.expect_within(b"small", 5.0)
        await here.send(b"small")
        assert inner.left == [(b"small", 5.0)]
        assert inner.expected == {b"small": 5.0}  # so that it can be repeated
        here.forget(b"small")
        assert not inner.expected


# Peers


@pytest.mark.parametrize("reliable", [True, False])
async def test_big_calls_in_both_directions_at_once(reliable: bool) -> None:
    faults = Faults() if reliable else Faults(drop=0.2, duplicate=0.2, reorder=0.2)
    link = LossyLink(faults, seed=5, max_message=220, reliable=reliable, retry_seconds=0.25)
    here, there = wrapped(link.client), wrapped(link.server)
    ran: list[int] = []
    device = Dispatcher()

    @device.method
    def echo(number: int, value: str) -> str:
        ran.append(number)
        return value

    results: list[str] = []
    with anyio.fail_after(SECONDS):
        async with served(device, here, there, client_dispatcher=device, extensions=True) as ends:
            ends.server.session.extensions = True
            async with anyio.create_task_group() as tasks:

                async def call(peer: Any, number: int) -> None:
                    value = f"{number}" * 5000
                    assert await peer.call("echo", [number, value], timeout=SECONDS) == value
                    results.append(value)

                for number in range(4):
                    tasks.start_soon(call, ends.client, number)
                    tasks.start_soon(call, ends.server, number + 10)
    assert len(results) == 8
    assert sorted(ran) == [0, 1, 2, 3, 10, 11, 12, 13]
    assert here.segmentation.sender.given_up == 0


async def test_many_small_and_big_calls_over_a_full_link() -> None:
    device = new_device()
    async with (
        pair(220) as (here, there),
        served(device, here, there, client_dispatcher=device) as ends,
        anyio.create_task_group() as tasks,
    ):

        async def call(peer: Any, size: int) -> None:
            assert await peer.call("echo", ["x" * size]) == "x" * size

        for number in range(200):
            for peer in ends:
                tasks.start_soon(call, peer, 3000 if number % 10 == 0 else 10)


async def test_a_call_that_takes_longer_than_the_first_timer_is_sent_once() -> None:
    link = LossyLink(Faults(delay=1, delay_seconds=0.12), max_message=220, retry_seconds=0.2)
    seen: list[bytes] = []
    here = TracedChannel(wrapped(link.client), lambda way, text: seen.append(way.encode() + text))
    with anyio.fail_after(SECONDS):
        async with served(new_device(), here, wrapped(link.server), extensions=True) as ends:
            assert len(await ends.client.call("echo", ["x" * 20_000])) == 20_000
    assert len([each for each in seen if each.startswith(b"->")]) == 1


async def test_a_trace_shows_segments_and_reports_beside_the_messages() -> None:
    link = LossyLink(max_message=220, retry_seconds=SECONDS)
    shown: list[tuple[str, bytes]] = []
    again: list[str] = []
    inner = TracedChannel(wrapped(link.client), lambda mark, data: shown.append((mark, data)))
    here = TracedChannel(inner, lambda mark, _: again.append(mark))
    with anyio.fail_after(SECONDS):
        async with served(new_device(), here, wrapped(link.server), extensions=True) as ends:
            assert await ends.client.call("echo", ["x" * 600]) == "x" * 600
            assert await ends.client.call("echo", [1]) == 1
    for way, messages in (("=>", "->"), ("<=", "<-")):
        pieces = [data for mark, data in shown if mark == way]
        assert all(piece.startswith(b"~") for piece in pieces)
        segments = [piece for piece in pieces if piece[3:4] != b"!"]
        assert len(segments) > 2
        assert len(segments) < len(pieces)
        (message,) = (data for mark, data in shown if mark == messages and len(data) > 600)
        assert b"".join(segment[9:] for segment in segments) == message
    assert sorted(again) == sorted(mark for mark, _ in shown)


async def test_a_call_that_is_given_up_leaves_no_more() -> None:
    link = LossyLink(Faults(drop=1), max_message=220)
    here = wrapped(link.client)
    with anyio.fail_after(SECONDS):
        async with served(new_device(), here, wrapped(link.server)) as ends:
            with pytest.raises(CallTimeout):
                await ends.client.call("echo", ["x" * 60_000], timeout=0.05)
            assert not here.segmentation.sender.is_busy


# UDP


class Proxy:
    """Passes datagrams on between clients and a server, and is as bad at it as asked."""

    def __init__(self, server: str, faults: Faults, seed: int) -> None:
        self._server = ("127.0.0.1", urlsplit(server).port or 0)
        self._faults = faults
        self._random = random.Random(seed)
        self.passed = self.dropped = 0
        self.front = self._bind()
        self._backs: dict[Any, socket.socket] = {}

    @property
    def url(self) -> str:
        return f"udp://127.0.0.1:{self.front.getsockname()[1]}?segment=1"

    @staticmethod
    def _bind() -> socket.socket:
        raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        raw.bind(("127.0.0.1", 0))
        raw.setblocking(False)
        return raw

    def close(self) -> None:
        for raw in (self.front, *self._backs.values()):
            raw.close()

    async def run(self) -> None:
        held: list[tuple[socket.socket, bytes, Any]] = []
        async with anyio.create_task_group() as tasks:
            while True:
                await anyio.wait_readable(self.front)
                while True:
                    try:
                        packet, client = self.front.recvfrom(65_535)
                    except BlockingIOError:
                        break
                    if client not in self._backs:
                        self._backs[client] = self._bind()
                        tasks.start_soon(self._answers, self._backs[client], client)
                    self._pass(self._backs[client], packet, self._server, held)

    async def _answers(self, back: socket.socket, client: Any) -> None:
        held: list[tuple[socket.socket, bytes, Any]] = []
        while True:
            await anyio.wait_readable(back)
            while True:
                try:
                    packet = back.recv(65_535)
                except BlockingIOError:
                    break
                self._pass(self.front, packet, client, held)

    def _pass(
        self,
        raw: socket.socket,
        packet: bytes,
        address: Any,
        held: list[tuple[socket.socket, bytes, Any]],
    ) -> None:
        chance = self._random.random
        if chance() < self._faults.drop:
            self.dropped += 1
            return
        overtaken = held[:]
        held.clear()
        if chance() < self._faults.reorder:
            held.append((raw, packet, address))
        else:
            for _ in range(1 + (chance() < self._faults.duplicate)):
                raw.sendto(packet, address)
        for each in overtaken:
            each[0].sendto(*each[1:])
        self.passed += 1


@asynccontextmanager
async def proxied(device: Dispatcher, faults: Faults, seed: int = 1) -> AsyncIterator[Proxy]:
    with anyio.fail_after(SECONDS):
        async with serve(device, UDP, grace=1) as server:
            proxy = Proxy(server.urls[0], faults, seed)
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(proxy.run)
                    yield proxy
                    tasks.cancel_scope.cancel()
            finally:
                proxy.close()  # when nobody reads its sockets any more


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.only_on("trio"))])
async def test_a_megabyte_both_ways_over_a_bad_link(seed: int) -> None:
    noise = random.Random(seed)
    value = "".join(noise.choices("abcdefgh 中文é", k=MEGABYTE))
    faults = Faults(drop=0.05, duplicate=0.02, reorder=0.02)
    async with proxied(new_device(), faults, seed) as proxy, connect(proxy.url) as client:
        assert await client.call("echo", [value], timeout=SECONDS) == value
    assert proxy.dropped > 50


async def test_a_megabyte_in_the_open() -> None:
    async with serve(new_device(), UDP) as server, connect(server.urls[0]) as client:
        with anyio.fail_after(SECONDS):
            assert server.urls[0].endswith("?segment=1")
            assert await client.call("big", [MEGABYTE]) == "x" * MEGABYTE
            assert client.info.max_message == 4095 * 1391


async def test_many_clients_at_once() -> None:
    async with serve(new_device(), UDP) as server:
        with anyio.fail_after(SECONDS):
            async with anyio.create_task_group() as tasks:

                async def call(number: int) -> None:
                    async with connect(server.urls[0]) as client:
                        value = str(number) * 20_000
                        assert await client.call("echo", [value], timeout=SECONDS) == value

                for number in range(20):
                    tasks.start_soon(call, number)
        assert len(server.peers) == 20


async def test_the_server_calls_back_with_big_messages() -> None:
    device, answering = Dispatcher(), new_device()

    @device.method
    async def ask(context: Context) -> int:
        return len(await context.call("echo", ["x" * 100_000]))

    async with (
        serve(device, UDP) as server,
        connect(server.urls[0], dispatcher=answering) as client,
    ):
        with anyio.fail_after(SECONDS):
            assert await client.call("ask") == 100_000


async def test_a_reader_that_vanishes_harms_nobody() -> None:
    async with serve(new_device(), UDP, grace=0.1) as server:
        port = urlsplit(server.urls[0]).port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
            raw.sendto(b'{"id":1,"method":"big","params":[1000000]}', ("127.0.0.1", port or 0))
        async with connect(server.urls[0]) as client:
            with anyio.fail_after(SECONDS):
                assert len(await client.call("big", [100_000])) == 100_000


async def test_what_is_too_large_even_so() -> None:
    async with (
        serve(new_device(), "udp://127.0.0.1:0?segment=1&max=20") as server,
        connect(server.urls[0] + "&max=20") as client,
    ):
        largest = 4095 * 11
        assert client.info.max_message == largest
        with pytest.raises(MessageTooLarge):
            await client.call("echo", ["x" * largest])
        with pytest.raises(TooLarge):
            await client.call("big", [largest])
        assert await client.call("big", [5000]) == "x" * 5000


async def test_an_end_without_the_option_is_not_harmed() -> None:
    async with (
        serve(new_device(), "udp://127.0.0.1:0") as server,
        connect(server.urls[0] + "?segment=1") as client,
    ):
        with anyio.fail_after(SECONDS):
            assert await client.call("echo", ["small"]) == "small"
            with pytest.raises(ParseError):  # of a segment
                await client.call("echo", ["x" * 5000])
            assert await client.call("echo", ["small"]) == "small"


# URLs


@pytest.mark.parametrize(
    "url",
    [
        "udp://127.0.0.1:0?segment=1&max=9",
        "udp://127.0.0.1:0?segment=perhaps",
        "tcp://127.0.0.1:0?segment=1",
    ],
)
async def test_urls_that_make_no_sense(url: str) -> None:
    for use in (open_channel, open_listener):
        with pytest.raises(InvalidUrl):
            await use(url)


async def test_where_any_size_fits_nothing_is_cut() -> None:
    async with await open_listener("memory://whole?segment=1") as listener:
        assert listener.addresses == ["memory://whole?segment=1"]
        async with await open_channel("memory://whole?segment=1") as channel:
            assert not isinstance(channel, SegmentedChannel)
            assert channel.info.max_message is None


async def test_switched_off() -> None:
    async with await open_listener("udp://127.0.0.1:0?segment=0") as listener:
        assert "segment" not in listener.addresses[0]


async def test_a_client_without_the_option_is_told_what_to_do() -> None:
    async with serve(new_device(), UDP) as server:
        plain = server.urls[0].removesuffix("?segment=1")
        with anyio.fail_after(SECONDS):
            async with connect(plain) as client:
                with pytest.raises(MalformedResponse, match="connect with \\?segment=1"):
                    await client.call("big", [20_000])
