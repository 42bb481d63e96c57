"""Sessions of both ends, told the time: what gets through, what is refused, who sits where."""

import random
from math import inf

import pytest

from jsonrpc_iot.protocol.seal.client import OLD_SECONDS, RENEW_PACKETS, RENEW_SECONDS, ClientSeal
from jsonrpc_iot.protocol.seal.packets import PACKETS
from jsonrpc_iot.protocol.seal.server import (
    HALF_OPEN_SECONDS,
    IDLE_SECONDS,
    LONGEST_SECONDS,
    Seat,
    ServerSeal,
)
from jsonrpc_iot.trust.principal import Principal

from .rig import (
    CRYPTO,
    HERE,
    INSTANCE,
    KEY,
    OTHER_KEY,
    THERE,
    Shared,
    answer,
    greet,
    linked,
    new_client,
    new_server,
    ring,
    sealed,
    shared,
)

Server = ServerSeal[str, Principal]


def renew(client: ClientSeal, server: Server, now: float) -> tuple[bytes, bytes]:
    """Let a handshake take place that is due; gives the hello and the proof, not delivered."""
    (hello,) = client.poll(now)
    welcome = server.take(hello, HERE, now)
    assert isinstance(welcome, bytes)
    client.open(welcome, now)
    (proof,) = client.poll(now)
    return hello, proof


def test_messages_go_both_ways() -> None:
    client, server, seat = linked()

    assert seat == Seat("app", INSTANCE)
    assert server.take(sealed(client, b"there"), HERE, 1) == (seat, b"there")
    assert client.open(answer(server, seat, b"back"), 1) == b"back"
    assert server.principal(seat) == Principal("app", {"*"}, "key")


def test_nothing_is_sealed_before_there_is_a_session() -> None:
    client, server = new_client(), new_server()
    assert not client.is_open
    assert client.seal(b"early") is None
    assert server.seal(Seat("app", INSTANCE), b"early") is None


def test_a_hello_is_repeated_as_it_is_after_growing_pauses() -> None:
    client = new_client()
    client.begin(0)
    hellos = []
    while (due := client.due) < 100:
        hellos.append((due, *client.poll(due)))

    assert [at for at, _ in hellos] == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 61.5, 91.5]
    assert len({hello for _, hello in hellos}) == 1


def test_a_doubled_hello_gets_the_same_welcome_from_wherever_it_comes() -> None:
    client, server = new_client(), new_server()
    hello, welcome = greet(client, server)

    assert server.take(hello, THERE, 1) == welcome
    assert len(server) == 1
    assert server.take(sealed(client, b"x"), HERE, 1) == (Seat("app", INSTANCE), b"x")
    assert server.take(hello, THERE, 2) == welcome
    assert server.take(sealed(client, b"y"), HERE, 3) == (Seat("app", INSTANCE), b"y")


def test_a_second_welcome_changes_nothing() -> None:
    client, _, seat = linked()
    client.begin(5)
    (hello,) = client.poll(5)
    first, second = new_server(), new_server()
    welcome, other = first.take(hello, HERE, 5), second.take(hello, HERE, 5)
    assert isinstance(welcome, bytes)
    assert isinstance(other, bytes)

    for each in (welcome, other, welcome):
        assert client.open(each, 5) is None
    assert first.take(sealed(client, b"x"), HERE, 5) == (seat, b"x")


def test_a_wrong_key_gets_no_answer() -> None:
    server = new_server(shared("other", OTHER_KEY))
    client = new_client()
    client.begin(0)
    (hello,) = client.poll(0)
    posing = hello[:6] + shared("other", OTHER_KEY).id + hello[14:]

    assert server.take(hello, HERE, 0) is None
    assert server.take(posing, HERE, 0) is None
    assert (server.wrong, len(server)) == (2, 0)


def test_a_replayed_hello_does_not_replace_a_living_session() -> None:
    client, server = new_client(), new_server()
    hello, welcome = greet(client, server)
    server.take(sealed(client, b"x"), HERE, 0)
    later = 10 * HALF_OPEN_SECONDS
    server.expire(later)

    other = server.take(hello, THERE, later)

    assert isinstance(other, bytes)
    assert other != welcome
    seat = Seat("app", INSTANCE)
    assert server.seal(seat, b"push") is not None
    assert server.address(seat) == HERE
    assert client.open(answer(server, seat, b"push"), later) == b"push"


