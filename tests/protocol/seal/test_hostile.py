"""Whatever bytes come in whatever order, they give the plaintext that was sealed, or nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jsonrpc_iot.protocol.seal.client import ClientSeal
from jsonrpc_iot.protocol.seal.server import ServerSeal
from jsonrpc_iot.trust.principal import Principal

from .rig import (
    HERE,
    KEY,
    OTHER_KEY,
    THERE,
    answer,
    greet,
    linked,
    new_client,
    new_server,
    sealed,
    shared,
)
from .test_handshake import LOW_ORDER, Choosing

KINDS = ("hello", "welcome", "data to the server", "data to the client", "unknown")


def packets() -> dict[str, bytes]:
    """One packet of each kind, of a session of its own."""
    client, server, seat = linked()
    client.begin(0)
    (hello,) = client.poll(0)
    welcome = server.take(hello, HERE, 0)
    assert isinstance(welcome, bytes)
    unknown = new_server().take(sealed(client, b"x"), HERE, 0)
    assert isinstance(unknown, bytes)
    data = sealed(client, b"there"), answer(server, seat, b"back")
    return dict(zip(KINDS, (hello, welcome, *data, unknown), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_every_bit_counts_and_every_byte(kind: str) -> None:
    client, server, seat = linked()
    client.begin(0)
    (hello,) = client.poll(0)
    welcome = server.take(hello, HERE, 0)
    assert isinstance(welcome, bytes)
    whole = {
        "hello": hello,
        "welcome": welcome,
        "data to the server": sealed(client, b"there"),
        "data to the client": answer(server, seat, b"back"),
        "unknown": b"\4" + sealed(client, b"x")[1:5],
    }[kind]
    wrong = [whole[:size] for size in range(len(whole))] + [whole + b"\0"]
    for place in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        wrong.append(bytes(flipped))

    for packet in wrong:
        taken = server.take(packet, THERE, 0)
        assert not isinstance(taken, tuple)
        assert not (isinstance(taken, bytes) and taken[0] == 2), "a changed hello was welcomed"
        assert client.open(packet, 0) is None
    assert server.address(seat) == HERE
    assert len(server) == 2
    # None of it was in the way of what is right.
    assert client.open(welcome, 0) is None
    assert server.take(sealed(client, b"x"), HERE, 0) == (seat, b"x")
    assert client.open(answer(server, seat, b"y"), 0) == b"y"


def test_nothing_is_taken_that_comes_back_to_its_sender() -> None:
    client, server, seat = linked()
    hello, welcome, to_server, to_client, unknown = packets().values()
    for packet in (hello, to_server, sealed(client, b"x")):
        assert client.open(packet, 0) is None
    for packet in (welcome, to_client, answer(server, seat, b"x"), unknown):
        assert not isinstance(server.take(packet, HERE, 0), tuple)


def test_another_version_is_let_alone() -> None:
    client, server = new_client(), new_server()
    client.begin(0)
    (hello,) = client.poll(0)
    for version in range(256):
        taken = server.take(hello[:1] + bytes([version]) + hello[2:], HERE, 0)
        assert isinstance(taken, bytes) == (version == 1)
    assert len(server) == 1


def test_two_servers_with_one_key_do_not_take_each_others_packets() -> None:
    (client, server, seat), (other_client, other, other_seat) = linked(), linked()
    for packet in (sealed(client, b"x"), answer(server, seat, b"y")):
        assert not isinstance(other.take(packet, HERE, 0), tuple)
        assert other_client.open(packet, 0) is None
    assert seat == other_seat


class World:
    """Two clients, two keys and two servers, and all packets that there have been."""

    def __init__(self) -> None:
        self.now = 0.0
        self.servers = [new_server(), new_server(shared(), shared("other", OTHER_KEY))]
        self.clients = [
            new_client(KEY, b"client 1"),
            new_client(KEY, b"client 2"),
            new_client(OTHER_KEY, b"client 1"),
        ]
        self.packets: list[bytes] = []
        self.sealed: set[bytes] = set()
        self.got: list[tuple[object, bytes]] = []
        for client in self.clients:
            greet(client, self.servers[1])
            self._seal(client)

    def step(self, what: int, which: int, change: int) -> None:
        client, server = self.clients[which % 3], self.servers[change % 2]
        packet = _changed(self.packets[which % len(self.packets)], change // 2)
        match what:
            case 0:
                self._seal(client)
            case 1:
                self.now += which / 100
                client.begin(self.now)
            case 2 | 3:
                self._to_server(server, packet)
            case _:
                message = client.open(packet, self.now)
                if message is not None:
                    self.got.append((client, message))
        self.packets += client.poll(self.now)

    def _seal(self, client: ClientSeal) -> None:
        message = b"message %d" % len(self.sealed)
        self.sealed.add(message)
        self.packets.append(sealed(client, message))

    def _to_server(self, server: ServerSeal[str, Principal], packet: bytes) -> None:
        taken = server.take(packet, HERE, self.now)
        if isinstance(taken, bytes):
            self.packets.append(taken)
        elif taken is not None:
            seat, message = taken
            if message:
                self.got.append((server, message))
            reply = b"reply %d" % len(self.sealed)
            self.sealed.add(reply)
            self.packets.append(answer(server, seat, reply))


def _changed(packet: bytes, change: int) -> bytes:
    """Mostly as it is."""
    if change % 4:
        return packet
    if change % 8:
        return packet[: change % len(packet)]
    changed = bytearray(packet)
    changed[change // 8 % len(packet)] ^= 1 << change % 7
    return bytes(changed)


steps = st.tuples(st.integers(0, 5), st.integers(0, 10_000), st.integers(0, 10_000))


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=80))
def test_what_was_sealed_or_nothing_each_once(moves: list[tuple[int, int, int]]) -> None:
    world = World()
    for move in moves:
        world.step(*move)
    assert all(message in world.sealed for _, message in world.got)
    assert len(set(world.got)) == len(world.got), "a packet opened twice"
    # Replies that were sealed for one client have reached no other one, nor a server.
    for end, message in world.got:
        assert message.startswith(b"reply") == isinstance(end, ClientSeal)


@settings(max_examples=300)
@given(st.binary(max_size=120), st.sampled_from([b"", b"\1\1", b"\2", b"\3", b"\4"]))
def test_any_bytes_give_nothing(junk: bytes, head: bytes) -> None:
    packet = head + junk
    client, server = LINK[:2]
    taken = server.take(packet, HERE, 0)
    assert taken is None or (isinstance(taken, bytes) and taken == b"\4" + packet[1:5])
    assert client.open(packet, 0) is None


LINK = linked()


def test_a_hello_of_a_low_order_point_is_dropped() -> None:
    for point in LOW_ORDER:
        client, server = new_client(), new_server()
        client._crypto = Choosing(point)
        client.begin(0)
        (hello,) = client.poll(0)
        assert server.take(hello, HERE, 0) is None
        assert (server.wrong, len(server)) == (1, 0)


def test_a_packet_of_the_last_session_is_none_of_the_next() -> None:
    client, server = new_client(), new_server()
    greet(client, server)
    old = [sealed(client, b"%d" % number) for number in range(5)]
    again = new_client()
    greet(again, server, 100)
    server.expire(100)
    for packet in old:
        assert not isinstance(server.take(packet, HERE, 100), tuple)
