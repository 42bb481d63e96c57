"""Tuya frames: any bytes, cut anywhere, give the frames that a plain reading finds, no others."""

import math
from collections.abc import Iterator
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot.protocol.tuya.frame import (
    OVERHEAD,
    Command,
    Frame,
    FrameDecoder,
    NetworkStatus,
    encode_frame,
)
from tests.vectors import Vector, read_vectors

VECTORS = read_vectors("tuya")
SILENCE = 0.5  # powers of two, so that sums of times are exact
PAUSE = 1.0
BAUDRATE = 10 * 1024
BYTE_SECONDS = 1 / 1024
MAX_DATA = 300
FRAME = Frame(0, Command.RPC, b'{"method":"rpc.ping","id":1}')
GOOD = [
    Frame(3, Command.REPORT_DATAPOINTS, bytes.fromhex("02020004000055dd")),
    Frame(0, Command.HEARTBEAT, b""),
    Frame(0, Command.RPC, b'{"result":"a\x55\xaab","id":1}'),
    Frame(3, 0xE2, b"\x55"),
]

# When each piece comes, and the piece.
Line = list[tuple[float, bytes]]


class Counts(tuple[int, int, int, int]):
    """noise_bytes, bad_checksums, too_long, expired."""

    __slots__ = ()


def encoded(*frames: Frame) -> bytes:
    return b"".join(encode_frame(command, data, version) for version, command, data in frames)


def new_decoder(max_data: int = MAX_DATA) -> FrameDecoder:
    return FrameDecoder(max_data, SILENCE, PAUSE, BAUDRATE)


def counts(decoder: FrameDecoder) -> Counts:
    return Counts((decoder.noise_bytes, decoder.bad_checksums, decoder.too_long, decoder.expired))


def decode(line: Line, max_data: int = MAX_DATA) -> tuple[list[Frame], Counts]:
    """What a decoder makes of it, when the line is silent for good afterwards."""
    decoder = new_decoder(max_data)
    frames: list[Frame] = []
    for now, piece in line:
        frames += decoder.feed(piece, now)
    frames += decoder.expire(math.inf)
    assert decoder.next_due() == math.inf
    return frames, counts(decoder)


def reference(line: Line, max_data: int = MAX_DATA) -> tuple[list[Frame], Counts]:
    """The rules, one byte at a time, with no thought of speed."""
    frames: list[Frame] = []
    noise = bad = long = expired = 0
    kept = b""
    heard = begun = -math.inf
    for now, piece in [*line, (math.inf, b"")]:
        silent = now - heard >= SILENCE and kept != b""
        old = now - begun >= PAUSE + len(kept) * BYTE_SECONDS and kept != b"" and not silent
        expired += silent or old
        judged = list(piece)
        while silent or old or judged:
            if silent or old:
                kept, noise, begun, old = kept[1:], noise + 1, now, False
            else:
                begun = begun if kept else now
                kept += bytes([judged.pop(0)])
            while (verdict := look(kept, max_data)) != "wait":
                begun = now
                if isinstance(verdict, Frame):
                    frames.append(verdict)
                    kept = kept[OVERHEAD + len(verdict.data) :]
                else:
                    bad += verdict == "bad checksum"
                    long += verdict == "too long"
                    kept, noise = kept[1:], noise + 1
            silent = silent and kept != b""
        heard = now if piece else heard
    return frames, Counts((noise, bad, long, expired))


def look(kept: bytes, max_data: int) -> Frame | str:
    """What the beginning of it is."""
    if not b"\x55\xaa".startswith(kept[:2]):
        return "noise"
    if len(kept) < 6:
        return "wait"
    length = kept[4] * 256 + kept[5]
    if length > max_data:
        return "too long"
    if len(kept) < length + OVERHEAD:
        return "wait"
    if sum(kept[: length + 6]) % 256 != kept[length + 6]:
        return "bad checksum"
    return Frame(kept[2], kept[3], kept[6 : length + 6])


