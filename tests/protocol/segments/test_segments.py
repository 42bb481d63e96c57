"""Segmentation: any bytes do no harm, and what gets through at all arrives whole and once."""

import itertools
import random
from heapq import heappop, heappush

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jsonrpc_iot.protocol.limits import Limits
from jsonrpc_iot.protocol.segments.format import AssemblyBudget, Segmentation, largest_message
from jsonrpc_iot.protocol.segments.sender import cut
from tests.vectors import Vector, read_vectors

PACKET = 40
CHUNK = PACKET - 9


def new(packet: int = PACKET, limits: Limits = Limits(), left: int = 1 << 26) -> Segmentation:
    return Segmentation(packet, limits=limits, budget=AssemblyBudget(left))


def text(size: int) -> bytes:
    return bytes(32 + number % 90 for number in range(size))


def segment(number: int, index: int, count: int, chunk: bytes) -> bytes:
    return b"~%02x%03x%03x" % (number, index, count) + chunk


def run(
    here: Segmentation,
    there: Segmentation,
    chance: random.Random,
    *,
    drop: float = 0.0,
    double: float = 0.0,
    late: float = 0.0,
    until: float = 1000.0,
) -> tuple[list[bytes], list[bytes], float]:
    """Let two ends talk over a bad link in simulated time; returns what each got, and the end."""
    ends = (here, there)
    got: tuple[list[bytes], list[bytes]] = ([], [])
    under_way: list[tuple[float, int, int, bytes]] = []
    now, serial = 0.0, 0
    while now < until:
        for side in (0, 1):
            for packet in ends[side].poll(now):
                assert len(packet) <= PACKET
                for _ in range(1 + (chance.random() < double)):
                    if chance.random() >= drop:
                        delay = 0.001 + (chance.random() * 0.05 if chance.random() < late else 0)
                        serial += 1
                        heappush(under_way, (now + delay, serial, 1 - side, packet))
        due = min(here.next_due(), there.next_due(), under_way[0][0] if under_way else until)
        if due >= until:
            break
        now = max(now, due)
        while under_way and under_way[0][0] <= now:
            _, _, side, packet = heappop(under_way)
            got[side].extend(ends[side].receive([packet], now))
    return *got, now


@pytest.mark.parametrize(
    "vector", [pytest.param(each, id=each["name"]) for each in read_vectors("segments")]
)
def test_vectors(vector: Vector) -> None:
    end = new(vector["packet"])
    for step in vector["steps"]:
        if "send" in step:
            end.sender.send(step["send"].encode())
        messages = end.receive([each.encode() for each in step.get("received", ())], step["at"])
        assert [each.decode() for each in messages] == step.get("messages", [])
        assert [each.decode() for each in end.poll(step["at"])] == step.get("sent", [])


# What leaves


def test_at_most_32_segments_are_unreported() -> None:
    end = new()
    end.sender.send(text(CHUNK * 100))
    assert len(end.poll(0)) == 32
    assert end.poll(0) == []
    assert end.receive([b"~00!010"], 0) == []
    assert [packet[3:6] for packet in end.poll(0)] == [b"%03x" % n for n in range(32, 48)]


def test_what_has_just_left_again_is_not_repeated_for_an_older_report() -> None:
    end = new()
    end.sender.send(text(CHUNK * 40))
    end.poll(0)
    end.receive([b"~00!003,003"], 0.01)
    assert end.poll(0.01)[0][3:6] == b"003"
    end.receive([b"~00!003,003"], 0.011)
    assert end.poll(0.011) == []


@pytest.mark.parametrize("report", [b"~00!021", b"~00!000,000-020", b"~00!000,000-062"])
def test_a_report_of_segments_that_have_never_left_is_dropped(report: bytes) -> None:
    end = new()
    end.sender.send(text(CHUNK * 100))
    assert len(end.poll(0)) == 32
    end.receive([report], 1)
    assert end.dropped == 1


@pytest.mark.parametrize(
    "report",
    [
        b"~00!",
        b"~00!0",
        b"~00!003,",
        b"~00!003,1",
        b"~00!003,004-",
        b"~00!003,005-004",
        b"~00!003,004,004",
        b"~00!003,004-fff",
        b"~00!00b",
        b"~00!-01",
        b"~0x!003",
        b"~00!000" + b",000-009" * 3000,
    ],
)
def test_a_report_that_makes_no_sense_is_dropped_and_counted(report: bytes) -> None:
    end = new()
    end.sender.send(text(CHUNK * 10))
    end.poll(0)
    assert end.receive([report], 0) == []
    assert end.dropped == 1
    assert end.poll(0) == []
    assert end.sender.is_busy


