"""The window of packet numbers, held against a list of all that has come."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot.protocol.seal.window import SIZE, Window

steps = st.integers(-2 * SIZE, 2 * SIZE) | st.integers(-3, 3)


@given(st.lists(steps, max_size=60))
def test_each_number_once_unless_it_is_too_old(moves: list[int]) -> None:
    window, seen, at = Window(), set[int](), 0
    for move in moves:
        at = max(0, at + move)
        wanted = at not in seen and at > max(seen, default=-1) - SIZE
        assert window.admits(at) == wanted
        if wanted:
            window.note(at)
            seen.add(at)
        assert window.top == max(seen, default=-1)


def test_a_leap_takes_no_memory() -> None:
    window = Window()
    window.note(5)
    tracemalloc.start()
    try:
        window.note(2**32 - 1)
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()
    assert not window.admits(5)
    assert not window.admits(2**32 - 1)
    assert window.admits(2**32 - 2)
