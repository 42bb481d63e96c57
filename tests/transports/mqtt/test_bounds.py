"""What a broker sends, read within bounds: the same as without them, but for what is too large."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot.transports.mqtt._bounds import PacketReader

from .scripted_broker import ACCEPTED_311, message, packet

LIMIT = 300
BIG = b"x" * 100_000


class Wire:
    """Bytes that come in pieces, with pauses between."""

    def __init__(self, data: bytes, seed: int = 0) -> None:
        self.left = data
        self.most = 0
        self._fate = random.Random(seed)

    def receive(self, size: int) -> bytes:
        self.most = max(self.most, size)
        if self._fate.random() < 0.3:
            raise BlockingIOError
        count = self._fate.randint(1, size)
        data, self.left = self.left[:count], self.left[count:]
        return data


def read_all(reader: PacketReader, wire: Wire, seed: int = 0) -> bytes:
    fate = random.Random(seed)
    data = b""
    while True:
        try:
            piece = reader.read(fate.randint(1, 200_000), wire.receive)
        except BlockingIOError:
            continue
        if not piece:
            return data
        data += piece


Packets = st.lists(
    st.one_of(
        st.builds(message, st.text(max_size=9), st.binary(max_size=290), mid=st.integers(0, 9)),
        st.just(ACCEPTED_311),
        st.builds(packet, st.just(0x40), st.binary(max_size=LIMIT)),
    )
)


@given(Packets, st.integers())
def test_what_fits_is_left_as_it_is(packets: list[bytes], seed: int) -> None:
    stream = b"".join(packets)
    assert read_all(PacketReader(LIMIT, has_properties=False), Wire(stream, seed), seed) == stream


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("mid", [0, 7])
def test_of_what_is_too_large_the_head_is_left(seed: int, mid: int) -> None:
    before, after = message("/a", b"1", mid=1), message("/a", b"2", mid=2)
    large = message("/lamp/rpc", BIG, mid=mid)
    wire = Wire(before + large + after, seed)
    reader = PacketReader(LIMIT, has_properties=False)
    assert read_all(reader, wire, seed) == before + message("/lamp/rpc", b"", mid=mid) + after
    assert wire.most <= 1 << 16


def test_the_topic_does_not_count() -> None:
    fits = message("t" * 5000, b"x" * LIMIT)
    reader = PacketReader(LIMIT, has_properties=False)
    assert read_all(reader, Wire(fits)) == fits
    large = message("t" * 5000, b"x" * (LIMIT + 1))
    assert read_all(reader, Wire(large)) == message("t" * 5000, b"")


def test_properties_are_left_out() -> None:
    large = packet(0x30, b"\0\2/a" + b"\5\x26....." + BIG)
    reader = PacketReader(LIMIT, has_properties=True)
    assert read_all(reader, Wire(large)) == packet(0x30, b"\0\2/a\0")


def test_it_is_known_which_message_was_cut() -> None:
    reader = PacketReader(LIMIT, has_properties=False)
    for data, is_cut in ((b"1", False), (BIG, True), (b"2", False)):
        read_all(reader, Wire(message("/a", data)))
        assert reader.is_cut is is_cut


def test_others_have_their_turn_while_much_is_thrown_away() -> None:
    reader = PacketReader(LIMIT, has_properties=False)
    wire = message("/a", b"x" * (1 << 24))
    reads = 0

    def receive(size: int) -> bytes:
        nonlocal wire, reads
        reads += 1
        data, wire = wire[:size], wire[size:]
        return data

    assert reader.read(100, receive) == message("/a", b"")
    with pytest.raises(BlockingIOError):
        reader.read(100, receive)
    assert reads < 50


@pytest.mark.parametrize(
    "junk",
    [
        message("/a", BIG)[:4] + b"\xff\xff/a",  # a topic longer than its packet
        b"\x30\xff\xff\xff\xff\xff\xff",  # a length without end
    ],
)
def test_junk_is_handed_on_to_be_refused(junk: bytes) -> None:
    reader = PacketReader(1 << 18, has_properties=False)
    assert read_all(reader, Wire(junk)).startswith(junk[:5])


def test_a_large_packet_that_is_no_message_ends_the_connection() -> None:
    reader = PacketReader(LIMIT, has_properties=False)
    with pytest.raises(ConnectionError, match="too large"):
        read_all(reader, Wire(packet(0x40, BIG)))