def test_a_late_packet_of_an_older_handshake_does_not_replace_the_newer_one() -> None:
    client, server = new_client(), new_server()
    greet(client, server)
    held_back = sealed(client, b"late")
    newer = new_client()
    greet(newer, server, 1)
    seat = Seat("app", INSTANCE)
    assert server.take(sealed(newer, b"x"), HERE, 1) == (seat, b"x")

    assert server.take(held_back, THERE, 2) == (seat, b"late")
    assert newer.open(answer(server, seat, b"push"), 2) == b"push"


def test_packets_are_lost_doubled_and_overtake() -> None:
    client, server, _ = linked()
    chance = random.Random(1)
    packets = [sealed(client, b"%d" % number) for number in range(900)]
    arriving = [each for each in packets if chance.random() > 0.1] * 2
    chance.shuffle(arriving)

    got = [server.take(each, HERE, 0) for each in arriving]

    messages = sorted(each[1] for each in got if isinstance(each, tuple))
    assert messages == sorted(b"%d" % packets.index(each) for each in set(arriving))
    assert server.dropped == len(arriving) // 2


def test_a_session_roams_with_its_newest_packet() -> None:
    client, server, seat = linked()
    older, newer = sealed(client, b"older"), sealed(client, b"newer")

    assert server.take(newer, THERE, 1) == (seat, b"newer")
    assert server.take(older, HERE, 1) == (seat, b"older")
    assert server.take(newer, HERE, 1) is None
    assert server.address(seat) == THERE


def test_a_packet_that_does_not_open_moves_no_address() -> None:
    client, server, seat = linked()
    packet = bytearray(sealed(client, b"x"))
    packet[-1] ^= 1

    assert server.take(bytes(packet), THERE, 1) is None
    assert server.address(seat) == HERE


@pytest.mark.parametrize("why", ["time", "packets sent", "packets received"])
def test_a_session_is_renewed_and_the_old_one_opens_for_a_while(why: str) -> None:
    client, server, seat = linked()
    late_to_server, late_to_client = sealed(client, b"late"), answer(server, seat, b"back")
    now = 10.0
    if why == "time":
        now = RENEW_SECONDS
        for half in range(1, 48):
            assert server.take(sealed(client, b""), HERE, half * 1800.0) == (seat, b"")
    elif why == "packets sent":
        client._session.sent = RENEW_PACKETS  # type: ignore[union-attr]
    else:
        client._session.window.top = RENEW_PACKETS  # type: ignore[union-attr]
        late_to_client = b""
    client.open(answer(server, seat, b"one more"), now)
    assert server.take(sealed(client, b"one more"), HERE, now) == (seat, b"one more")
    assert client.due <= now

    _, proof = renew(client, server, now)
    assert server.take(sealed(client, b"at once"), HERE, now) == (seat, b"at once")
    assert server.take(proof, HERE, now) == (seat, b"")
    if why != "packets sent":
        assert server.take(late_to_server, HERE, now + OLD_SECONDS) == (seat, b"late")
    if late_to_client:
        assert client.open(late_to_client, now + OLD_SECONDS) == b"back"
    assert client.open(answer(server, seat, b"push"), now) == b"push"


def test_the_old_session_ends() -> None:
    client, server, seat = linked()
    late_to_server, late_to_client = sealed(client, b"late"), answer(server, seat, b"back")
    client.begin(10)
    _, proof = renew(client, server, 10)
    server.take(proof, HERE, 10)
    client.open(answer(server, seat, b"push"), 10)

    now = 10 + OLD_SECONDS + 0.1
    assert server.take(late_to_server, HERE, now) == b"\4" + late_to_server[1:5]
    assert client.open(late_to_client, now) is None
    server.expire(now)
    assert len(server) == 1


def test_a_lost_proof_is_made_up_for() -> None:
    client, server, seat = linked()
    client.begin(10)
    _, lost = renew(client, server, 10)

    assert client.open(answer(server, seat, b"over the old one"), 50) == b"over the old one"
    (proof,) = client.poll(client.due)
    assert proof != lost
    assert server.take(proof, HERE, 51) == (seat, b"")
    assert client.open(answer(server, seat, b"over the new one"), 51) == b"over the new one"


def test_a_restarted_server_is_known_again() -> None:
    client, _, seat = linked()
    restarted = new_server()

    unknown = restarted.take(sealed(client, b"x"), HERE, 5)
    assert isinstance(unknown, bytes)
    assert client.open(unknown, 5) is None
    _, proof = renew(client, restarted, 5)
    assert restarted.take(proof, HERE, 5) == (seat, b"")
    assert restarted.take(sealed(client, b"x"), HERE, 5) == (seat, b"x")


