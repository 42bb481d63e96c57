"""UDP: datagrams of any size that the link carries, from many addresses, none of which can harm."""

import json
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from jsonrpc_iot import (
    CallTimeout,
    ChannelInfo,
    ConnectFailed,
    Context,
    Dispatcher,
    InvalidUrl,
    Limits,
    MessageTooLarge,
    Server,
    TooLarge,
    connect,
    serve,
)
from jsonrpc_iot.testing import check_channel_contract
from jsonrpc_iot.transports import open_channel
from jsonrpc_iot.transports.packets.demux import Demux
from tests.transports.links import accepting
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio

ANYWHERE = "udp://127.0.0.1:0"


class Device:
    def __init__(self) -> None:
        self.dispatcher = Dispatcher()
        self.ran: list[object] = []
        self.gate = anyio.Event()
        self.began = anyio.Event()
        for function in (self.echo, self.big, self.count, self.hold, self.ask):
            self.dispatcher.method(function)

    def echo(self, value: Any = None) -> Any:
        self.ran.append(value)
        return value

    def big(self, size: int) -> str:
        return "x" * size

    def count(self, text: str) -> int:
        return len(text)

    async def hold(self) -> str:
        self.ran.append("hold")
        self.began.set()
        await self.gate.wait()
        return "held"

    async def ask(self, context: Context) -> Any:
        return await context.call("name")


@asynccontextmanager
async def serving(
    url: str = ANYWHERE, limits: Limits = Limits(), grace: float = 1.0
) -> AsyncIterator[tuple[Device, Server]]:
    device = Device()
    with anyio.fail_after(SECONDS):
        async with serve(device.dispatcher, url, limits=limits, grace=grace) as server:
            yield device, server


class Raw:
    """A socket that says what it likes."""

    def __init__(self, url: str, source: tuple[str, int] | None = None) -> None:
        parts = urlsplit(url)
        self.socket = socket.socket(
            socket.AF_INET6 if ":" in (parts.hostname or "") else socket.AF_INET, socket.SOCK_DGRAM
        )
        self.socket.setblocking(False)
        if source is not None:
            self.socket.bind(source)
        self.socket.connect((parts.hostname, parts.port))

    async def receive(self) -> Any:
        await anyio.wait_readable(self.socket)
        return json.loads(self.socket.recv(65_535))

    async def exchange(self, message: bytes) -> Any:
        self.socket.send(message)
        return await self.receive()


@contextmanager
def raw_to(server: Server, source: tuple[str, int] | None = None) -> Iterator[Raw]:
    raw = Raw(server.urls[0], source)
    try:
        yield raw
    finally:
        raw.socket.close()


@pytest.mark.parametrize("url", [ANYWHERE, "udp://[::1]:0"])
async def test_the_contract(url: str) -> None:
    async with accepting(url) as (listener, accept):
        client = await open_channel(listener.addresses[0])
        await client.send(b"[0]")
        server = await accept()
        assert await server.receive() == b"[0]"
        assert not client.info.reliable
        assert not server.info.reliable
        assert client.info.max_message == server.info.max_message == 1400
        assert client.info.local == server.info.peer
        await check_channel_contract(client, server)


@pytest.mark.parametrize("url", [ANYWHERE, "udp://[::1]:0", f"{ANYWHERE}?reuse_port=1"])
async def test_calls_in_both_directions(url: str) -> None:
    answering = Dispatcher()
    answering.method("name")(lambda: "lamp")
    async with (
        serving(url) as (_, server),
        connect(server.urls[0], dispatcher=answering) as client,
    ):
        assert await client.call("echo", [{"a": 1}]) == {"a": 1}
        assert await client.call("ask") == "lamp"


async def test_two_servers_share_a_port() -> None:
    async with serving(f"{ANYWHERE}?reuse_port=1") as (first, server):
        port = urlsplit(server.urls[0]).port
        async with serving(f"udp://127.0.0.1:{port}?reuse_port=1") as (second, _):
            for number in range(40):
                async with connect(server.urls[0]) as client:
                    assert await client.call("echo", [number]) == number
        assert first.ran
        assert second.ran
        assert len(first.ran) + len(second.ran) == 40


async def test_sizes() -> None:
    async with serving() as (_, server), connect(server.urls[0]) as client:
        assert await client.call("big", [1350]) == "x" * 1350
        with pytest.raises(TooLarge) as caught:
            await client.call("big", [1400])
        assert caught.value.data["limit"] == 1400
        with pytest.raises(MessageTooLarge):
            await client.call("count", ["x" * 1400])


