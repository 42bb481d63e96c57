"""Sealed packets in C, against the client of the package; what opens which is its judgement."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from jsonrpc_iot.protocol.seal.client import ClientSeal
from jsonrpc_iot.protocol.seal.packets import BASE64, BASE85, BINARY, DATA_OVERHEAD, Form, is_data
from tests.protocol.seal.rig import KEY, OTHER_KEY, new_client
from tests.vectors import Vector, bytes_of, read_vectors

from .compiling import SOURCES, compiled
from .desk import HERE, Driver, build_here, driven

pytestmark = [pytest.mark.firmware, pytest.mark.timeout(240)]  # Monocypher may have to come

FORMS: Final = (BINARY, BASE85, BASE64)
REQUEST: Final = b'{"id":1,"method":"rpc.ping"}'
ANSWER: Final = b'{"id":1,"result":true}'


class Seal:
    """The server's end of a link, in C."""

    def __init__(self, driver: Driver, form: Form) -> None:
        self._driver = driver
        self._form = form
        self._seeds = count(1)

    def chosen(self, *parts: bytes) -> None:
        """Have these bytes come next when random ones are asked for."""
        self._driver.ask("random", b"".join(parts).hex())

    def take(self, packet: bytes, now: float = 0.0) -> list[bytes]:
        """Give it a packet; returns the packets that answer it, and the messages in it."""
        seed = next(self._seeds)
        self.chosen(seed.to_bytes(4, "big"), seed.to_bytes(32, "big"))
        return self.take_wrapped(self._form.wrap(packet), now)

    def take_wrapped(self, message: bytes, now: float = 0.0) -> list[bytes]:
        """The same with a packet in its form."""
        lines = self._driver.ask("packet", round(now * 1000), message.hex() or "-")
        self.was_taken = lines.pop() == "taken"
        return [self._read(line) for line in lines]

    def send(self, message: bytes) -> bytes | None:
        """Have it send a message; returns the packet."""
        lines = self._driver.ask("send", message.hex())
        return self._read(lines[0]) if lines else None

    def _read(self, line: str) -> bytes:
        word, *rest = line.split(" ")
        if word == "message":
            self.key = int(rest[0])
            return bytes.fromhex(rest[1])
        packet = self._form.unwrap(bytes.fromhex(rest[0]))
        assert packet is not None
        return packet


Open = Callable[..., Seal]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, cryptography: Path) -> Path:
    """The driver, with sanitizers in all but Monocypher."""
    library = compiled("cc", ("-O2",), cryptography / "monocypher.c")
    sources = (HERE / "programs" / "seal.c", SOURCES / "adapters" / "monocypher.c", library)
    program = tmp_path_factory.mktemp("seal") / "seal"
    return build_here(program, *sources, flags=["-isystem", str(cryptography)])


@pytest.fixture
def opened(program: Path) -> Iterator[Open]:
    """Makes seals."""
    running: list[AbstractContextManager[Driver]] = []

    def open_seal(*keys: bytes, form: Form = BINARY, sessions: int = 3) -> Seal:
        secrets = [key.hex() for key in keys or (KEY,)]
        driver = driven(program, str(FORMS.index(form)), str(sessions), *secrets)
        running.append(driver)
        return Seal(driver.__enter__(), form)

    yield open_seal
    for driver in running:
        driver.__exit__(None, None, None)


def greet(client: ClientSeal, server: Seal, now: float = 0.0) -> bytes:
    """Let the two shake hands; gives the hello."""
    client.begin(now)
    (hello,) = client.poll(now)
    (welcome,) = server.take(hello, now)
    assert client.open(welcome, now) is None
    assert client.is_open
    return hello


def talk(client: ClientSeal, server: Seal, now: float = 0.0) -> None:
    """Let a request through, and its answer."""
    assert server.take(sealed(client, REQUEST), now) == [REQUEST]
    assert client.open(answered(server), now) == ANSWER


def sealed(client: ClientSeal, message: bytes = REQUEST) -> bytes:
    packet = client.seal(message)
    assert packet is not None
    return packet