@pytest.mark.parametrize("vector", [pytest.param(each, id=each["name"]) for each in VECTORS])
def test_vectors(vector: Vector) -> None:
    stream = bytes.fromhex(vector["hex"])
    frames = [
        Frame(each["version"], each["command"], bytes.fromhex(each["data_hex"]))
        for each in vector["frames"]
    ]
    found, counted = decode([(0, stream)], 1024)
    assert (found, counted[0]) == (frames, vector["dropped"])
    if not counted[0]:
        assert encoded(*frames) == stream
    expected = reference([(0, stream + encoded(*GOOD))], 1024)
    cuts = range(len(stream) + 1) if len(stream) < 200 else (1, 2, 5, 6, 7, len(stream) - 1)
    for at in cuts:
        assert decode([(0, stream[:at]), (0, stream[at:] + encoded(*GOOD))], 1024) == expected
    pieces = [(0.0, bytes([byte])) for byte in stream + encoded(*GOOD)]
    assert decode(pieces, 1024) == expected


def test_the_layout() -> None:
    assert encode_frame(Command.RPC, b"ab", version=3).hex() == "55aa03fe00026162c5"
    assert encode_frame(Command.HEARTBEAT) == bytes.fromhex("55aa00000000ff")
    assert encode_frame(Command.NETWORK_STATUS, bytes([NetworkStatus.CLOUD])).hex() == (
        "55aa000300010407"
    )


@pytest.mark.parametrize("size", [0, 1, 248, 249, 250, 255, 256, 498, 499, 4096, 65535])
@pytest.mark.parametrize("byte", [b"\x00", b"\xff", b"\x55", b"\xaa"])
def test_sizes(size: int, byte: bytes) -> None:
    frame = encode_frame(0xFF, byte * size, 0xFF)
    assert len(frame) == size + OVERHEAD
    assert frame[-1] == sum(frame[:-1]) % 256
    assert FrameDecoder(65535).feed(frame, 0) == [Frame(0xFF, 0xFF, byte * size)]


