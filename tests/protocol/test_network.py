"""Places that are shared out by network."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot.protocol.network import Places, Seats, network_of


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("lamp.local", "lamp.local"),
        ("", ""),
    ],
)
def test_the_network_of_an_address(host: str, network: str) -> None:
    assert network_of(host) == network


def test_who_has_most_gives_way() -> None:
    places: Places[int] = Places()
    for holder in range(10):
        places.take(holder, "greedy")
    places.take(10, "modest")
    assert places.newest_rival("new") == 9
    assert next(places.silent_rivals("new")) == 0
    places.touch(0)
    assert next(places.silent_rivals("new")) == 1
    assert places.newest_rival("modest") == 0  # was heard last
    assert places.newest_rival("greedy") is None
    assert next(places.silent_rivals("greedy")) == 1  # one of its own


@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from("abc"), st.booleans())))
def test_the_rival_is_always_of_a_network_with_most(
    steps: list[tuple[int, str, bool]],
) -> None:
    places: Places[int] = Places()
    held: dict[int, str] = {}
    for holder, network, takes in steps:
        if takes and holder not in held:
            held[holder] = network
            places.take(holder, network)
        elif not takes:
            held.pop(holder, None)
            places.leave(holder)
        sizes = {name: list(held.values()).count(name) for name in "abc"}
        assert len(places) == len(held)
        rival = places.newest_rival("a")
        if sizes["a"] + 1 >= max(sizes.values()):
            assert rival is None
        else:
            assert rival is not None
            assert sizes[held[rival]] == max(sizes.values())


def test_a_newcomer_gets_a_seat_from_a_network_that_has_more() -> None:
    ended: list[str] = []
    told: list[str] = []
    seats: Seats[str] = Seats(3, ended.append, told.append)
    assert all(seats.take(name, "greedy") for name in ("a", "b", "c"))
    assert not seats.take("d", "greedy")
    assert seats.take("e", "modest")
    assert ended == ["c"]
    assert seats.are_taken
    assert not seats.take("f", "modest")  # which would have more than the other then
    seats.leave("c")  # which has gone already
    assert len(seats) == 3
    seats.leave("a")
    assert seats.take("f", "modest")
    assert (seats.displaced, seats.turned_away) == (1, 2)
    assert told == ["over 3 peers", "one network takes all places"]


def test_a_network_that_grew_leaves_nothing_of_its_smaller_sizes() -> None:
    places: Places[int] = Places()
    for holder in range(100):
        places.take(holder, "one")
    assert len(places._by_size) == 1
    for holder in range(100):
        places.leave(holder)
    assert (places._by_size, places._networks, places.greediest) == ({}, {}, None)