def answered(server: Seal) -> bytes:
    packet = server.send(ANSWER)
    assert packet is not None
    return packet


@pytest.mark.parametrize(
    "vector", [each for each in read_vectors("seal") if each["kind"] == "session"]
)
def test_vectors(opened: Open, vector: Vector) -> None:
    server = opened(bytes_of(vector, "key"))
    server.chosen(bytes_of(vector, "server_number"), bytes_of(vector, "server_secret"))

    assert server.take_wrapped(bytes_of(vector, "hello")) == [bytes_of(vector, "welcome")]
    for each in vector["packets"]:
        if each["from"] == "client":
            messages = [message for message in [bytes_of(each, "message")] if message]
            assert server.take_wrapped(bytes_of(each, "packet")) == messages
            assert server.was_taken
        else:
            assert server.send(bytes_of(each, "message")) == bytes_of(each, "packet")


@pytest.mark.parametrize("form", FORMS, ids=["binary", "base85", "base64"])
def test_a_client_of_the_package_talks_to_it(opened: Open, form: Form) -> None:
    client, server = new_client(in_order=form is BASE64), opened(form=form)
    greet(client, server)
    for size in range(1, 40):
        message = b"x" * size
        assert server.take(sealed(client, message)) == [message]
        packet = server.send(message)
        assert packet is not None
        assert client.open(packet, 0) == message


def test_nothing_leaves_before_the_client_has_proved_to_be_there(opened: Open) -> None:
    client, server = new_client(), opened()
    assert server.send(ANSWER) is None
    greet(client, server)
    assert server.send(ANSWER) is None
    assert server.take(sealed(client, b"")) == []
    assert server.was_taken
    assert client.open(answered(server), 0) == ANSWER


def test_a_message_as_long_as_may_be_leaves_and_no_longer_one(opened: Open) -> None:
    client, server = new_client(), opened()
    greet(client, server)
    talk(client, server)
    most = 1024 - DATA_OVERHEAD
    packet = server.send(b"x" * most)
    assert packet is not None
    assert len(packet) == 1024
    assert server.send(b"x" * (most + 1)) is None
    talk(client, server)


def test_who_has_another_key_gets_no_answer(opened: Open) -> None:
    stranger = new_client(OTHER_KEY)
    stranger.begin(0)
    (hello,) = stranger.poll(0)
    server = opened()
    assert server.take(hello) == []
    forged = hello[:6] + new_hello()[6:14] + hello[14:]  # the id of the right key
    assert server.take(forged) == []
    assert not server.was_taken


def new_hello() -> bytes:
    client = new_client()
    client.begin(0)
    (hello,) = client.poll(0)
    return hello


def test_each_key_is_told_from_the_others(opened: Open) -> None:
    server = opened(OTHER_KEY, KEY)
    for index, key in enumerate((OTHER_KEY, KEY)):
        client = new_client(key)
        greet(client, server)
        talk(client, server)
        assert server.key == index


def test_a_packet_opens_once_also_when_it_comes_late(opened: Open) -> None:
    client, server = new_client(), opened()
    greet(client, server)
    packets = [sealed(client, b"%d" % number) for number in range(1025)]
    for packet in (*packets[512::-1], *packets[513:1024]):
        assert server.take(packet) != []
        assert server.take(packet) == []
    assert server.take(packets[1024]) == [b"1024"]
    assert server.take(packets[0]) == []


def test_what_has_fallen_out_of_the_window_is_lost(opened: Open) -> None:
    client, server = new_client(), opened()
    greet(client, server)
    packets = [sealed(client, b"%d" % number) for number in range(3000)]
    for number in (0, 1024, 1, 2999, 2999 - 1023, 2999 - 1024):
        server.take(packets[number])
        assert server.was_taken == (number != 2999 - 1024), number


def test_a_changed_packet_changes_nothing(opened: Open) -> None:
    client, server = new_client(), opened()
    greet(client, server)
    packet = sealed(client)
    for place in range(len(packet)):
        spoiled = packet[:place] + bytes([packet[place] ^ 1]) + packet[place + 1 :]
        assert REQUEST not in server.take(spoiled)
        assert not server.was_taken
    for size in range(len(packet)):
        assert REQUEST not in server.take(packet[:size])
    assert server.take(packet) == [REQUEST]


