"""What peers may hold together, and how it is shared out."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot.protocol.budget import Budget, Share

ENTRIES = "entries"
BYTES = "bytes"


def take(share: Share, kind: str) -> bool:
    return share.take_entry() if kind == ENTRIES else share.take_bytes(1)


def take_all(shares: list[Share], kind: str) -> int:
    """How much they get that want all."""
    return sum(take(share, kind) for _ in range(1000) for share in shares)


kinds = pytest.mark.parametrize("kind", [ENTRIES, BYTES])


@kinds
def test_a_peer_gets_a_quarter_of_what_others_leave(kind: str) -> None:
    budget = Budget(800, 800)
    assert take_all([Share(budget, "a")], kind) == 200
    assert take_all([Share(budget, "b")], kind) == 150


@kinds
def test_a_host_with_many_peers_gets_half_of_what_others_leave(kind: str) -> None:
    budget = Budget(800, 800)
    assert take_all([Share(budget, "greedy") for _ in range(50)], kind) == 400
    assert take_all([Share(budget, "honest")], kind) == 100


@kinds
def test_peers_that_are_on_their_own_share_no_part(kind: str) -> None:
    budget = Budget(800, 800)
    assert take_all([Share(budget) for _ in range(50)], kind) > 750


def test_what_is_too_large_is_not_held() -> None:
    share = Share(Budget(8, 100), "a")
    assert not share.take_bytes(26)
    assert share.take_bytes(25)
    assert not share.take_bytes(1)
    share.give_back(byte_count=25)
    assert share.take_bytes(1)


Steps = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from([Share.take_entry, lambda share: share.take_bytes(7), None]),
    )
)


@given(Steps)
def test_all_is_given_back(
    steps: list[tuple[int, Callable[[Share], bool] | None]],
) -> None:
    budget = Budget(40, 300)
    shares = [Share(budget, network) for network in ("", "", "a", "a", "b", "b")]
    for number, step in steps:
        share = shares[number]
        if step is None:
            share.give_back(share.entries, share.byte_count)
        else:
            step(share)
        assert budget.entries == 40 - sum(each.entries for each in shares) >= 0
        assert budget.byte_count == 300 - sum(each.byte_count for each in shares) >= 0
    for share in shares:
        share.give_back(share.entries, share.byte_count)
    assert (budget.entries, budget.byte_count) == (40, 300)
    assert not budget.networks  # nothing is kept of who is gone
