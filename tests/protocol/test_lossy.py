"""The rules for links that lose, double and reorder packets, told the time (section 1)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot.protocol.codec.json import JsonCodec
from jsonrpc_iot.protocol.duplicates import Budget, DuplicateTable, Verdict
from jsonrpc_iot.protocol.messages import Invalid, Message
from jsonrpc_iot.protocol.retries import Due, Repeats
from jsonrpc_iot.protocol.session import Session

CODEC = JsonCodec()
REQUEST = b'{"method":"m","id":1,"params":[5]}'
RETRY = b'{"method":"m","id":1,"params":[5],"retry":true}'


def new_table(entries: int = 100, reply_bytes: int = 1000) -> tuple[DuplicateTable, Budget]:
    budget = Budget(entries, reply_bytes)
    return DuplicateTable(budget), budget


def run(table: DuplicateTable, key: str, now: float, reply: bytes | None = b"r") -> None:
    assert table.admit(key, retry=False, now=now) is Verdict.RUN
    table.finish(key, reply, now)


# What a server remembers


@pytest.mark.parametrize("retry", [False, True])
def test_a_request_is_joined_while_it_runs(retry: bool) -> None:
    table, _ = new_table()
    assert table.admit("k", retry=retry, now=0) is Verdict.RUN
    assert table.admit("k", retry=retry, now=1000) is Verdict.JOIN
    assert table.admit("other", retry=retry, now=1000) is Verdict.RUN


@pytest.mark.parametrize(
    ("retry", "later", "stored"),
    [
        (False, 0, True),
        (False, 0.5, True),
        (False, 0.51, False),
        (False, 29, False),
        (True, 0, True),
        (True, 0.51, True),
        (True, 30, True),
        (True, 30.01, False),
    ],
)
def test_a_finished_request_is_answered_from_the_store(
    retry: bool, later: float, stored: bool
) -> None:
    table, _ = new_table()
    run(table, "k", 100, b"reply")
    assert table.admit("k", retry=retry, now=100 + later) == (b"reply" if stored else Verdict.RUN)


def test_the_time_counts_from_the_end_of_the_call() -> None:
    table, _ = new_table()
    table.admit("k", retry=False, now=0)
    table.finish("k", b"reply", 50)
    assert table.admit("k", retry=False, now=50.4) == b"reply"
    assert table.admit("k", retry=True, now=79) == b"reply"


def test_one_id_for_ever_is_run_each_time() -> None:
    table, budget = new_table()
    for turn in range(50):
        run(table, "k", turn * 0.6, b"%d" % turn)
        assert table.admit("k", retry=True, now=turn * 0.6) == b"%d" % turn
    assert budget.entries == 99


def test_a_full_table_refuses_and_forgets_nothing_early() -> None:
    table, budget = new_table(entries=8)
    run(table, "a", 0)
    assert table.admit("b", retry=False, now=0) is Verdict.RUN
    assert table.admit("c", retry=False, now=29) is Verdict.FULL
    assert table.admit("a", retry=True, now=29) == b"r"
    assert table.admit("b", retry=True, now=29) is Verdict.JOIN
    assert table.admit("c", retry=False, now=31) is Verdict.RUN
    assert budget.entries == 6


def test_no_peer_takes_more_than_a_quarter_and_all_take_no_more_than_there_is() -> None:
    budget = Budget(8, 1000)
    tables = [DuplicateTable(budget) for _ in range(5)]
    verdicts = [[table.admit(key, retry=False, now=0) for key in "abc"] for table in tables]
    assert verdicts == [[Verdict.RUN, Verdict.RUN, Verdict.FULL]] * 4 + [[Verdict.FULL] * 3]


def test_a_reply_without_room_is_forgotten_but_its_request_is_not() -> None:
    table, budget = new_table(reply_bytes=10)
    run(table, "a", 0, b"12345678")
    run(table, "b", 0, b"123")
    assert table.admit("a", retry=True, now=1) == b"12345678"
    assert table.admit("b", retry=True, now=1) is None
    assert budget.reply_bytes == 2
    table.forget(31)
    assert budget.reply_bytes == 10


def test_a_peer_that_is_gone_leaves_nothing() -> None:
    table, budget = new_table()
    run(table, "a", 0)
    table.admit("b", retry=False, now=0)
    table.clear()
    table.finish("b", b"late", 1)
    assert len(table) == 0
    assert (budget.entries, budget.reply_bytes) == (100, 1000)


Steps = st.lists(
    st.tuples(
        st.sampled_from(["admit", "retry", "finish", "forget"]),
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
    running: set[str] = set()
    finished: dict[str, tuple[float, bytes]] = {}
    for step, key, pause, size in steps:
        now += pause
        if step == "finish":
            if key in running:
                running.remove(key)
                finished[key] = now, bytes(size)
            table.finish(key, bytes(size), now)
        elif step == "forget":
            table.forget(now)
        else:
            verdict = table.admit(key, retry=step == "retry", now=now)
            if key in running:
                assert verdict is Verdict.JOIN
            elif key in finished:
                age = now - finished[key][0]
                if age <= (30 if step == "retry" else 0.5):
                    assert verdict in (finished[key][1], None)
                else:
                    assert verdict in (Verdict.RUN, Verdict.FULL)
                    del finished[key]
            else:
                assert verdict in (Verdict.RUN, Verdict.FULL)
            if verdict is Verdict.RUN:
                running.add(key)
        assert len(table) <= max(1, entries // 4)
        assert budget.entries + len(table) == entries
        assert 0 <= budget.reply_bytes <= reply_bytes
    for key in tuple(running):
        table.finish(key, b"end", now)
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
