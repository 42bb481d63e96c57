"""What either end remembers of a streamed result, whatever happens to its messages."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from jsonrpc_iot.protocol.budget import Budget, Share
from jsonrpc_iot.protocol.codec.json import JsonCodec
from jsonrpc_iot.protocol.items import FIRST_CREDIT, Credit, ReceivedItems, SentItems
from jsonrpc_iot.protocol.session import Session

HUGE = 10**30
ROOM = 1 << 20


def item(seq: int) -> Raw:
    return Raw(b"%d" % seq)


def sent(count: int, share: Share | None = None, size: int = 10) -> SentItems:
    items = SentItems(share)
    for seq in range(count):
        items.add(b"%0*d" % (size, seq))
    return items


def take_all(items: ReceivedItems) -> list[int]:
    taken = []
    while (raw := items.take()) is not None:
        taken.append(int(bytes(raw)))
    return taken


@given(
    total=st.integers(0, 60),
    window=st.integers(1, 40),
    fate=st.randoms(use_true_random=False),
    loss=st.floats(0, 0.7),
)
def test_each_item_comes_out_once_in_order_over_any_link(
    total: int,
    window: int,
    fate: Random,
    loss: float,
) -> None:
    budget = Budget(1, ROOM)
    sender, reader = SentItems(Share(budget)), ReceivedItems(window)
    sender.grant(reader.granted)
    link: list[tuple[int, bytes]] = []
    taken: list[int] = []

    def put(message: bytes) -> None:
        copies = 0 if fate.random() < loss else fate.choice((1, 1, 2))
        link.extend([(int(message), message)] * copies)

    for turn in range(10_000):
        while sender.may_send and sender.count < total:
            message = b"%d" % sender.count
            sender.add(message)
            put(message)
        if sender.count == total and turn % 3 == 2:
            reader.count = total
        fate.shuffle(link)
        for _ in range(fate.randrange(len(link) + 1)):
            seq, message = link.pop()
            reader.put(seq, Raw(message))
        taken += take_all(reader)
        if (upto := reader.grant()) and fate.random() >= loss:
            sender.grant(upto)
        if reader.is_complete:
            break
        if turn % 2:
            sender.grant(reader.granted)
            again = sender.again(reader.missing(tail=True))
            assert again is not None
            for message in again:
                put(message)
    assert taken == list(range(total))
    assert reader.is_complete
    sender.forget()
    assert budget.byte_count == ROOM


@given(seqs=st.lists(st.integers(-5, 40) | st.just(HUGE)), window=st.integers(1, 20))
def test_items_are_neither_doubled_nor_taken_beyond_the_credit(
    seqs: list[int], window: int
) -> None:
    reader = ReceivedItems(window)
    for seq in seqs:
        reader.put(seq, item(seq))
    within = {seq for seq in seqs if 0 <= seq < max(window, FIRST_CREDIT)}
    assert reader.arrived == len(within)
    assert reader.strays == len(seqs) - len(within)
    taken = take_all(reader)
    assert taken == list(range(len(taken)))
    assert set(taken) <= within
    assert len(taken) not in within


@given(sizes=st.lists(st.integers(0, 300)), room=st.integers(0, 2000))
def test_the_budget_is_given_back_exactly(sizes: list[int], room: int) -> None:
    budget = Budget(1, room)
    sender = SentItems(Share(budget))
    for size in sizes:
        sender.add(b"x" * size)
        assert budget.byte_count >= 0
    sender.forget()
    assert budget.byte_count == room
    sender.forget()
    assert budget.byte_count == room


def test_two_streams_of_a_peer_share_its_part() -> None:
    budget = Budget(1, 200)
    share = Share(budget)  # of which a peer gets a quarter
    first, second = sent(4, share), sent(4, share)
    assert share.byte_count == 50
    assert second.again([0]) == [b"0000000000"]
    assert second.again([1]) is None
    first.forget()
    second.add(b"0000000004")
    assert second.again([4]) == [b"0000000004"]
    second.forget()
    assert budget.byte_count == 200


def test_at_most_128_items_are_kept() -> None:
    budget = Budget(1, ROOM)
    items = sent(200, Share(budget))
    assert budget.byte_count == ROOM - 128 * 10
    assert items.again([72, 199]) == [b"%010d" % 72, b"%010d" % 199]
    assert items.again([71]) is None


def test_nothing_is_kept_where_nothing_gets_lost() -> None:
    assert sent(3).again([0, 1, 7]) == []


@pytest.mark.parametrize(
    ("missing", "found"),
    [
        ([-1, -HUGE], []),
        ([HUGE, 3, 4], []),
        ([2, 0, 2, 0, 0], [0, 2]),
        (range(1_000_000), [0, 1, 2]),
        ([1] * 1_000_000, [1]),
        ([HUGE, -1, 1], [1]),
    ],
    ids=["negative", "never sent", "doubled", "a million", "a million times", "mixed"],
)
def test_requests_for_what_is_missing_that_make_no_sense(
    missing: list[int], found: list[int]
) -> None:
    items = sent(3, Share(Budget(1, ROOM)))
    assert items.again(missing) == [b"%010d" % seq for seq in found]


@pytest.mark.parametrize("upto", [-1, -HUGE, 0, 7, 8])
def test_credit_is_never_taken_back(upto: int) -> None:
    items = sent(FIRST_CREDIT)
    items.grant(upto)
    assert not items.may_send
    items.grant(9)
    items.grant(upto)
    assert items.may_send


def test_credit_may_be_huge() -> None:
    items = sent(FIRST_CREDIT)
    items.grant(HUGE)
    assert items.may_send


@pytest.mark.parametrize("window", [1, 2, 7, 8, 9, 64])
def test_a_reader_is_never_stuck_for_lack_of_credit(window: int) -> None:
    sender, reader = SentItems(None), ReceivedItems(window)
    sender.grant(reader.granted)
    grants = 0
    for seq in range(1000):
        assert sender.may_send
        sender.add(b"")
        reader.put(seq, item(seq))
        assert reader.take() == item(seq)
        if upto := reader.grant():
            grants += 1
            assert upto <= max(seq + 1 + window, FIRST_CREDIT)
            sender.grant(upto)
    assert grants <= 1000 // max(1, window // 2)


def test_no_credit_is_given_once_the_end_is_known() -> None:
    reader = ReceivedItems(8)
    reader.count = 8
    for seq in range(8):
        reader.put(seq, item(seq))
        assert reader.take() is not None
        assert reader.grant() is None
    assert reader.is_complete


def gaps(change: Callable[[ReceivedItems], object], *, tail: bool = False) -> list[int]:
    reader = ReceivedItems(8)
    for seq in (0, 2, 5):
        reader.put(seq, item(seq))
    change(reader)
    return reader.missing(tail=tail)


def test_what_is_missing() -> None:
    def end(count: int) -> Callable[[ReceivedItems], object]:
        return lambda reader: setattr(reader, "count", count)

    assert gaps(lambda _: None) == [1, 3, 4]
    assert gaps(lambda _: None, tail=True) == [1, 3, 4, 6, 7]
    assert gaps(take_all) == [1, 3, 4]
    assert gaps(end(6)) == gaps(end(6), tail=True) == [1, 3, 4]
    assert gaps(end(7)) == [1, 3, 4, 6]
    assert gaps(end(1)) == []
    assert gaps(lambda reader: [take_all(reader), end(0)(reader)]) == []
    few = gaps(end(HUGE))
    assert few[:4] == [1, 3, 4, 6]
    assert len(few) <= 32


def test_lost_items_are_asked_for_in_messages_that_fit_a_small_packet() -> None:
    session = Session(JsonCodec(), first_id=(1 << 31) - 1, dialect="jsonrpc2")
    reader = ReceivedItems(64)
    call, _ = session.open("m", None, lambda: None, items=reader)
    for seq in range(200_000):
        reader.put(seq, item(seq))
        assert reader.take() is not None
        reader.grant()
    reader.put(200_031, item(0))
    missing = reader.missing()
    assert missing[0] == 200_000
    assert len(session.notification("rpc.more", Credit(call.id, missing=missing))) <= 220


def test_a_whole_list_at_once() -> None:
    reader = ReceivedItems(8)
    reader.fill([item(seq) for seq in range(100)])
    assert take_all(reader) == list(range(100))
    assert reader.is_complete
    assert reader.grant() is None
