"""Improv packets beside Tuya frames: any bytes, cut anywhere, give what a plain reading finds."""

import math
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot import MalformedFrame
from jsonrpc_iot.protocol.improv.messages import Call, Command, ErrorState, State, WifiSettings
from jsonrpc_iot.protocol.improv.serial import (
    OVERHEAD,
    LineDecoder,
    Packet,
    PacketType,
    call_packet,
    error_packet,
    result_packet,
    state_packet,
)
from jsonrpc_iot.protocol.tuya.frame import Frame, FrameDecoder, encode_frame

SETTINGS = WifiSettings("MyWirelessAP", "mysecurepassword")
GOOD = [
    state_packet(State.AUTHORIZED),
    error_packet(ErrorState.NONE),
    call_packet(Call(Command.WIFI_SETTINGS, SETTINGS.encode())),
    result_packet(Call(Command.SCAN)),
    Packet(PacketType.RESULT, b"IMPROV\x01\x04\xffIMPRO"),
    Packet(9, b""),
    Packet(PacketType.RESULT, bytes(range(255))),
]
OTHERS = [
    b"\n",
    b"I (1234) wifi: connected, IMPROVED\r\n",
    b"IMPROV\x02\x01\x01\x02\x00",
    b"IMPROV\x01\x04\xff",
    b"IMPRO",
    b"U",
    encode_frame(0xFE, b"")[:6],
    encode_frame(0xFE, bytes(4097)),
    GOOD[0].encode()[:-2] + b"\x00",
]
CALL = b'{"method":"rpc.ping","id":1}'
FRAMES = [encode_frame(0xFE, CALL), encode_frame(0xFE, GOOD[2].encode()), encode_frame(0)]

packets = st.one_of(st.sampled_from(GOOD), st.builds(Packet, st.integers(0, 255), st.binary()))
whole = st.one_of(packets.map(Packet.encode), st.sampled_from(FRAMES))
pieces = st.one_of(
    whole,
    whole.flatmap(lambda one: st.integers(0, 12).map(lambda cut: one[:-cut])),
    whole.flatmap(lambda one: st.integers(0, 12).map(lambda cut: one[cut:])),
    st.sampled_from(OTHERS),
    st.binary(max_size=30),
)
lines = st.lists(pieces, max_size=8).map(b"".join)


class Found(NamedTuple):
    """What was found on a line, and how many bytes belong to none of it."""

    packets: list[Packet]
    frames: list[Frame]
    noise: int


def reference(data: bytes) -> Found:
    """What is on a line that is silent afterwards."""
    packets: list[Packet] = []
    frames: list[Frame] = []
    noise = at = 0
    while at < len(data):
        rest = data[at:]
        size = 0
        if rest[:7] == b"IMPROV\x01" and len(rest) > 8:
            size = rest[8] + OVERHEAD
        elif rest[:2] == b"\x55\xaa" and len(rest) > 6 and rest[4] * 256 + rest[5] <= 4096:
            size = rest[4] * 256 + rest[5] + 7
        if not size or len(rest) < size or sum(rest[: size - 1]) % 256 != rest[size - 1]:
            noise += 1
            at += 1
            continue
        if rest[0] == 0x55:
            frames.append(Frame(rest[2], rest[3], rest[6 : size - 1]))
        else:
            packets.append(Packet(rest[7], rest[9 : size - 1]))
            size += rest[size : size + 1] == b"\n"
        at += size
    return Found(packets, frames, noise)


def decode(*line: bytes) -> Found:
    decoder = LineDecoder()
    frames = [frame for piece in line for frame in decoder.feed(piece, 0)]
    frames += decoder.expire(math.inf)
    assert decoder.next_due() == math.inf
    return Found(decoder.take_packets(), frames, decoder.noise_bytes)


def packets_in(line: bytes) -> list[Packet]:
    return decode(line).packets


@given(lines, st.lists(st.integers(0, 600), max_size=6))
def test_any_bytes_in_any_pieces_give_what_a_plain_reading_finds(
    line: bytes, cuts: list[int]
) -> None:
    bounds = [0, *sorted(cuts), len(line)]
    expected = reference(line)

    assert decode(line) == expected
    assert decode(*(bytes((byte,)) for byte in line)) == expected
    assert decode(*(line[a:b] for a, b in pairwise(bounds))) == expected


@given(lines, st.sampled_from(GOOD))
def test_a_good_packet_is_found_after_a_silence_whatever_came_before(
    line: bytes, packet: Packet
) -> None:
    decoder = LineDecoder(silence_seconds=0.5)
    decoder.feed(line, 0.0)
    decoder.expire(0.5)
    decoder.take_packets()

    assert decoder.feed(packet.encode(), 0.5) == []
    assert decoder.take_packets() == [packet]