def test_unknown_in_floods_costs_a_hello_a_second_and_no_call() -> None:
    client, server, seat = linked()
    hellos = 0
    for tenth in range(300):
        now = 10 + tenth / 10
        forged = b"\4" + client._session.theirs  # type: ignore[union-attr]
        assert client.open(forged, now) is None
        assert client.open(b"\4none", now) is None
        for packet in client.poll(now):
            hellos += packet[0] == 1
            answered = server.take(packet, HERE, now)
            if isinstance(answered, bytes):
                client.open(answered, now)
        assert server.take(sealed(client, b"%d" % tenth), HERE, now) == (seat, b"%d" % tenth)
        assert client.open(answer(server, seat, b"back"), now) == b"back"
    assert 20 <= hellos <= 31


def test_unknown_with_no_server_repeats_one_hello() -> None:
    client, _, _ = linked()
    hellos = set()
    for tenth in range(300):
        client.open(b"\4" + client._session.theirs, 10 + tenth / 10)  # type: ignore[union-attr]
        hellos |= set(client.poll(10 + tenth / 10))
    assert len(hellos) == 1
    assert client.hellos <= 8


def test_in_order_no_packet_may_be_missing_or_come_again() -> None:
    client, server = new_client(in_order=True), new_server(in_order=True)
    greet(client, server)
    assert client.due > RENEW_SECONDS / 2
    first, second, third = (sealed(client, each) for each in (b"1", b"2", b"3"))

    assert server.take(first, HERE, 0) == (Seat("app", INSTANCE), b"1")
    assert server.take(third, HERE, 0) is None
    assert server.take(first, HERE, 0) is None
    assert server.take(second, HERE, 0) == (Seat("app", INSTANCE), b"2")
    assert server.take(third, HERE, 0) == (Seat("app", INSTANCE), b"3")


def test_a_session_that_is_used_up_seals_no_more() -> None:
    client, server, seat = linked()
    client._session.sent = PACKETS  # type: ignore[union-attr]
    server._seats[seat][-1].sent = PACKETS

    assert client.seal(b"x") is None
    assert server.seal(seat, b"x") is None


def test_clients_with_one_key_have_their_own_seats() -> None:
    server = new_server()
    seats = []
    for number in range(3):
        client = new_client(instance=b"client %d" % number)
        greet(client, server)
        taken = server.take(sealed(client, b"x"), HERE, 0)
        assert isinstance(taken, tuple)
        seats.append(taken[0])

    assert seats == [Seat("app", b"client %d" % number) for number in range(3)]


def test_half_open_sessions_are_bounded_and_expire() -> None:
    server = new_server()
    first = new_client()
    greet(first, server)
    for number in range(1024):
        greet(new_client(instance=b"%8d" % number), server)
    assert len(server) == 1024
    data = sealed(first, b"x")
    assert server.take(data, HERE, 0) == b"\4" + data[1:5]
    server.expire(HALF_OPEN_SECONDS + 0.1)
    assert len(server) == 0


def test_who_has_most_half_open_sessions_gives_way() -> None:
    server = new_server(shared("many"), shared("few", OTHER_KEY))
    few = new_client(OTHER_KEY)
    greet(few, server)
    for number in range(1100):
        greet(new_client(instance=b"%8d" % number), server)

    assert server.take(sealed(few, b"x"), HERE, 0) == (Seat("few", INSTANCE), b"x")


def test_one_link_has_few_half_open_sessions() -> None:
    server = new_server(sessions=4, in_order=True)
    for number in range(10):
        greet(new_client(instance=b"%8d" % number, in_order=True), server)
    assert len(server) == 4
    last = new_client(in_order=True)
    greet(last, server)
    assert server.take(sealed(last, b"x"), HERE, 0) == (Seat("app", INSTANCE), b"x")


def test_one_client_has_few_sessions_however_often_it_begins_one() -> None:
    client, server, seat = linked()
    for number in range(1, 20):
        late = sealed(client, b"late")
        client.begin(number)
        renew(client, server, number)
        new = sealed(client, b"new")
        assert server.take(new, HERE, number) == (seat, b"new")
        assert server.take(late, HERE, number) == (seat, b"late")
    assert len(server) == 4


