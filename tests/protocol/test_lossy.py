"""The rules for links that lose, double and reorder packets, told the time (section 1)."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot.protocol.codec.json import JsonCodec
from jsonrpc_iot.protocol.duplicates import Budget, DuplicateTable, Identity, Verdict
from jsonrpc_iot.protocol.messages import Invalid, Message
from jsonrpc_iot.protocol.retries import Due, Repeats
from jsonrpc_iot.protocol.session import Session

CODEC = JsonCodec()
REQUEST = b'{"method":"m","id":1,"params":[5]}'
RETRY = b'{"method":"m","id":1,"params":[5],"retry":true}'


def new_table(
    entries: int = 100, reply_bytes: int = 1000, *, since: float = -1000, has_twins: bool = False
) -> tuple[DuplicateTable, Budget]:
    budget = Budget(entries, reply_bytes)
    return DuplicateTable(budget, since=since, has_twins=has_twins), budget


def first(key: str, *, extended: bool = False) -> Identity:
    return Identity(key.encode(), extended=extended)


def again(key: str, *, idempotent: bool = False) -> Identity:
    return Identity(key.encode(), retry=True, extended=True, idempotent=idempotent)


def run(
    table: DuplicateTable,
    key: str,
    now: float,
    reply: bytes | None = b"r",
    *,
    extended: bool = False,
    sent: bool = True,
) -> None:
    request = first(key, extended=extended)
    assert table.admit(request, now) is Verdict.RUN
    table.finish(request.key, reply, now)
    if sent and reply is not None:
        table.note_sent([reply], now)


# What a server remembers


@pytest.mark.parametrize("copy", [first, again])
def test_a_request_is_joined_while_it_runs(copy: Callable[[str], Identity]) -> None:
    table, _ = new_table()
    assert table.admit(copy("k"), 0) is Verdict.RUN
    assert table.admit(copy("k"), 1000) is Verdict.JOIN
    assert table.admit(copy("other"), 1000) is Verdict.RUN


@pytest.mark.parametrize(
    ("copy", "later", "stored"),
    [
        (first, 0, True),
        (first, 0.5, True),
        (first, 0.51, False),
        (first, 29, False),
        (again, 0, True),
        (again, 0.51, True),
        (again, 30, True),
        (again, 30.01, False),
    ],
)
def test_a_finished_request_is_answered_from_the_store(
    copy: Callable[[str], Identity], later: float, stored: bool
) -> None:
    table, _ = new_table()
    run(table, "k", 100, b"reply")
    assert table.admit(copy("k"), 100 + later) == (b"reply" if stored else Verdict.RUN)


def test_a_first_copy_that_comes_after_the_repeat_is_answered_from_the_store() -> None:
    table, _ = new_table()
    assert table.admit(again("k"), 0) is Verdict.RUN
    table.finish(b"k", b"reply", 0)
    table.note_sent([b"reply"], 0)
    table.finish(b"k", b"other", 1)  # nobody changes what was answered

    assert table.admit(first("k"), 29) == b"reply"


@pytest.mark.parametrize("extended_first", [True, False])
def test_an_id_of_who_knows_extensions_is_never_a_new_request(extended_first: bool) -> None:
    table, _ = new_table()
    run(table, "k", 0, b"reply", extended=extended_first)

    assert table.admit(first("k", extended=not extended_first), 20) == b"reply"
    assert table.admit(first("k"), 29) is Verdict.JOIN
    table.note_sent([b"reply"], 29)


def test_the_time_counts_from_the_end_of_the_call() -> None:
    table, _ = new_table()
    table.admit(first("k"), 0)
    reply = b"reply"
    table.finish(b"k", reply, 50)
    table.note_sent([reply], 50)
    assert table.admit(first("k"), 50.4) == b"reply"
    table.note_sent([reply], 50.4)
    assert table.admit(again("k"), 79) == b"reply"


def test_half_a_second_counts_from_when_the_response_has_left() -> None:
    table, _ = new_table()
    reply = b"reply"
    run(table, "k", 0, reply, sent=False)

    for now in (0.1, 1, 2, 3):  # a module that repeats while the response waits for its turn
        assert table.admit(first("k"), now) is Verdict.JOIN
    table.note_sent([b"something else", reply], 3)
    assert table.admit(first("k"), 3.5) is reply
    table.note_sent([reply], 3.6)
    assert table.admit(first("k"), 3.7) is Verdict.RUN


def test_one_id_for_ever_is_run_each_time() -> None:
    table, budget = new_table()
    for turn in range(50):
        reply = b"%d" % turn
        run(table, "k", turn * 0.6, reply)
        assert table.admit(first("k"), turn * 0.6) == reply
        table.note_sent([reply], turn * 0.6)
    assert budget.entries == 99


def test_a_repeat_that_is_not_known_may_have_run_before_the_server_listened() -> None:
    table, _ = new_table(since=100)
    assert table.admit(first("a"), 110) is Verdict.RUN
    assert table.admit(again("b", idempotent=True), 110) is Verdict.RUN
    assert table.admit(again("c"), 110) is Verdict.UNKNOWN
    assert table.listening(110) == 10
    reply = b"not known"
    table.finish(b"c", reply, 110)
    table.note_sent([reply], 110)

    assert table.admit(first("c"), 130) is reply, "whatever comes later"
    assert table.listening(130) is None
    assert table.admit(again("d"), 130) is Verdict.RUN


def test_where_others_answer_too_a_repeat_that_is_not_known_may_have_run_there() -> None:
    table, _ = new_table(has_twins=True)
    assert table.admit(again("a"), 1e6) is Verdict.UNKNOWN
    assert table.listening(1e6) == 0


def test_a_cancellation_that_comes_first_is_kept() -> None:
    table, _ = new_table()
    table.cancel(7, 0)
    table.cancel("x" * 1000, 0)
    assert table.admit(Identity(b"a", 7), 30) is Verdict.CANCELLED
    assert table.admit(Identity(b"a", 7), 30) is Verdict.JOIN
    assert table.admit(Identity(b"b", 7), 30) is Verdict.RUN
    assert table.admit(Identity(b"c", "x" * 1000), 30) is Verdict.RUN

    table.cancel(8, 30)
    assert table.admit(Identity(b"d", 8), 60.1) is Verdict.RUN


def test_a_flood_of_cancellations_is_bounded() -> None:
    table, budget = new_table()
    for id in range(1000):
        table.cancel(id, 0)
    assert table.admit(Identity(b"old", 1), 0) is Verdict.RUN
    assert table.admit(Identity(b"new", 999), 0) is Verdict.CANCELLED
    assert budget.entries == 98


def test_a_full_table_refuses_and_forgets_nothing_early() -> None:
    table, budget = new_table(entries=8)
    run(table, "a", 0)
    assert table.admit(first("b"), 0) is Verdict.RUN
    assert table.admit(first("c"), 29) is Verdict.FULL
    assert table.admit(again("a"), 29) == b"r"
    assert table.admit(again("b"), 29) is Verdict.JOIN
    assert table.admit(first("c"), 31) is Verdict.RUN
    assert budget.entries == 6


def test_no_peer_takes_more_than_a_quarter_of_what_is_left() -> None:
    budget = Budget(8, 1000)
    tables = [DuplicateTable(budget) for _ in range(7)]
    taken = [sum(table.admit(first(key), 100) is Verdict.RUN for key in "abc") for table in tables]
    assert taken == [2, 2, 1, 1, 1, 1, 0]


def test_strangers_who_take_their_quarters_leave_room_for_others() -> None:
    budget = Budget(4000, 4000)
    for _ in range(5):
        stranger = DuplicateTable(budget)
        for number in range(4000):
            stranger.admit(first(str(number)), 100)

    assert DuplicateTable(budget).admit(first("honest"), 100) is Verdict.RUN


def test_a_reply_without_room_is_forgotten_but_its_request_is_not() -> None:
    table, budget = new_table(reply_bytes=40)
    run(table, "a", 0, b"12345678")
    run(table, "b", 0, b"123")
    assert table.admit(again("a"), 1) == b"12345678"
    assert table.admit(again("b"), 1) is Verdict.GONE
    assert budget.reply_bytes == 32
    table.forget(31)
    assert budget.reply_bytes == 40


def test_a_peer_that_is_gone_leaves_nothing() -> None:
    table, budget = new_table()
    run(table, "a", 0)
    table.admit(first("b"), 0)
    table.clear()
    table.finish(b"b", b"late", 1)
    assert len(table) == 0
    assert (budget.entries, budget.reply_bytes) == (100, 1000)


Steps = st.lists(
    st.tuples(
        st.sampled_from(["admit", "again", "finish", "sent", "forget"]),
        st.sampled_from("abcde"),
        st.floats(0, 12),
        st.integers(0, 30),
    ),
    max_size=80,
)


@given(Steps, st.integers(1, 24), st.integers(0, 60))
def test_nothing_runs_twice_and_nothing_is_lost_from_the_budget(
    steps: list[tuple[str, str, float, int]], entries: int, reply_bytes: int
) -> None:
    table, budget = new_table(entries, reply_bytes)
    now = 0.0
    running: dict[str, bool] = {}
    finished: dict[str, tuple[float, bool]] = {}
    replies: dict[str, bytes] = {}
    for step, key, pause, size in steps:
        now += pause
        if step == "finish":
            if key in running:
                finished[key] = now, running.pop(key)
                replies[key] = b"%s %d " % (key.encode(), size) + bytes(size)
            table.finish(key.encode(), replies.get(key, b"") if key in finished else b"", now)
        elif step == "sent":
            table.note_sent([replies[key]] if key in replies else [b"x"], now)
        elif step == "forget":
            table.forget(now)
        else:
            marked = step == "again"
            verdict = table.admit(again(key) if marked else first(key), now)
            if key in running:
                assert verdict is Verdict.JOIN
                running[key] |= marked
            elif key in finished and now - finished[key][0] <= 30 and (marked or finished[key][1]):
                assert verdict in (replies[key], Verdict.GONE, Verdict.JOIN)
                finished[key] = finished[key][0], True
            elif verdict is Verdict.RUN:
                running[key] = marked
                finished.pop(key, None)
            else:
                assert verdict in (replies.get(key), Verdict.GONE, Verdict.JOIN, Verdict.FULL)
                if verdict is Verdict.FULL:
                    finished.pop(key, None)
        assert len(table) <= max(1, -(-entries // 4))
        assert budget.entries + len(table) == entries
        assert 0 <= budget.reply_bytes <= reply_bytes
    for key in tuple(running):
        table.finish(key.encode(), b"end", now)
    table.forget(now + 30.01)
    assert len(table) == 0
    assert (budget.entries, budget.reply_bytes) == (entries, reply_bytes)


# What a client repeats


def exact(low: float, high: float) -> float:
    return (low + high) / 2


def new_repeats(idempotent: bool = False) -> Repeats:
    repeats = Repeats(0.5, JsonCodec().mark_retry, exact)
    repeats.add(1, REQUEST, 100, idempotent=idempotent)
    return repeats


def test_a_marked_request_has_the_same_id_and_params() -> None:
    assert new_repeats().poll(100.5, extensions=True) == Due([RETRY], probe=False)


def test_the_timer_doubles() -> None:
    repeats = new_repeats()
    for due in (100.5, 101.5, 103.5, 107.5, 115.5):
        assert repeats.next_due() == due
        assert repeats.poll(due - 0.01, extensions=True).messages == []
        assert repeats.poll(due, extensions=True).messages == [RETRY]


@pytest.mark.parametrize(("pick", "first", "second"), [(min, 0.4, 0.8), (max, 0.6, 1.2)])
def test_the_timer_is_up_to_a_fifth_off(pick: Any, first: float, second: float) -> None:
    repeats = Repeats(0.5, JsonCodec().mark_retry, pick)
    repeats.add(1, REQUEST, 0, idempotent=False)
    assert repeats.next_due() == pytest.approx(first)
    repeats.poll(first, extensions=True)
    assert repeats.next_due() == pytest.approx(first + second)


def test_a_stranger_is_asked_before_anything_is_repeated() -> None:
    repeats = new_repeats()
    assert repeats.poll(100.5, extensions=None) == Due([], probe=True)
    assert repeats.learn(extensions=True) == [RETRY]
    assert repeats.learn(extensions=True) == []
    assert repeats.poll(101.5, extensions=True).messages == [RETRY]


def test_a_stranger_that_stays_silent_is_asked_again_only() -> None:
    repeats = new_repeats()
    for due in (100.5, 101.5, 103.5):
        assert repeats.poll(due, extensions=None) == Due([], probe=True)


def test_who_does_not_know_retry_gets_nothing_twice() -> None:
    repeats = new_repeats()
    repeats.poll(100.5, extensions=None)
    assert repeats.learn(extensions=False) == []
    for due in (101.5, 103.5, 200):
        assert repeats.poll(due, extensions=False) == Due([], probe=False)


@pytest.mark.parametrize(("extensions", "sent"), [(None, REQUEST), (False, REQUEST), (True, RETRY)])
def test_what_is_idempotent_is_repeated_to_anybody(extensions: bool | None, sent: bytes) -> None:
    assert new_repeats(idempotent=True).poll(100.5, extensions) == Due([sent], probe=False)


def test_an_answered_request_is_not_repeated() -> None:
    repeats = new_repeats()
    repeats.poll(100.5, extensions=None)
    repeats.remove([1, 7])
    assert repeats.next_due() is None
    assert repeats.learn(extensions=True) == []
    assert repeats.poll(200, extensions=True).messages == []


# Both in a session


class Talk:
    """A session on a lossy channel."""

    def __init__(self, extensions: bool | None = None) -> None:
        self.session = Session(CODEC, retry_seconds=0.5, extensions=extensions)

    def open(self, now: float, **options: Any) -> bytes:
        return self.session.open("m", [5], lambda: None, now=now, **options)[1]

    def take(self, text: str) -> list[bytes]:
        """Take a message; returns what becomes overdue with it."""
        message = CODEC.decode(text.encode())
        assert isinstance(message, Message | Invalid)
        self.session.take(message)
        return list(self.session.overdue())

    def ping(self, now: float) -> int:
        """The id of the only message that is due, a ping."""
        (sent,) = self.session.poll(now)
        message = CODEC.decode(sent)
        assert isinstance(message, Message)
        assert message.method == "rpc.ping"
        assert isinstance(message.id, int)
        return message.id


def test_a_reliable_session_has_no_timers() -> None:
    session = Session(CODEC)
    session.open("m", None, lambda: None, now=5)
    assert session.next_due is None
    assert session.poll(1000) == []


def test_a_ping_that_is_answered_brings_the_repeat() -> None:
    talk = Talk()
    request = talk.open(0)
    assert talk.session.poll(0.39) == []
    id = talk.ping(0.61)
    overdue = talk.take(f'{{"id":{id},"result":true}}')
    assert overdue == [request[:-1] + b',"retry":true}']
    assert talk.session.poll(2.0) == overdue


@pytest.mark.parametrize("answer", ['"result":1', '"error":{"code":-32601,"message":"what?"}'])
def test_a_ping_that_fails_brings_no_repeat(answer: str) -> None:
    talk = Talk()
    talk.open(0)
    assert talk.take(f'{{"id":{talk.ping(0.61)},{answer}}}') == []
    assert talk.session.extensions is False
    assert talk.session.poll(100) == []
    assert talk.open(200, idempotent=True) in talk.session.poll(300)


def test_a_lost_ping_is_sent_again() -> None:
    talk = Talk()
    talk.open(0)
    first, second = talk.ping(0.61), talk.ping(2)
    assert first != second
    assert len(talk.take(f'{{"id":{second},"result":true}}')) == 1


def test_pings_are_no_open_calls() -> None:
    talk = Talk()
    talk.open(0)
    talk.ping(0.61)
    talk.ping(2)
    assert talk.session.open_calls == 1
    talk.take('{"id":1,"result":1}')
    assert talk.session.open_calls == 0
    assert talk.session.next_due is None


def test_giving_up_stops_the_timer() -> None:
    talk = Talk(extensions=True)
    call, _ = talk.session.open("m", None, lambda: None, now=0)
    talk.session.give_up(call)
    assert talk.session.next_due is None
    assert talk.session.poll(100) == []


def test_a_long_request_has_more_time_on_a_slow_link() -> None:
    repeats = Repeats(0.25, JsonCodec().mark_retry, exact, per_byte=0.01)
    repeats.add(1, REQUEST, 100, idempotent=False)
    assert repeats.next_due() == 100 + 0.25 + 0.01 * len(REQUEST)
