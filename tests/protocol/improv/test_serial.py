"""Improv packets: any bytes, cut anywhere, give the packets that a plain reading finds."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot import MalformedFrame
from jsonrpc_iot.protocol.improv.messages import Call, Command, ErrorState, State, WifiSettings
from jsonrpc_iot.protocol.improv.serial import (
    OVERHEAD,
    Packet,
    PacketDecoder,
    PacketType,
    call_packet,
    error_packet,
    result_packet,
    state_packet,
)
from jsonrpc_iot.protocol.tuya.frame import FrameDecoder, encode_frame

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
    encode_frame(0xFE, b'{"method":"rpc.ping","id":1}'),
    GOOD[0].encode()[:-2] + b"\x00",
]

packets = st.one_of(st.sampled_from(GOOD), st.builds(Packet, st.integers(0, 255), st.binary()))
pieces = st.one_of(
    packets.map(Packet.encode),
    packets.flatmap(lambda one: st.integers(0, 12).map(lambda cut: one.encode()[:-cut])),
    packets.flatmap(lambda one: st.integers(0, 12).map(lambda cut: one.encode()[cut:])),
    st.sampled_from(OTHERS),
    st.binary(max_size=30),
)
lines = st.lists(pieces, max_size=8).map(b"".join)


def reference(data: bytes) -> tuple[list[Packet], int]:
    """The packets of a line that is silent afterwards, and how many bytes belong to none."""
    found, others, at = [], 0, 0
    while at < len(data):
        rest = data[at:]
        is_packet = rest[:7] == b"IMPROV\x01" and len(rest) > 8 and len(rest) >= rest[8] + OVERHEAD
        if is_packet and sum(rest[: rest[8] + 9]) % 256 == rest[rest[8] + 9]:
            found.append(Packet(rest[7], rest[9 : rest[8] + 9]))
            at += rest[8] + OVERHEAD
        else:
            others += 1
            at += 1
    return found, others


def decode(*line: bytes) -> tuple[list[Packet], int]:
    decoder = PacketDecoder()
    found = [packet for piece in line for packet in decoder.feed(piece, 0)]
    found += decoder.expire(math.inf)
    assert decoder.next_due() == math.inf
    return found, decoder.other_bytes


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
    decoder = PacketDecoder(silence_seconds=0.5)
    decoder.feed(line, 0.0)
    decoder.expire(0.5)

    assert decoder.feed(packet.encode(), 0.5) == [packet]


@given(st.sampled_from(GOOD), st.integers(0, 400), st.integers(1, 255))
def test_a_packet_that_was_altered_is_not_taken_for_another(
    packet: Packet, place: int, change: int
) -> None:
    encoded = packet.encode()[:-1]
    at = place % len(encoded)
    byte = encoded[at] ^ change
    found, _ = decode(encoded[:at] + bytes((byte,)) + encoded[at + 1 :])

    assert packet not in found


def test_what_is_dropped_is_counted() -> None:
    decoder = PacketDecoder()
    bad = GOOD[0].encode()[:-2] + b"\x00"
    assert decoder.feed(bad + b"IMPROV\x02" + GOOD[0].encode() * 2 + b"IMP", 0.0) == GOOD[:1] * 2
    assert decoder.expire(decoder.next_due()) == []
    counts = (decoder.bad_checksums, decoder.bad_versions, decoder.expired, decoder.other_bytes)
    assert counts == (1, 1, 1, len(bad) + 7 + 2 + 3)


def test_packets_and_tuya_frames_share_a_line() -> None:
    frame = encode_frame(0xFE, b'{"method":"rpc.ping","id":1}')
    line = frame + GOOD[2].encode() + frame + GOOD[0].encode()

    assert decode(line)[0] == [GOOD[2], GOOD[0]]
    assert [found.data for found in FrameDecoder().feed(line, 0.0)] == [frame[6:-1]] * 2


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
        assert PacketDecoder().feed(shown, 0.0)[0].type == PacketType.CALL
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
