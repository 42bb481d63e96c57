"""Segments in C, against those of the package, over links that are as bad as one likes."""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from math import inf
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from jsonrpc_iot.protocol.segments.format import Segmentation
from tests.protocol.segments.test_segments import CHUNK, PACKET, new, run, segment, text
from tests.vectors import Vector, read_vectors

from .desk import HERE, Driver, build_here, driven

pytestmark = pytest.mark.firmware

POLL_SECONDS: Final = 0.02
LONG: Final = 100 * CHUNK
ROOM: Final = 110 * (CHUNK + 2)


class Counts(NamedTuple):
    dropped: int
    abandoned: int
    given_up: int
    unsent: int


class InC:
    """An end in C, with the face of `Segmentation`."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._packets: list[bytes] = []
        self._due = inf
        self.counts = Counts(0, 0, 0, 0)
        self.sender = self

    def send(self, message: bytes) -> None:
        self._ask("send", message.hex())
        self._due = -inf

    def receive(self, packets: Iterable[bytes], now: float) -> list[bytes]:
        messages: list[bytes] = []
        for packet in packets:
            messages += self._ask("packet", round(now * 1000), packet.hex())
            self._due = now
        return messages

    def poll(self, now: float) -> list[bytes]:
        self._has_more = True
        while self._has_more:
            self._ask("poll", round(now * 1000))
        self._due = now + POLL_SECONDS if self._is_busy else inf
        packets, self._packets = self._packets, []
        return packets

    def next_due(self) -> float:
        return self._due

    def _ask(self, *command: object) -> list[bytes]:
        messages: list[bytes] = []
        self._has_more = False
        for line in self._driver.ask(*command):
            word, *rest = line.split(" ")
            if word == "sent":
                self._packets.append(bytes.fromhex(rest[0]))
            elif word == "message":
                messages.append(bytes.fromhex(rest[0]))
            elif word == "more":
                self._has_more = True
            else:
                self._is_busy = rest[0] == "1"
                self.counts = Counts(*map(int, rest[1:]))
        return messages


NewEnd = Callable[..., InC]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The driver."""
    return build_here(
        tmp_path_factory.mktemp("segments") / "segments", HERE / "programs" / "segments.c"
    )


@pytest.fixture
def in_c(program: Path) -> Iterator[NewEnd]:
    """Makes ends."""
    with ExitStack() as running:

        def new_end(*, packet: int = PACKET, arriving: int = ROOM, leaving: int = ROOM) -> InC:
            sizes = map(str, (packet, arriving, leaving, 250))
            return InC(running.enter_context(driven(program, *sizes)))

        yield new_end


def between(
    end: InC, peer: Segmentation, seed: int = 0, **faults: float
) -> tuple[list[bytes], list[bytes]]:
    """Run both, and give what each got."""
    got, got_by_peer, _ = run(end, peer, random.Random(seed), **faults)  # type: ignore[arg-type]
    return got, got_by_peer


ARRIVING = [
    pytest.param(each, id=each["name"])
    for each in read_vectors("segments")
    if not any("send" in step for step in each["steps"])
]


@pytest.mark.parametrize("vector", ARRIVING)
def test_vectors(in_c: NewEnd, vector: Vector) -> None:
    end = in_c(packet=vector["packet"])
    for step in vector["steps"]:
        messages = end.receive([each.encode() for each in step.get("received", ())], step["at"])
        reports = dict.fromkeys(each.decode() for each in end.poll(step["at"]))
        assert [each.decode() for each in messages] == step.get("messages", [])
        assert list(reports) == step.get("sent", [])


MESSAGES: Final = [text(size) for size in (1, PACKET, PACKET + 1, CHUNK * 33, LONG)]


def test_messages_arrive_both_ways(in_c: NewEnd) -> None:
    end, peer = in_c(), new()
    for message in MESSAGES:
        end.send(message)
        peer.sender.send(message)
        assert between(end, peer) == ([message], [message])
    assert end.counts == Counts(0, 0, 0, 0)