async def test_the_largest_datagram_is_received() -> None:
    async with serving() as (_, server), connect(f"{server.urls[0]}?max=65507") as client:
        start = '{"id":1,"method":"count","params":["'
        with raw_to(server) as raw:
            text = "x" * (65_507 - len(start) - len('"]}'))
            reply = await raw.exchange((start + text + '"]}').encode())
            assert reply == {"id": 1, "result": len(text)}
        assert await client.call("count", ["x" * 60_000]) == 60_000


async def test_a_large_reply_is_received() -> None:
    async with serving(f"{ANYWHERE}?max=65507") as (_, server), connect(server.urls[0]) as client:
        assert await client.call("big", [65_000]) == "x" * 65_000


async def test_an_empty_datagram_is_an_unreadable_message() -> None:
    async with serving() as (_, server):
        with raw_to(server) as raw:
            assert (await raw.exchange(b""))["error"]["code"] == -32700
            assert await raw.exchange(b'{"id":1,"method":"echo"}') == {"id": 1, "result": None}


async def test_what_a_doubled_packet_asks_runs_once() -> None:
    request = b'{"id":1,"method":"echo","params":["on"]}'
    async with serving() as (device, server):
        with raw_to(server) as raw:
            assert await raw.exchange(request) == await raw.exchange(request)
            assert device.ran == ["on"]
            await raw.exchange(request.replace(b"on", b"off"))
            assert device.ran == ["on", "off"]


async def test_one_id_for_ever_gets_fresh_answers() -> None:
    request = b'{"id":1,"method":"echo","params":["on"]}'
    async with serving() as (device, server):
        with raw_to(server) as raw:
            await raw.exchange(request)
            for _ in range(2):
                await anyio.sleep(0.55)  # so long a packet counts as doubled
                await raw.exchange(request)
    assert device.ran == ["on"] * 3


async def test_a_running_request_is_joined() -> None:
    request = b'{"id":1,"method":"hold"}'
    async with serving() as (device, server):
        with raw_to(server) as raw:
            for mark in (b"}", b"}", b',"retry":true}'):
                raw.socket.send(request[:-1] + mark)
            await raw.exchange(b'{"id":2,"method":"echo"}')
            device.gate.set()
            assert await raw.receive() == {"id": 1, "result": "held"}
            again = await raw.exchange(request[:-1] + b',"retry":true}')
            assert again == {"id": 1, "result": "held"}
    assert sorted(map(str, device.ran)) == ["None", "hold"]


async def test_a_thousand_clients_at_once() -> None:
    answers: list[int] = []
    async with serving() as (device, server):
        async with anyio.create_task_group() as clients:

            async def client(number: int) -> None:
                with raw_to(server) as raw:
                    raw.socket.send(b'{"id":1,"method":"echo","params":[%d]}' % number)
                    answers.append((await raw.receive())["result"])

            for number in range(1000):
                clients.start_soon(client, number)
        assert sorted(answers) == list(range(1000))
        assert len(server.peers) == 1000
    assert len(device.ran) == 1000


async def test_thousands_of_forged_addresses_are_bounded_and_harm_nobody() -> None:
    async with (
        serving(limits=Limits(peers=500)) as (device, server),
        connect(server.urls[0]) as client,
    ):
        assert await client.call("echo", ["before"]) == "before"
        for number in range(4000):
            with raw_to(server, (f"127.{number >> 8}.{number & 255}.9", 0)) as forger:
                forger.socket.send(b'{"id":1,"method":"echo"}')
            if number % 100 == 99:
                await client.call("echo", [number])
        assert len(server.peers) <= 500
        assert await client.call("echo", ["after"]) == "after"
    assert device.ran[-1] == "after"


async def test_calls_run_to_their_end_when_the_server_leaves() -> None:
    device = Device()
    answers: list[str] = []
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:  # noqa: SIM117  # tasks outlive the server
            async with serve(device.dispatcher, ANYWHERE, grace=5.0) as server:
                url = server.urls[0]

                async def call() -> None:
                    async with connect(url) as client:
                        answers.append(await client.call("hold", timeout=3.0, result=str))

                async def release() -> None:
                    await anyio.sleep(0.1)  # while the server is leaving
                    device.gate.set()

                tasks.start_soon(call)
                await device.began.wait()
                tasks.start_soon(release)
    assert answers == ["held"]


async def test_a_server_does_not_wait_longer_than_its_grace() -> None:
    async with serving(grace=0.05) as (device, server):
        with raw_to(server) as raw:
            raw.socket.send(b'{"id":1,"method":"hold"}')
            await device.began.wait()