def test_without_reports_the_sender_asks_ever_more_rarely_and_gives_up_after_30_s() -> None:
    end = new()
    end.sender.send(text(CHUNK * 10))
    end.poll(0)
    asked = []
    while end.sender.is_busy:
        now = end.next_due()
        if packets := end.poll(now):
            asked.append(now)
            assert [int(packet[3:6], 16) for packet in packets] == [0, 9]
    assert asked == [0.25, 0.75, *(1.75 + 2 * turn for turn in range(15))]
    assert end.sender.given_up == 1
    assert end.sender.waiting_bytes == 0


def test_a_stranger_is_sent_little_until_it_has_reported_something() -> None:
    end = Segmentation(PACKET, is_known=False)
    end.sender.send(text(CHUNK * 100))
    assert len(end.poll(0)) == 16
    seconds, packets = 0.0, 0
    while end.sender.is_busy:
        seconds = end.next_due()
        packets += len(end.poll(seconds))
    assert (packets, end.sender.given_up) == (8, 1)
    assert seconds < 10

    end.sender.send(text(CHUNK * 100))
    end.poll(20)
    end.receive([b"~02!010", b"~01!010"], 20)
    assert len(end.poll(20)) == 32


def test_a_receiver_cannot_keep_a_message_leaving_for_ever() -> None:
    end = new()
    end.sender.send(text(CHUNK * 4))
    now, packets = 0.0, len(end.poll(0))
    while end.sender.is_busy:
        now += 0.3
        end.receive([b"~00!001", b"~00!000,000"], now)
        packets += len(end.poll(now))
    assert packets <= 64 * 4 + 32
    assert end.sender.given_up == 1


def test_a_forgotten_message_leaves_no_more() -> None:
    end = new()
    first, second = text(CHUNK * 100), text(CHUNK * 99)
    end.sender.send(first)
    end.sender.send(second)
    end.poll(0)
    end.sender.forget(first)
    assert end.sender.waiting_bytes == len(second)
    assert all(packet.startswith(b"~01") for packet in end.poll(0))
    end.sender.forget(second)
    end.sender.forget(b"unknown")
    assert not end.sender.is_busy


def test_a_message_is_superseded_unless_some_of_it_has_arrived() -> None:
    end = new()
    message = text(CHUNK * 40)
    end.sender.send(message)
    end.poll(0)
    end.receive([b"~00!000"], 0.1)  # an end that has begun to listen
    end.sender.forget(message, unless_heard=True)
    assert not end.sender.is_busy

    end.sender.send(message)
    end.poll(1)
    end.receive([b"~01!001"], 1.1)
    end.sender.forget(message, unless_heard=True)
    assert end.sender.is_busy


def test_the_same_message_is_not_sent_twice_at_a_time() -> None:
    end, there = new(), new()
    for _ in range(2):
        end.sender.send(text(100))
        end.sender.send(text(100))
    assert end.sender.waiting_bytes == 100
    assert run(end, there, random.Random(0))[1] == [text(100)]
    end.sender.send(text(100))
    assert run(end, there, random.Random(0))[1] == [text(100)]


@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode), st.integers(1, 30))
def test_chunks_are_as_large_as_they_may_be_and_whole_characters(message: bytes, size: int) -> None:
    cuts = cut(message, size)
    chunks = [message[a:b] for a, b in itertools.pairwise(cuts)]
    assert b"".join(chunks) == message
    assert all(chunks) or not message
    assert max(map(len, chunks)) <= size
    assert all(len(chunk) > size - 4 for chunk in chunks[:-1])
    try:
        message.decode()
    except UnicodeDecodeError:
        return
    if size >= 4:
        for chunk in chunks:
            chunk.decode()


def test_a_message_that_has_arrived_leaves_time_for_its_answer() -> None:
    end = Segmentation(220, retry_seconds=0.5)
    end.sender.send(b"x" * 1000)
    segments = end.poll(10.0)
    end.receive([b"~00!%03x" % len(segments)], 13.0)
    assert not end.sender.is_busy
    assert end.is_moving(13.4)
    assert not end.is_moving(13.6)