@pytest.mark.parametrize("seed", range(6))
def test_what_gets_lost_doubled_or_late_arrives_whole_and_once(in_c: NewEnd, seed: int) -> None:
    end, peer = in_c(), new()
    for message in (text(LONG), text(LONG)[::-1], text(CHUNK * 20)):
        end.send(message)
        peer.sender.send(message)
        got = between(end, peer, seed, drop=0.2, double=0.1, late=0.2)
        assert got == ([message], [message])


def test_letters_are_not_cut(in_c: NewEnd) -> None:
    end, peer = in_c(), new()
    for letters in ("ü", "aü", "字", "x字", "😀", "xy😀"):
        message = (letters * 60).encode()
        end.send(message)
        for packet in (packets := end.poll(0)):
            packet.decode()
        assert peer.receive(packets, 0) == [message]
        end.receive(peer.poll(0), 0)
        peer.sender.send(message)
        assert end.receive(peer.poll(0), 0) == [message]
        peer.receive(end.poll(0), 0)


def test_bytes_that_are_no_text_leave_as_they_are(in_c: NewEnd) -> None:
    end, peer = in_c(), new()
    end.send(b"\x80" * 500)
    assert between(end, peer) == ([], [b"\x80" * 500])


def test_long_messages_leave_one_after_the_other(in_c: NewEnd) -> None:
    end, peer = in_c(leaving=4 * (CHUNK * 20 + 4)), new()
    messages = [text(CHUNK * 20 - number) for number in range(5)]
    for message in messages:
        end.send(message)
    end.send(b"short")  # overtakes them
    assert between(end, peer, drop=0.1) == ([], [b"short", *messages[:4]])
    assert end.counts.unsent == 1


def test_a_message_with_more_segments_than_there_are_numbers_is_not_sent(in_c: NewEnd) -> None:
    end = in_c(packet=32, leaving=200_000)
    end.send(bytes(4095 * 20 + 1))
    assert end.counts.unsent == 1
    assert end.poll(0) == []


def test_one_at_a_time_arrives_and_the_others_after_it(in_c: NewEnd) -> None:
    end, peer = in_c(), new()
    messages = [text(CHUNK * size) for size in (20, 30, 40)]
    for message in messages:
        peer.sender.send(message)
    got, _ = between(end, peer, drop=0.2)
    assert sorted(got) == sorted(messages)
    assert end.counts.dropped > 0


def test_what_is_too_long_is_dropped_and_disturbs_nothing(in_c: NewEnd) -> None:
    end, peer = in_c(arriving=10 * (CHUNK + 2)), new()
    peer.sender.send(text(11 * CHUNK))
    assert between(end, peer) == ([], [])
    peer.sender.send(text(10 * CHUNK))
    assert between(end, peer) == ([text(10 * CHUNK)], [])


def test_late_copies_of_a_message_are_known_and_new_messages_of_its_number_too(
    in_c: NewEnd,
) -> None:
    end = in_c()
    copies = [segment(7, index, 3, b"%d" % index * 5) for index in range(3)]
    assert end.receive(copies, 0) == [b"000001111122222"]
    assert end.poll(0) == [b"~07!003"]
    for _ in range(3):
        assert end.receive(copies, 1) == []
    assert set(end.poll(1)) == {b"~07!003"}
    others = [segment(7, index, 3, b"%d" % index * 6) for index in range(3)]
    assert end.receive(others[1:2], 2) == []  # may be a copy
    assert end.poll(2) == []
    assert end.receive(others[:1] + others[2:], 2) == []
    assert end.receive(others[1:2], 2) == [b"000000111111222222"]