async def test_a_server_with_idle_peers_leaves_at_once() -> None:
    device = Device()
    with anyio.fail_after(SECONDS):
        async with serve(device.dispatcher, ANYWHERE, grace=60.0) as server:
            for _ in range(3):
                with raw_to(server) as raw:
                    await raw.exchange(b'{"id":1,"method":"echo"}')
        begin = anyio.current_time()
    assert anyio.current_time() - begin < 5


async def test_pushes_reach_whoever_has_spoken() -> None:
    async with serving() as (_, server):
        with raw_to(server) as first, raw_to(server) as second, raw_to(server):
            for raw in (first, second):
                await raw.exchange(b'{"id":1,"method":"echo"}')
            assert server.broadcast("changed", {"on": True}) == 2
            for raw in (first, second):
                assert await raw.receive() == {"method": "changed", "params": {"on": True}}


async def test_who_sent_only_junk_for_long_is_answered_nevertheless() -> None:
    async with serving(limits=Limits(silent_seconds=0.02, send_seconds=0.05)) as (_, server):
        with raw_to(server) as raw:
            deadline = anyio.current_time() + 0.2
            while anyio.current_time() < deadline:
                assert (await raw.exchange(b"junk"))["error"]["code"] == -32700
                await anyio.sleep(0.01)
            server.broadcast("changed")
            for id in (1, 2):
                raw.socket.send(b'{"id":%d,"method":"echo"}' % id)
                while (await raw.receive()).get("id") != id:
                    pass


async def test_nobody_at_the_port() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        url = f"udp://127.0.0.1:{free.getsockname()[1]}"
    async with connect(url) as client:
        for _ in range(2):
            with pytest.raises(CallTimeout):
                await client.call("echo", timeout=0.1, idempotent=True)


async def test_a_server_that_comes_later_is_found() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        url = f"udp://127.0.0.1:{free.getsockname()[1]}"
    async with connect(url) as client:
        with pytest.raises(CallTimeout):
            await client.call("echo", timeout=0.05)
        async with serving(url):
            assert await client.call("echo", ["now"]) == "now"


@pytest.mark.parametrize("url", ["udp://", "udp://h/path", "udp://h?max=0", "udp://h?maxx=1"])
async def test_urls_that_make_no_sense(url: str) -> None:
    with pytest.raises(InvalidUrl):
        await open_channel(url)


async def test_a_name_that_no_host_can_have() -> None:
    with pytest.raises(InvalidUrl, match="no host has such a name"):
        await open_channel("udp://\u00fc..b")
    with pytest.raises(InvalidUrl, match="no host has such a name"):
        async with serve(Dispatcher(), "udp://\u00fc..b"):
            pass


async def test_a_host_that_does_not_exist() -> None:
    with pytest.raises(ConnectFailed):
        await open_channel("udp://no-such-host.invalid")


# The addresses of one socket


class Busy:
    is_busy = False
    is_stranger = False
    holds_replies = False
    ended = False

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    def take(self, messages: Any) -> bool:
        self.taken += messages
        return True

    async def handle(self, messages: Any) -> None:
        self.taken += messages

    def end(self) -> None:
        self.ended = True


def new_demux(max_peers: int = 10, network: int = 0) -> tuple[Demux[str], list[tuple[bytes, str]]]:
    sent: list[tuple[bytes, str]] = []

    def transmit(packet: bytes, address: str) -> None:
        sent.append((packet, address))

    describe = ChannelInfo(transport="test", reliable=False)
    return (
        Demux(
            transmit,
            lambda address: describe,
            max_peers=max_peers,
            network=lambda address: address[:network],
        ),
        sent,
    )


async def test_an_address_is_forgotten_after_a_minute_of_silence() -> None:
    demux, _ = new_demux()
    (channel,) = await demux.deliver([(b"1", "a")], 100)
    receiver = Busy()
    await channel.attach(receiver)
    assert await demux.deliver([(b"2", "a")], 130) == []
    await demux.expire(190)
    assert not receiver.ended
    receiver.is_busy = True
    await demux.expire(191)
    assert not receiver.ended
    receiver.is_busy = False
    await demux.expire(191)
    assert receiver.ended
    assert receiver.taken == [b"1", b"2"]
    assert len(demux) == 0
    assert len(await demux.deliver([(b"3", "a")], 192)) == 1