def test_the_same_hello_has_the_same_welcome(opened: Open) -> None:
    client, server = new_client(), opened()
    client.begin(0)
    (hello,) = client.poll(0)
    (welcome,) = server.take(hello)
    assert server.take(hello, 29.9) == [welcome]
    client.open(welcome, 0)
    talk(client, server)
    assert server.take(hello, 29.9) == [welcome]
    assert server.take(hello, 30.1) != [welcome]


def test_hellos_that_are_replayed_never_replace_a_session(opened: Open) -> None:
    client, server = new_client(), opened()
    old = [new_hello() for _ in range(10)]
    hello = greet(client, server)
    talk(client, server)
    for replayed in (*old, hello):
        server.take(replayed, 40.0)
    talk(client, server, 40.0)


def test_a_new_session_of_a_client_takes_over_and_the_old_one_ends_later(opened: Open) -> None:
    client, server = new_client(), opened()
    greet(client, server)
    talk(client, server)
    early, late = sealed(client), sealed(client)
    greet(client, server, 10.0)
    assert client.poll(10.0) != []  # it would prove the session; that packet is lost
    assert server.take(early, 11.0) == [REQUEST]
    assert client.open(answered(server), 11.0) == ANSWER  # over the old one still
    talk(client, server, 12.0)
    assert server.take(late, 43.0) == [b"\4" + late[1:5]]


def test_a_late_packet_of_an_older_handshake_does_not_take_over(opened: Open) -> None:
    client, server = new_client(), opened(sessions=4)
    greet(client, server)
    lost = sealed(client)
    greet(client, server, 1.0)
    talk(client, server, 1.0)
    assert server.take(lost, 2.0) == [REQUEST]
    talk(client, server, 2.0)
    packet = answered(server)
    assert is_data(packet)
    assert client.open(packet, 2.0) == ANSWER


def test_the_client_that_spoke_last_is_answered(opened: Open) -> None:
    one, other, server = new_client(), new_client(instance=b"client 2"), opened()
    greet(one, server)
    talk(one, server)
    greet(other, server)
    talk(other, server)
    talk(one, server)
    talk(other, server)


def test_more_clients_than_there_is_room_for_come_in_again(opened: Open) -> None:
    server = opened()
    clients = [new_client(instance=b"client %d" % number) for number in range(5)]
    for at, client in enumerate(clients):
        greet(client, server, at)
        talk(client, server, at)
    (unknown,) = server.take(sealed(clients[0]), 10.0)
    assert clients[0].open(unknown, 10.0) is None
    (hello,) = clients[0].poll(10.0)
    (welcome,) = server.take(hello, 10.0)
    clients[0].open(welcome, 10.0)
    talk(clients[0], server, 10.0)


def test_a_client_that_is_silent_for_an_hour_is_forgotten(opened: Open) -> None:
    client, server = new_client(), opened()
    greet(client, server)
    talk(client, server)
    packet = sealed(client)
    assert server.take(packet, 3601.0) == [b"\4" + packet[1:5]]


def test_on_a_stream_packets_come_without_a_gap(opened: Open) -> None:
    client, server = new_client(in_order=True), opened(form=BASE64)
    greet(client, server)
    first, _, third = (sealed(client) for _ in range(3))
    assert server.take(first) == [REQUEST]
    for wrong in (first, third, b"\3" + bytes(30)):
        assert server.take(wrong) == []
        assert not server.was_taken


@pytest.mark.parametrize("form", FORMS, ids=["binary", "base85", "base64"])
def test_what_is_no_packet_is_refused(opened: Open, form: Form) -> None:
    server = opened(form=form)
    for wrong in (
        b"\0",
        b"{}",
        b"!",
        b"!!",
        b"!AAA",
        b"! ",
        b"\1",
        b"\5" * 70,
        b"!~~~~~",
        b"~",
        b"\1\2" + bytes(68),
    ):
        assert server.take_wrapped(wrong) == []
        assert not server.was_taken