@pytest.mark.parametrize(
    ("command", "size", "version", "text"),
    [
        (0, 65536, 0, "65536 bytes"),
        (256, 0, 0, "command 256"),
        (-1, 0, 0, "command -1"),
        (0, 0, 256, "version 256"),
    ],
)
def test_what_no_frame_holds(command: int, size: int, version: int, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        encode_frame(command, bytes(size), version)


def test_several_frames_in_one_read() -> None:
    assert decode([(0, encoded(*GOOD))]) == (GOOD, (0, 0, 0, 0))


@pytest.mark.parametrize("noise", [b"\x55", b"\x55\x55", b"\xaa", b"U55", b"\x00\xff\x55"])
def test_noise_before_a_header(noise: bytes) -> None:
    assert decode([(0, noise + encoded(FRAME))]) == ([FRAME], (len(noise), 0, 0, 0))
    assert decode([(0, noise), (0, encoded(FRAME))]) == ([FRAME], (len(noise), 0, 0, 0))


def test_a_lone_first_byte_waits_for_the_second() -> None:
    decoder = new_decoder()
    assert decoder.feed(b"\x00\x00\x55", 0) == []
    assert decoder.noise_bytes == 2
    assert decoder.next_due() == SILENCE
    assert decoder.feed(encoded(FRAME)[1:], 0.25) == [FRAME]


@pytest.mark.parametrize("length", [MAX_DATA + 1, 4096, 0xFFFF])
def test_a_length_over_the_limit_swallows_nothing(length: int) -> None:
    header = b"\x55\xaa\x00\xfe" + length.to_bytes(2, "big")
    decoder = new_decoder()
    assert decoder.feed(header + encoded(FRAME), 0) == [FRAME]
    assert counts(decoder) == (6, 0, 1, 0)


def test_the_longest_frame_that_is_accepted() -> None:
    frame = Frame(0, 0, bytes(MAX_DATA))
    assert decode([(0, encoded(frame))]) == ([frame], (0, 0, 0, 0))


def test_a_frame_that_stops_in_the_middle() -> None:
    decoder = new_decoder()
    half = encoded(FRAME)[:10]
    assert decoder.feed(half, 8) == []
    assert decoder.next_due() == 8 + SILENCE
    assert decoder.expire(8.25) == []
    assert decoder.next_due() == 8 + SILENCE
    assert decoder.expire(decoder.next_due()) == []
    assert counts(decoder) == (10, 0, 0, 1)
    assert decoder.next_due() == math.inf
    assert decoder.feed(encoded(FRAME), 9) == [FRAME]


def test_each_byte_of_a_slow_frame_starts_the_silence_anew() -> None:
    decoder = new_decoder()
    now = 0.0
    for byte in encoded(FRAME)[:3]:
        now += SILENCE / 2
        assert decoder.feed(bytes([byte]), now) == []
        assert decoder.feed(b"", now + SILENCE / 4) == []  # nothing is no sign of life
        assert decoder.next_due() == now + SILENCE
    assert decoder.feed(encoded(FRAME)[3:], now) == [FRAME]


def test_a_frame_at_the_rate_of_the_line_has_all_its_time() -> None:
    frame = Frame(0, 0x60, bytes(MAX_DATA))
    decoder = FrameDecoder(MAX_DATA, SILENCE, pause_seconds=0.125, baudrate=BAUDRATE)
    stream = encoded(frame)
    for at in range(len(stream) - 1):
        assert decoder.feed(stream[at : at + 1], at * BYTE_SECONDS) == []
    assert decoder.feed(stream[-1:], len(stream) * BYTE_SECONDS) == [frame]


@pytest.mark.parametrize("bit", range(5))
@pytest.mark.parametrize(("size", "every"), [(38, 0.3), (17, 0.35), (10, 0.05), (1000, 0.3)])
def test_a_wrong_length_on_a_line_without_silence_costs_less_than_two_seconds(
    bit: int, size: int, every: float
) -> None:
    decoder = FrameDecoder()
    stream = encoded(Frame(0, Command.RPC, b"x" * size))
    swallowing = stream[:4] + bytes([stream[4] ^ 1 << bit]) + stream[5:]
    pieces = [swallowing if number == 5 else stream for number in range(200)]
    heard = [at * every for at, piece in enumerate(pieces) if decoder.feed(piece, at * every)]
    assert max(b - a for a, b in pairwise(heard)) < 2
    assert heard[-1] == 199 * every


def test_pauses_give_back_what_a_wrong_length_swallowed_and_the_half_frame_behind_it() -> None:
    swallowing = b"\x55\xaa\x00\x07\x01\x00"
    stream = swallowing + encoded(*GOOD) + encoded(FRAME)[:12]
    decoder = new_decoder()
    assert decoder.feed(stream[:10], 0) == []
    assert decoder.feed(stream[10:20], 0.375) == []
    assert decoder.feed(stream[20:], 0.75) == []
    due = PAUSE + len(stream) * BYTE_SECONDS
    assert decoder.next_due() == due
    assert decoder.expire(due) == GOOD
    assert decoder.feed(encoded(FRAME)[12:], due + 0.125) == [FRAME]
    assert counts(decoder) == (6, 0, 0, 1)


def test_what_lay_in_a_buffer_may_still_end_a_frame() -> None:
    stream = encoded(FRAME)
    decoder = new_decoder()
    assert decoder.feed(stream[:10], 0) == []
    assert decoder.feed(stream[10:20], 8, is_late=True) == []
    assert decoder.feed(stream[20:], 16, is_late=True) == [FRAME]
    assert counts(decoder) == (0, 0, 0, 0)


def test_what_comes_after_silence_is_not_joined_to_what_was_before() -> None:
    decoder = new_decoder()
    stream = encoded(FRAME)
    assert decoder.feed(stream[:10], 0) == []
    assert decoder.feed(stream[10:] + stream, SILENCE) == [FRAME]
    assert counts(decoder) == (len(stream), 0, 0, 1)


def test_silence_gives_back_what_a_wrong_length_swallowed() -> None:
    swallowing = b"\x55\xaa\x00\x07\x01\x00"
    stream = swallowing + encoded(*GOOD) + encoded(FRAME)[:12]
    decoder = new_decoder()
    assert decoder.feed(stream, 0) == []
    assert decoder.expire(SILENCE) == GOOD
    assert counts(decoder) == (18, 0, 0, 1)

    decoder = new_decoder()
    assert decoder.feed(stream, 0) == []
    assert decoder.feed(encoded(FRAME), 1) == [*GOOD, FRAME]


def ruins() -> Iterator[bytes]:
    """A frame, shorter by any number of bytes at its end, or with any one bit turned over."""
    for frame in (FRAME, GOOD[0]):
        whole = encoded(frame)
        yield from (whole[:size] for size in range(len(whole)))
        for bit in range(8 * len(whole)):
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            yield bytes(flipped)


def test_no_good_frame_is_lost_after_a_ruined_one() -> None:
    # A wrong length finds a checksum that is right by chance once in 256 times. In this stream,
    # which is the same every time, that does not happen.
    for ruin in ruins():
        stream = ruin + encoded(*GOOD, FRAME, *GOOD)
        assert decode([(0, stream)])[0] == [*GOOD, FRAME, *GOOD], ruin.hex()


SMALL = st.binary(max_size=12) | st.lists(
    st.sampled_from([b"\x55", b"\xaa", b"\x55\xaa", b"\x00", b"\x01"]), max_size=8
).map(b"".join)
FRAMES = st.builds(
    Frame, st.integers(0, 255), st.integers(0, 255), SMALL | st.binary(min_size=240, max_size=310)
)


@st.composite
def parts(draw: st.DrawFn) -> bytes:
    """A frame, a ruined frame or noise."""
    part = draw(SMALL | FRAMES.map(encoded))
    if part and draw(st.booleans()):
        part = part[: draw(st.integers(0, len(part)))]
    if part and draw(st.booleans()):
        at = draw(st.integers(0, len(part) - 1))
        part = part[:at] + bytes([part[at] ^ 1 << draw(st.integers(0, 7))]) + part[at + 1 :]
    return part


@st.composite
def lines(draw: st.DrawFn) -> Line:
    stream = b"".join(draw(st.lists(FRAMES.map(encoded) | parts(), max_size=8)))
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    now = 0.0
    line: Line = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        now += draw(st.sampled_from([0.0, 0.125, SILENCE - 0.125, SILENCE, 2.0]))
        line.append((now, stream[start:end]))
    return line


@given(lines())
def test_any_line_gives_what_the_reference_finds(line: Line) -> None:
    assert decode(line) == reference(line)


@given(st.lists(parts(), max_size=5).map(b"".join))
def test_a_stream_cut_anywhere_gives_the_same(stream: bytes) -> None:
    expected = reference([(0, stream)])
    assert decode([(0, stream)]) == expected
    assert decode([(0, stream[at : at + 1]) for at in range(len(stream))]) == expected
    for at in range(1, len(stream)):
        assert decode([(0, stream[:at]), (0, stream[at:])]) == expected


@given(lines())
def test_each_byte_is_part_of_a_frame_or_noise(line: Line) -> None:
    frames, found = decode(line)
    stream = b"".join(piece for _, piece in line)
    at = 0
    for frame in frames:
        wire = encoded(frame)  # with the checksum that is right
        at = stream.index(wire, at) + len(wire)
    assert found[0] + sum(len(encoded(frame)) for frame in frames) == len(stream)


@given(st.lists(FRAMES, max_size=6), st.lists(st.integers(1, 40), min_size=1))
def test_frames_come_back(frames: list[Frame], sizes: list[int]) -> None:
    frames = [frame._replace(data=frame.data[:MAX_DATA]) for frame in frames]
    stream = encoded(*frames)
    line: Line = []
    while stream:
        size = sizes[len(line) % len(sizes)]
        line.append((0, stream[:size]))
        stream = stream[size:]
    assert decode(line) == (frames, (0, 0, 0, 0))


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_what_is_kept_is_bounded(piece: int) -> None:
    # No counter and no frame tells what is kept, so what is not is counted.
    random = Random(1)
    header = b"\x55\xaa\x00\x00" + MAX_DATA.to_bytes(2, "big")
    stream = b"".join(header + random.randbytes(random.randrange(40)) for _ in range(500))
    decoder = new_decoder()
    taken = done = 0
    for at in range(0, len(stream), piece):
        part = stream[at : at + piece]
        taken += len(part)
        done += sum(len(encoded(frame)) for frame in decoder.feed(part, 0))
        assert taken - done - decoder.noise_bytes < MAX_DATA + OVERHEAD