async def test_a_channel_with_a_task_is_forgotten_unless_its_peer_is_busy() -> None:
    demux, _ = new_demux()
    (channel,) = await demux.deliver([(b"1", "a"), (b"2", "a")], 100)
    busy = True
    channel.keep_while(lambda: busy)
    assert await channel.receive_batch() == [b"1", b"2"]
    await demux.expire(161)
    assert len(demux) == 1
    busy = False
    async with anyio.create_task_group() as tasks:

        async def receive() -> None:
            with pytest.raises(anyio.ClosedResourceError):
                await channel.receive_batch()

        tasks.start_soon(receive)
        await anyio.wait_all_tasks_blocked()
        await demux.expire(161)
    assert len(demux) == 0


async def test_addresses_over_the_limit_are_refused_and_counted() -> None:
    demux, _ = new_demux(max_peers=2)
    packets = [(b"1", address) for address in "abcc"]
    assert len(await demux.deliver(packets, 0)) == 2
    assert demux.refused == 2
    await demux.expire(61)
    assert len(await demux.deliver(packets, 61)) == 2


async def test_packets_that_nobody_takes_are_bounded_and_counted() -> None:
    demux, _ = new_demux()
    packets = [b"%01000d" % n for n in range(500)]
    (channel,) = await demux.deliver([(packet, "a") for packet in packets], 0)
    assert 0 < channel.missed == demux.dropped < 300
    receiver = Busy()
    await channel.attach(receiver)
    assert receiver.taken == packets[: -channel.missed]


async def test_a_burst_of_a_newcomer_is_not_lost() -> None:
    demux, _ = new_demux()
    packets = [b'{"id":%d,"method":"ok"}' % n for n in range(1000)]
    (channel,) = await demux.deliver([(packet, "a") for packet in packets], 0)
    receiver = Busy()
    await channel.attach(receiver)
    assert receiver.taken == packets
    assert demux.dropped == 0


async def test_packets_that_wait_are_bounded_for_all_addresses_together() -> None:
    demux, _ = new_demux(max_peers=1000)
    for _ in range(10):
        for number in range(500):
            await demux.deliver([(b"x" * 60_000, f"{number}")], 0)
    left = demux.waiting.byte_count
    assert left < 4 * 61_000  # of which no address gets more than a quarter
    await demux.expire(61)
    assert demux.waiting.byte_count == 1 << 24


async def test_a_closed_channel_sends_nothing() -> None:
    demux, sent = new_demux()
    (channel,) = await demux.deliver([(b"1", "a")], 0)
    await channel.send_batch([b"x", b"y"])
    await channel.aclose()
    with pytest.raises(anyio.ClosedResourceError):
        await channel.send(b"z")
    assert sent == [(b"x", "a"), (b"y", "a")]


ANY = "0.0.0.0"  # to be bound on loopback alone


async def fill(demux: Demux[str], addresses: str, now: float = 0.0) -> dict[str, Busy]:
    """Let each of these addresses, given as words, send a packet; who receives them."""
    receivers = {}
    for address in addresses.split():
        for channel in await demux.deliver([(b"1", address)], now):
            receivers[address] = Busy()
            await channel.attach(receivers[address])
    return receivers


async def test_a_network_that_has_most_places_gives_one_to_another() -> None:
    demux, _ = new_demux(max_peers=4, network=1)
    receivers = await fill(demux, "a1 a2 a3 b1")
    receivers["a1"].is_busy = True
    receivers["a2"].holds_replies = True
    assert set(await fill(demux, "c1")) == {"c1"}
    assert [name for name, receiver in receivers.items() if receiver.ended] == ["a3"]
    assert set(await fill(demux, "c2")) == set()  # nobody has more who could do without
    assert demux.refused == 1


async def test_who_never_said_anything_valid_gives_way_first() -> None:
    demux, _ = new_demux(max_peers=4, network=2)
    receivers = await fill(demux, "a1 b1 c1 d1")
    receivers["b1"].is_stranger = receivers["d1"].is_stranger = True
    assert set(await fill(demux, "e1")) == {"e1"}
    assert set(await fill(demux, "f1")) == {"f1"}
    assert [name for name, receiver in receivers.items() if receiver.ended] == ["b1", "d1"]


async def test_forged_addresses_keep_nobody_out() -> None:
    """As many as the server remembers, each of another host, and then honest ones."""
    dispatcher = Dispatcher()
    dispatcher.method("toggle")(lambda: True)
    async with serve(dispatcher, "udp://127.0.0.1:0", limits=Limits(peers=50)) as server:
        port = int(server.urls[0].rpartition(":")[2])
        for number in range(100):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forged:
                forged.bind((f"127.1.0.{number + 1}", 0))
                forged.sendto(b"!", ("127.0.0.1", port))
                forged.settimeout(SECONDS)
                await anyio.to_thread.run_sync(forged.recv, 2000)
        for _ in range(5):
            async with connect(server.urls[0], timeout=SECONDS) as client:
                assert await client.call("toggle") is True
        assert len(server.peers) <= 50