@given(st.sampled_from(GOOD), st.integers(0, 400), st.integers(1, 255))
def test_a_packet_that_was_altered_is_not_taken_for_another(
    packet: Packet, place: int, change: int
) -> None:
    encoded = packet.encode()[:-1]
    at = place % len(encoded)
    byte = encoded[at] ^ change

    assert packet not in packets_in(encoded[:at] + bytes((byte,)) + encoded[at + 1 :])


def test_what_is_dropped_is_counted() -> None:
    decoder = LineDecoder()
    bad = GOOD[0].encode()[:-2] + b"\x00"
    line = bad + b"IMPROV\x02" + GOOD[0].encode() * 2 + b"IMP"
    assert decoder.feed(line, 0.0) == decoder.expire(decoder.next_due()) == []
    assert decoder.take_packets() == GOOD[:1] * 2
    counts = (decoder.bad_packets, decoder.bad_checksums, decoder.expired, decoder.noise_bytes)
    assert counts == (1, 0, 1, len(bad) + 7 + 3)


def test_packets_and_tuya_frames_share_a_line() -> None:
    line = FRAMES[0] + GOOD[2].encode() + FRAMES[0] + GOOD[0].encode()

    assert decode(line) == ([GOOD[2], GOOD[0]], [Frame(0, 0xFE, CALL)] * 2, 0)
    assert [found.data for found in FrameDecoder().feed(line, 0.0)] == [CALL] * 2


@pytest.mark.parametrize("beginning", [b"I", b"IMPROV", b"log: IMPRO", b"U", b"\x55I"])
def test_what_looks_like_a_beginning_keeps_no_frame_waiting(beginning: bytes) -> None:
    decoder = LineDecoder()
    assert decoder.feed(beginning, 0.0) == []
    assert decoder.feed(FRAMES[0], 0.0) == [Frame(0, 0xFE, CALL)]
    assert decoder.next_due() == math.inf


def test_no_frame_smuggles_a_packet_in() -> None:
    for line in (FRAMES[1], FRAMES[1][:-1], encode_frame(0xFE, FRAMES[1])):
        decoder = LineDecoder()
        for byte in line:
            decoder.feed(bytes((byte,)), 0.0)
        assert decoder.take_packets() == []


def test_a_decoder_goes_on_where_another_one_is() -> None:
    before = FrameDecoder()
    assert before.feed(b"noise" + FRAMES[0][:10], 0.0) == []
    decoder = LineDecoder.instead_of(before)

    assert decoder.feed(FRAMES[0][10:] + GOOD[0].encode()[:-1], 0.1) == [Frame(0, 0xFE, CALL)]
    assert decoder.take_packets() == GOOD[:1]
    assert decoder.noise_bytes == 5


def test_the_bytes_of_the_standard() -> None:
    """The example of "Send Wi-Fi settings", and the header of "Packet format"."""
    call = Call(Command.WIFI_SETTINGS, SETTINGS.encode())
    assert call.encode() == b"\x01\x1e\x0cMyWirelessAP\x10mysecurepassword"
    encoded = call_packet(call).encode()
    assert encoded[:9] == b"IMPROV\x01\x03\x20"
    assert encoded[-2:] == bytes((sum(encoded[:-2]) % 256, 10))
    assert state_packet(State.AUTHORIZED).encode() == b"IMPROV\x01\x01\x01\x02\xe2\n"


@given(st.text(max_size=30), st.text(min_size=4, max_size=28), st.integers(0, 30))
def test_a_key_is_never_shown(ssid: str, key: str, cut: int) -> None:
    key = f"k~{key}"
    settings = WifiSettings(ssid, key)
    call = Call(Command.WIFI_SETTINGS, settings.encode())
    whole = call_packet(call)
    short = Packet(PacketType.CALL, whole.data[: len(whole.data) - cut])
    for packet in (whole, short):
        shown = packet.shown()
        assert key.encode() not in shown or key in ssid
        assert b"k~" not in shown or "k~" in ssid
        assert packets_in(shown)[0].type == PacketType.CALL
    assert b"***" in whole.shown()
    assert "k~" not in repr((settings.key and settings, call, whole)).replace(ssid, "")


def test_other_packets_are_shown_as_they_are() -> None:
    for packet in (*GOOD[:2], *GOOD[3:], call_packet(Call(Command.SCAN))):
        assert packet.shown() == packet.encode()


@pytest.mark.parametrize("packet", [Packet(PacketType.STATE, b""), Packet(PacketType.ERROR, b"")])
def test_a_packet_without_its_byte(packet: Packet) -> None:
    with pytest.raises(MalformedFrame):
        _ = packet.value


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\x02a"])
def test_a_command_that_is_cut(data: bytes) -> None:
    with pytest.raises(MalformedFrame):
        _ = Packet(PacketType.CALL, data).call