@pytest.mark.parametrize("letter", ["x", "é", "中", "😀"])
@pytest.mark.parametrize("packet", [40, 220, 1400])
def test_the_largest_message_fits_the_numbers(letter: str, packet: int) -> None:
    limits = Limits()
    largest = largest_message(packet, limits)
    assert largest == 4095 * (packet - 9)
    message = (letter * largest).encode()[:largest]
    assert len(cut(message, packet - 9)) - 1 <= 4095


def test_what_fits_one_packet_is_sent_whatever_a_receiver_assembles() -> None:
    assert largest_message(1400, Limits(assembled_bytes=1000)) == 1400
    assert largest_message(1400, Limits(assembled_bytes=1600)) == 1400


def test_no_message_is_sent_that_the_other_end_would_not_take() -> None:
    limits = Limits(assembled_bytes=100_000)
    end, there = new(1400, limits), new(1400, limits)
    largest = largest_message(1400, limits)
    assert largest < 100_000
    end.sender.send(text(largest))
    received: list[bytes] = []
    for _ in range(20):
        received += there.receive(end.poll(0), 0)
        end.receive(there.poll(0), 0)
    assert received == [text(largest)]


# What arrives


@pytest.mark.parametrize("order", ["straight", "backwards", "shuffled", "doubled"])
def test_any_order_will_do(order: str) -> None:
    message = text(CHUNK * 20 + 5)
    end = new()
    end.sender.send(message)
    packets = end.poll(0)
    if order == "backwards":
        packets.reverse()
    elif order == "shuffled":
        random.Random(1).shuffle(packets)
    elif order == "doubled":
        packets = [packet for packet in packets for _ in range(2)]
    there = new()
    assert there.receive(packets, 0) == [message]
    assert there.poll(0) == [b"~00!015"]
    assert there.assembler.used == 0


def test_reports_come_every_16_segments_at_the_end_and_after_a_pause() -> None:
    end, there = new(), new()
    end.sender.send(text(CHUNK * 31))
    packets = end.poll(0)
    there.receive(packets[:15], 0)
    assert there.poll(0) == []
    there.receive(packets[15:16], 0)
    assert there.poll(0) == [b"~00!010"]
    there.receive(packets[16:18] + packets[20:21], 1)
    assert there.poll(1.05) == []
    assert there.next_due() == pytest.approx(1.1)
    assert there.poll(1.1) == [b"~00!012,012-013"]
    assert there.poll(2) == []
    there.receive(packets[30:], 3)
    assert there.poll(3) == [b"~00!012,012-013,015-01d"]


def test_a_report_fits_its_packet() -> None:
    end, there = new(), new()
    end.sender.send(text(CHUNK * 32))
    there.receive(end.poll(0)[1::2], 0)
    (report,) = there.poll(0)
    assert len(report) <= PACKET
    end.receive([report], 0)
    assert all(packet[3:6] < b"020" for packet in end.poll(0))


def test_late_copies_are_reported_and_not_assembled_again() -> None:
    end, there = new(), new()
    end.sender.send(text(100))
    packets = end.poll(0)
    assert there.receive(packets, 0) == [text(100)]
    there.poll(0)
    assert there.receive(packets, 5) == []
    assert there.poll(5) == [b"~00!004"]
    assert there.next_due() > 1e9


@pytest.mark.parametrize("change", ["count", "content", "time"])
def test_a_number_that_comes_again_begins_a_new_message(change: str) -> None:
    there = new()
    assert there.receive([segment(7, 0, 2, b"ab"), segment(7, 1, 2, b"c")], 0) == [b"abc"]
    if change == "count":
        packets, message, now = [segment(7, i, 3, b"ab") for i in range(3)], b"ababab", 1
    elif change == "content":
        packets, message, now = [segment(7, i, 2, b"xy") for i in range(2)], b"xyxy", 1
    else:
        packets, message, now = [segment(7, 0, 2, b"ab"), segment(7, 1, 2, b"c")], b"abc", 46
    assert there.receive(packets, now) == [message]


def test_an_unfinished_message_whose_number_comes_again_is_given_up() -> None:
    there = new()
    assert there.receive([segment(7, 0, 2, b"old")], 0) == []
    assert there.receive([segment(7, i, 2, b"new") for i in range(2)], 0) == [b"newnew"]
    assert there.assembler.abandoned == 1