@pytest.mark.parametrize(
    "limits", [Limits(remembered=64), Limits(remembered_bytes=6400)], ids=["requests", "bytes"]
)
async def test_one_host_does_not_fill_what_is_remembered(limits: Limits) -> None:
    reply = "x" * 300
    async with serving(limits=limits) as (device, server):
        for _ in range(40):  # ports, of which each may take a part
            with raw_to(server, ("127.0.0.1", 0)) as greedy:
                for id in range(3):
                    await greedy.exchange(b'{"id":%d,"method":"big","params":[200]}' % id)
        with raw_to(server, ("127.0.0.2", 0)) as honest:
            request = b'{"id":1,"method":"echo","params":["%b"]%b}'
            answer = await honest.exchange(request % (reply.encode(), b""))
            assert answer["result"] == reply
            again = await honest.exchange(request % (reply.encode(), b',"retry":true'))
            assert again == answer
    assert device.ran.count(reply) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
@pytest.mark.parametrize(
    ("bound", "asked"),
    [(ANY, "127.0.0.2"), (ANY, "127.0.0.1"), ("[::]", "[::1]"), ("[::]", "127.0.0.2")],
)
async def test_a_server_answers_from_the_address_that_was_asked(bound: str, asked: str) -> None:
    dispatcher = Dispatcher()
    dispatcher.method("ok")(lambda: True)
    async with serve(dispatcher, f"udp://{bound}:0") as server:
        port = server.urls[0].rpartition(":")[2]
        async with connect(f"udp://{asked}:{port}", timeout=SECONDS) as client:
            assert await client.call("ok") is True


MOVES = """
import subprocess, sys
import anyio
from jsonrpc_iot import CallTimeout, ChannelClosed, Dispatcher, connect, serve

def ip(*words):
    subprocess.run(["ip", *words], check=True)

async def main(reconnect):
    ip("link", "set", "lo", "up")
    for address in ("198.51.100.1/32", "198.51.100.2/32"):
        ip("addr", "add", address, "dev", "lo")
    route = ("route", "replace", "local", "198.51.100.1", "dev", "lo", "table", "local", "src")
    ip(*route, "198.51.100.2")
    device = Dispatcher()
    device.method("ok")(lambda: True)
    async with serve(device, "udp://198.51.100.1:0") as server:
        async with connect(server.urls[0], reconnect=reconnect, timeout=0.7) as client:
            assert await client.call("ok") is True
            assert client.info.local.startswith("udp://198.51.100.2:")
            ip("addr", "del", "198.51.100.2/32", "dev", "lo")
            ip(*route, "198.51.100.1")
            for _ in range(30):
                try:
                    await client.call("ok", idempotent=True)
                except CallTimeout:
                    continue
                except ChannelClosed as error:
                    print(error)
                    if not reconnect:
                        return
                    continue
                print("heard at", client.info.local)
                return

anyio.run(main, sys.argv[1] == "again")
"""


@pytest.mark.parametrize("again", ["again", "once"])
async def test_a_client_whose_address_is_gone_ends_or_comes_back(again: str) -> None:
    """In a network of its own, where addresses can be taken away."""
    command = ["unshare", "--net", "--map-root-user", sys.executable, "-c", MOVES, again]
    if not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("no unshare or no ip here")
    if (await anyio.run_process([*command[:3], "true"], check=False)).returncode:
        pytest.skip("no networks of one's own here")
    with anyio.fail_after(6 * SECONDS):
        done = await anyio.run_process(command, check=False)
    told = done.stdout.decode()
    assert done.returncode == 0, done.stderr.decode()
    if again == "again":
        assert "heard at udp://198.51.100.1:" in told
    else:
        assert "the address 198.51.100.2 is gone" in told or "nothing can be sent" in told


async def test_a_request_that_has_a_stored_response_is_a_valid_message() -> None:
    """So what cannot be read is answered again behind it, as behind one that runs."""
    dispatcher = Dispatcher()
    dispatcher.method("toggle")(lambda: True)
    async with serve(dispatcher, "udp://127.0.0.1:0") as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
            raw.connect(("127.0.0.1", int(server.urls[0].rpartition(":")[2])))
            raw.settimeout(SECONDS)
            for _ in range(50):
                raw.send(b"junk")
                assert b"-32700" in await anyio.to_thread.run_sync(raw.recv, 2000)
                raw.send(b'{"id":1,"method":"toggle","retry":true}')
                assert b'"id":1' in await anyio.to_thread.run_sync(raw.recv, 2000)