def test_a_message_without_its_rest_makes_room_after_a_second_and_ends_after_ten(
    in_c: NewEnd,
) -> None:
    end = in_c()
    end.receive([segment(1, 0, 2, b"a")], 0)
    other = [segment(2, index, 2, b"b") for index in range(2)]
    assert end.receive(other, 0.9) == []
    assert end.receive(other, 1.0) == [b"bb"]
    end.receive([segment(1, 0, 2, b"a")], 2)
    end.poll(11.9)
    assert end.counts.abandoned == 1
    end.poll(12)
    assert end.counts.abandoned == 2


def test_whom_nobody_answers_gives_up_after_30_seconds(in_c: NewEnd) -> None:
    end = in_c()
    end.send(text(LONG))
    packets = sum(len(end.poll(at / 10)) for at in range(301))
    assert end.counts.given_up == 1
    assert 32 <= packets < 80
    assert end.poll(40) == []


def test_a_receiver_that_always_lacks_the_same_keeps_nobody_busy(in_c: NewEnd) -> None:
    end = in_c()
    end.send(text(LONG))
    packets = 0
    for at in range(6000):
        packets += len(end.poll(at / 100))
        end.receive([b"~01!000,000"], at / 100)
    assert end.counts.given_up == 1
    assert packets < 300


def test_echoes_of_segments_are_none(in_c: NewEnd) -> None:
    end, peer = in_c(), new()
    end.send(text(CHUNK * 10))
    packets = end.poll(0)
    assert end.receive(packets, 0) == []
    assert end.poll(0) == []
    assert peer.receive(packets, 0) == [text(CHUNK * 10)]


WRONG: Final = [
    b"~", b"~0", b"~00", b"~00!", b"~00!00", b"~00!000,", b"~zz!000", b"~00000000", b"~00001001x",
    b"~00000002", b"~zz000001x", b"~00 00001x", b"~01!fff", b"~01!000,001-", b"~01!000,002-001",
    b"~01!000,001,001", b"~01!000;001", b"~00000001" + b"x" * 100, b"~01!     ",
]  # fmt: skip


@pytest.mark.parametrize("packet", WRONG)
def test_what_makes_no_sense_is_dropped(in_c: NewEnd, packet: bytes) -> None:
    end, peer = in_c(), new()
    end.send(text(CHUNK * 10))
    first = end.poll(0)
    assert end.receive([packet], 0) == []
    assert peer.receive(first, 0) == [text(CHUNK * 10)]
    end.receive(peer.poll(0), 0)
    assert end.poll(0) == []


def test_any_bytes_do_no_harm(in_c: NewEnd) -> None:
    chance = random.Random(1)
    end = in_c()
    end.send(text(LONG))
    letters = b"~!,-0123456789abcdef \xff"
    for at in range(3000):
        packet = b"~0" + bytes(chance.choices(letters, k=chance.randrange(PACKET)))
        end.receive([packet], at / 100)
        end.poll(at / 100)
    peer = new()
    peer.sender.send(text(LONG))
    got, _, _ = run(end, peer, chance, until=3000)  # type: ignore[arg-type]
    assert got[-1:] == [text(LONG)]


@pytest.mark.parametrize("packet", [32, 33, 64, 255, 1400])
def test_packets_of_every_size(in_c: NewEnd, packet: int) -> None:
    chunk = packet - 9
    end = in_c(packet=packet, arriving=3 * (chunk + 2), leaving=3 * chunk + 4)
    peer = new(packet)
    for size in (packet + 1, 2 * chunk, 3 * chunk - 1, 3 * chunk):
        message = text(size)
        end.send(message)
        packets = end.poll(0)
        assert max(map(len, packets)) == packet
        assert peer.receive(packets, 0) == [message]
        end.receive(peer.poll(0), 0)
        peer.sender.send(message)
        assert end.receive(peer.poll(0), 0) == [message]
        peer.receive(end.poll(0), 0)
    end.send(text(3 * chunk + 1))
    assert end.counts.unsent == 1