@pytest.mark.parametrize(
    "packet",
    [
        b"~",
        b"~0",
        b"~00",
        b"~0000000",
        segment(0, 0, 0, b"x"),
        segment(0, 2, 2, b"x"),
        segment(0, 9, 2, b"x"),
        segment(0, 0, 2, b""),
        b"~0x000002ab",
        b"~ 1000002ab",
        b"~+1000002ab",
        b"~{}",
    ],
)
def test_a_segment_that_makes_no_sense_is_dropped_and_counted(packet: bytes) -> None:
    there = new()
    assert there.receive([packet], 0) == []
    assert there.dropped == 1
    assert there.poll(0) == []
    assert there.next_due() > 1e9


def test_an_unfinished_message_is_dropped_after_10_s() -> None:
    there = new()
    there.receive([segment(1, 0, 3, b"x")], 0)
    there.receive([segment(1, 1, 3, b"x")], 9)
    there.receive([segment(1, 1, 3, b"x")], 18)  # nothing new
    there.poll(18.9)
    assert there.assembler.abandoned == 0
    assert there.assembler.used > 0
    there.poll(19)
    assert there.assembler.abandoned == 1
    assert there.assembler.used == 0


def test_eight_messages_are_assembled_at_once_and_stale_ones_make_room() -> None:
    there = new()
    for number in range(10):
        there.receive([segment(number, 0, 2, b"x")], number / 100)
    assert there.dropped == 2
    assert there.receive([segment(3, 1, 2, b"y")], 0.5) == [b"xy"]
    for number in range(20, 22):
        there.receive([segment(number, 0, 2, b"x")], 2)
    assert there.assembler.abandoned == 1
    assert there.dropped == 2


def test_bytes_are_bounded_for_a_peer_and_for_all() -> None:
    limits = Limits(assembled_bytes=2_000)
    budget = AssemblyBudget(5_000)
    ends = [Segmentation(PACKET, limits=limits, budget=budget) for _ in range(4)]
    for there in ends:
        there.receive([segment(0, index, 10, b"x" * 60) for index in range(1, 10)], 0)
        there.receive([segment(1, index, 10, b"x" * 60) for index in range(1, 10)], 0)
        assert there.assembler.used <= 2_000
    assert budget.left >= 0
    assert sum(there.assembler.used for there in ends) == 5_000 - budget.left > 3_000
    assert all(there.dropped for there in ends)
    for there in ends:
        there.assembler.clear()
    assert budget.left == 5_000


def test_who_holds_most_makes_room_for_who_has_less_than_a_share() -> None:
    budget = AssemblyBudget(10_000)
    hogs = [Segmentation(PACKET, limits=Limits(), budget=budget) for _ in range(8)]
    for index in range(1, 100):
        for hog in hogs:
            hog.receive([segment(0, index, 101, b"x" * CHUNK)], 0)
    assert budget.left < CHUNK + 128
    newcomer = Segmentation(PACKET, limits=Limits(), budget=budget)
    message = text(5 * CHUNK)
    newcomer.sender.send(message)
    assert newcomer.receive(newcomer.poll(0), 0) == [message]
    assert newcomer.dropped == 0
    assert [hog.assembler.abandoned for hog in hogs].count(1) == 1
    assert 0 <= budget.left == 10_000 - sum(hog.assembler.used for hog in hogs)
    # One that has its share already takes from nobody.
    for index in range(1, 100):
        newcomer.receive([segment(1, index, 101, b"x" * CHUNK)], 0)
    assert newcomer.assembler.used <= 10_000 / 8 + CHUNK + 128
    assert newcomer.dropped > 50


def test_a_message_that_can_never_fit_is_not_begun() -> None:
    there = new(limits=Limits(assembled_bytes=100_000))
    there.receive([segment(0, 0, 4095, b"x" * 1000)], 0)
    assert there.dropped == 1
    assert there.assembler.used == 0


# Both ends


@given(
    st.lists(st.integers(0, 3000), max_size=8),
    st.lists(st.integers(0, 3000), max_size=8),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
    st.floats(0, 1),
    st.integers(0, 1 << 32),
)
@example([], [123, 898, 309, 650, 61], 0.48046875, 0.015625, 0.552734375, 312413177)
def test_all_messages_arrive_once_whatever_the_link_does(
    out: list[int], back: list[int], drop: float, double: float, late: float, seed: int
) -> None:
    here, there = new(), new()
    sent = [b"%d:" % number + text(size) for number, size in enumerate(out)]
    answers = [b"%d!" % number + text(size) for number, size in enumerate(back)]
    for message in sent:
        here.sender.send(message)
    for message in answers:
        there.sender.send(message)
    chance = random.Random(seed)
    got_back, got, _ = run(here, there, chance, drop=drop, double=double, late=late)
    for end, wanted, found in ((here, sent, got), (there, answers, got_back)):
        assert len(set(found)) == len(found)
        assert set(found) <= set(wanted)
        assert len(wanted) - len(found) <= end.sender.given_up
        if drop < 0.2:
            assert end.sender.given_up == 0
    assert not here.sender.is_busy
    assert not there.sender.is_busy
    assert here.assembler.used == there.assembler.used == 0


