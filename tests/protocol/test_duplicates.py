"""What a server remembers on links that double packets, told the time (section 1)."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot.protocol.budget import Budget, Share
from jsonrpc_iot.protocol.duplicates import DuplicateTable, Identity, Verdict


def new_table(
    entries: int = 100, byte_count: int = 1000, *, since: float = -1000, has_twins: bool = False
) -> tuple[DuplicateTable, Budget]:
    budget = Budget(entries, byte_count)
    return DuplicateTable(Share(budget), since=since, has_twins=has_twins), budget


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


@pytest.mark.parametrize("seconds", [0, 10])
def test_it_says_for_how_long_it_has_listened(seconds: float) -> None:
    table, _ = new_table(since=100)
    verdict = table.admit(again("a"), 100 + seconds)
    assert verdict is Verdict.UNKNOWN

    assert table.refusal(verdict, 100 + seconds).data == {"listening": seconds}


def test_where_others_answer_too_that_means_nothing_and_is_not_said() -> None:
    table, _ = new_table(has_twins=True)
    assert table.refusal(Verdict.UNKNOWN, 10).data is None


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
    tables = [DuplicateTable(Share(budget)) for _ in range(7)]
    taken = [sum(table.admit(first(key), 100) is Verdict.RUN for key in "abc") for table in tables]
    assert taken == [2, 2, 1, 1, 1, 1, 0]


def test_strangers_who_take_their_quarters_leave_room_for_others() -> None:
    budget = Budget(4000, 4000)
    for _ in range(5):
        stranger = DuplicateTable(Share(budget))
        for number in range(4000):
            stranger.admit(first(str(number)), 100)

    assert DuplicateTable(Share(budget)).admit(first("honest"), 100) is Verdict.RUN


def test_a_reply_without_room_is_forgotten_but_its_request_is_not() -> None:
    table, budget = new_table(byte_count=40)
    run(table, "a", 0, b"12345678")
    run(table, "b", 0, b"123")
    assert table.admit(again("a"), 1) == b"12345678"
    assert table.admit(again("b"), 1) is Verdict.GONE
    assert budget.byte_count == 32
    table.forget(31)
    assert budget.byte_count == 40


def test_a_peer_that_is_gone_leaves_nothing() -> None:
    table, budget = new_table()
    run(table, "a", 0)
    table.admit(first("b"), 0)
    table.clear()
    table.finish(b"b", b"late", 1)
    assert len(table) == 0
    assert (budget.entries, budget.byte_count) == (100, 1000)


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
    steps: list[tuple[str, str, float, int]], entries: int, byte_count: int
) -> None:
    table, budget = new_table(entries, byte_count)
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
        assert 0 <= budget.byte_count <= byte_count
    for key in tuple(running):
        table.finish(key.encode(), b"end", now)
    table.forget(now + 30.01)
    assert len(table) == 0
    assert (budget.entries, budget.byte_count) == (entries, byte_count)