def test_a_hello_that_comes_again_much_later_is_computed_again() -> None:
    client, server = new_client(), new_server()
    client.begin(0)
    (hello,) = client.poll(0)
    first = server.take(hello, HERE, 0)
    second = server.take(hello, HERE, HALF_OPEN_SECONDS + 0.1)

    assert isinstance(second, bytes)
    assert first != second
    client.open(second, 31)
    assert isinstance(server.take(sealed(client, b"x"), HERE, 31), tuple)
    assert len(server) == 1


def test_who_has_most_sessions_gives_way() -> None:
    server = new_server(shared("many"), shared("few", OTHER_KEY), sessions=4)
    for number in range(6):
        client = new_client(instance=b"%8d" % number)
        greet(client, server)
        assert isinstance(server.take(sealed(client, b"x"), HERE, 0), tuple)
    few = new_client(OTHER_KEY)
    greet(few, server)

    assert server.take(sealed(few, b"x"), HERE, 0) == (Seat("few", INSTANCE), b"x")
    assert (len(server), server.displaced) == (4, 3)
    for number in range(6, 12):
        client = new_client(instance=b"%8d" % number)
        greet(client, server)
        assert isinstance(server.take(sealed(client, b"x"), HERE, 0), tuple)
    assert server.take(sealed(few, b"y"), HERE, 0) == (Seat("few", INSTANCE), b"y")


@pytest.mark.parametrize("silent", [True, False])
def test_sessions_expire(*, silent: bool) -> None:
    client, server, seat = linked()
    now, end = 0.0, (IDLE_SECONDS if silent else LONGEST_SECONDS) + 0.1
    while not silent and now + IDLE_SECONDS < end:
        now += IDLE_SECONDS
        assert server.take(sealed(client, b"x"), HERE, now) == (seat, b"x")
    assert isinstance(server.take(sealed(client, b"y"), HERE, end), bytes)
    server.expire(end)
    assert len(server) == 0
    assert server.seal(seat, b"x") is None


def test_sessions_of_one_link_live_as_long_as_that() -> None:
    server: Server = ServerSeal(CRYPTO, ring(shared()), max_sessions=10, idle_seconds=inf)
    client = new_client()
    greet(client, server)
    server.take(sealed(client, b"x"), HERE, 0)
    later = 10 * LONGEST_SECONDS
    server.expire(later)
    assert server.take(sealed(client, b"y"), HERE, later) == (Seat("app", INSTANCE), b"y")


def test_a_key_that_is_no_more_ends_its_sessions() -> None:
    keys = {shared().id: shared()}
    client = new_client()
    server: Server = ServerSeal(CRYPTO, keys.get, max_sessions=10)
    greet(client, server)
    assert server.take(sealed(client, b"x"), HERE, 0) == (Seat("app", INSTANCE), b"x")
    half = new_client(instance=b"half in.")
    greet(half, server)
    keys.clear()

    assert server.take(sealed(half, b"x"), HERE, 0) is None
    assert server.principal(Seat("app", INSTANCE)) is None
    assert isinstance(server.take(sealed(client, b"x"), HERE, 0), bytes)


def test_the_sessions_of_revoked_keys_go_by_themselves() -> None:
    keys = {shared().id: shared()}
    server: Server = ServerSeal(CRYPTO, keys.get, max_sessions=10)
    client = new_client()
    greet(client, server)
    server.take(sealed(client, b"x"), HERE, 0)
    keys[shared().id] = shared("another's now")
    server.expire(1)
    assert len(server) == 0


def test_revoking_ends_all_seats_of_a_principal() -> None:
    server = new_server(shared(), shared("other", OTHER_KEY))
    clients = [new_client(instance=b"%8d" % number) for number in range(2)]
    other = new_client(OTHER_KEY)
    for client in (*clients, other):
        greet(client, server)
        server.take(sealed(client, b"x"), HERE, 0)

    assert server.revoke("app") == [Seat("app", b"%8d" % number) for number in range(2)]
    for client in clients:
        assert isinstance(server.take(sealed(client, b"x"), HERE, 0), bytes)
    assert isinstance(server.take(sealed(other, b"x"), HERE, 0), tuple)


def test_new_permissions_show_at_the_seat() -> None:
    keys = {shared().id: shared()}
    server: Server = ServerSeal(CRYPTO, keys.get, max_sessions=10)
    client = new_client()
    greet(client, server)
    server.take(sealed(client, b"x"), HERE, 0)
    fewer = Principal("app", {"wifi"}, "key")
    keys[shared().id] = Shared(fewer, KEY, shared().id)

    assert server.principal(Seat("app", INSTANCE)) is fewer