def test_a_message_whose_last_report_is_lost_arrives_once_however_many_follow() -> None:
    here, there = new(), new()
    sent = [b"%d:" % number + text(40) for number in range(60)]
    for message in sent:
        here.sender.send(message)
    got: list[bytes] = []
    now = 0.0
    while here.sender.is_busy:
        got += there.receive(here.poll(now), now)
        reports = [each for each in there.poll(now) if not each.startswith(b"~00!") or now > 0.3]
        here.receive(reports, now)
        now += 0.01
    assert got == sent


def test_a_link_that_loses_nothing_keeps_the_order_and_needs_no_timers() -> None:
    here, there = new(), new()
    sent = [b"%d:" % number + text(size * 37 % 3000) for number, size in enumerate(range(60))]
    for message in sent:
        here.sender.send(message)
    _, got, seconds = run(here, there, random.Random(0))
    assert got == sent
    assert seconds < 1


def test_five_percent_of_loss_cost_little() -> None:
    here, there = new(), new()
    here.sender.send(text(CHUNK * 754))
    _, got, seconds = run(here, there, random.Random(3), drop=0.05)
    assert got == [text(CHUNK * 754)]
    assert seconds < 3


hexlike = st.text("0123456789abcdefABCDEF!,-", max_size=24).map(str.encode)


@given(
    st.lists(
        st.tuples(
            st.binary(max_size=60)
            | hexlike.map(lambda tail: b"~" + tail)
            | st.builds(
                segment,
                st.integers(0, 3),
                st.integers(0, 6),
                st.integers(0, 6),
                st.binary(max_size=3),
            ),
            st.floats(0, 4),
        ),
        max_size=80,
    )
)
def test_any_packets_give_messages_or_counted_drops_and_nothing_else(
    packets: list[tuple[bytes, float]],
) -> None:
    limits = Limits(assembled_bytes=1500)
    there = new(limits=limits)
    there.sender.send(text(100))
    now = 0.0
    for packet, pause in packets:
        now += pause
        messages = there.receive([packet], now)
        if not packet.startswith(b"~"):
            assert messages == [packet]
        assert all(len(each) <= PACKET for each in there.poll(now))
        assert 0 <= there.assembler.used <= 1500
        assert there.assembler.used + there.assembler._budget.left == 1 << 26
    there.poll(now + 10)
    assert there.assembler.used == 0


def test_a_report_with_spaces_behind_it_counts() -> None:
    """A channel that must not send equal packets in a row adds them."""
    segmentation = Segmentation(40)
    assert segmentation.receive([b"~01!003", b"~01!003 ", b"~01!003,004 "], 0.0) == []
    assert segmentation.dropped == 0


def test_a_host_with_many_peers_has_no_more_than_its_share() -> None:
    budget = AssemblyBudget(40_000)
    hogs = [
        Segmentation(PACKET, limits=Limits(), budget=budget, network="greedy") for _ in range(50)
    ]
    others = [
        Segmentation(PACKET, limits=Limits(), budget=budget, network=name) for name in ("a", "b")
    ]
    for index in range(1, 30):
        for hog in hogs:
            hog.receive([segment(0, index, 31, b"x" * CHUNK)], 0)
    assert budget.left < CHUNK + 128
    for there in others:
        message = text(5 * CHUNK)
        there.sender.send(message)
        assert there.receive(there.poll(0), 0) == [message]
        assert there.dropped == 0


def test_in_one_network_who_holds_most_makes_room_too() -> None:
    budget = AssemblyBudget(10_000)
    hog, modest = (
        Segmentation(PACKET, limits=Limits(), budget=budget, network="home") for _ in range(2)
    )
    for index in range(1, 100):
        hog.receive([segment(0, index, 101, b"x" * CHUNK)], 0)
    assert budget.left < CHUNK + 128
    message = text(5 * CHUNK)
    modest.sender.send(message)
    assert modest.receive(modest.poll(0), 0) == [message]
    assert modest.dropped == 0
