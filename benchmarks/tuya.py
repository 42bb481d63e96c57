"""Finding Tuya frames in what a serial line brings.

The smallest loop that is correct for whole frames in memory is printed next to the decoder: it
takes no pieces, has no limits and counts nothing. Noise is what a line brings while the baud rate
is wrong. A stream of marks is the noise that costs most: every second byte begins a frame.
"""

from functools import partial
from random import Random
from typing import Final

from jsonrpc_iot.protocol.tuya.frame import OVERHEAD, Frame, FrameDecoder, encode_frame

from ._harness import Options, Report, Timed, equals, measure, sync_loop

FRAMES: Final = "64-byte frames, 64 KiB pieces"
LOOP: Final = "64-byte frames, smallest loop"
NOISE: Final = "random noise, 4 KiB pieces"

_COUNT = 20_000
_SIZE = 64
_MAX_DATA = 4096


def run(options: Options) -> Report:
    """Measure and compare."""
    count = _COUNT // 100 if options.quick else _COUNT
    report = Report("tuya", [f"{count:,} frames of {_SIZE} bytes, and as many bytes of noise"])
    sizes: dict[str, int] = {}
    contenders: dict[str, Timed] = {}

    def add(name: str, data: bytes, piece: int, expected: list[Frame] | None) -> None:
        pieces = [data[start : start + piece] for start in range(0, len(data), piece)]
        frames = _decode(pieces)
        if expected is not None and frames != expected:
            raise AssertionError(f"wrong frames: {name}")
        sizes[name] = len(data)
        contenders[name] = sync_loop(partial(_decode, pieces), equals(frames))

    random = Random(1)
    frames = [Frame(0, 0xFE, random.randbytes(_SIZE - OVERHEAD)) for _ in range(count)]
    stream = b"".join(encode_frame(command, data, version) for version, command, data in frames)
    add(FRAMES, stream, 65536, frames)
    add("64-byte frames, one a piece", stream, _SIZE, frames)
    add("64-byte frames, 8-byte pieces", stream, 8, frames)
    sizes[LOOP] = len(stream)
    expected = [(version, command, data) for version, command, data in frames]
    contenders[LOOP] = sync_loop(partial(_smallest_loop, stream), equals(expected))
    long = [Frame(0, 0xFE, random.randbytes(1024)) for _ in range(count // 16)]
    add(
        "1,031-byte frames, 4 KiB pieces",
        b"".join(encode_frame(f[1], f[2]) for f in long),
        4096,
        long,
    )
    add(NOISE, random.randbytes(len(stream)), 4096, None)
    add("nothing but marks, 4 KiB pieces", b"\x55\xaa" * (len(stream) // 2), 4096, [])
    add(
        "headers of 4,000-byte frames, 4 KiB pieces",
        b"\x55\xaa\x00\x00\x0f\xa0" * count,
        4096,
        None,
    )

    samples = measure(contenders, rounds=options.rounds(9), seconds=options.seconds(0.1))
    rates = {name: [sizes[name] / 1e6 / s for s in seconds] for name, seconds in samples.items()}
    for name, rate in rates.items():
        report.add(name, "MB/s", rate)
    report.compare(f"{FRAMES} / smallest loop", rates[FRAMES], rates[LOOP], ">=", 0.7)
    report.compare("random noise / 20 MB/s", rates[NOISE], [20.0] * len(rates[NOISE]), ">=", 1.0)
    return report


def _decode(pieces: list[bytes]) -> list[Frame]:
    decoder = FrameDecoder(_MAX_DATA)
    frames: list[Frame] = []
    for piece in pieces:
        frames += decoder.feed(piece, 0.0)
    return frames


def _smallest_loop(stream: bytes) -> list[tuple[int, int, bytes]]:
    frames: list[tuple[int, int, bytes]] = []
    at = 0
    while (at := stream.find(b"\x55\xaa", at)) >= 0:
        end = at + 6 + (stream[at + 4] << 8 | stream[at + 5])
        if sum(stream[at:end]) & 0xFF == stream[end]:
            frames.append((stream[at + 2], stream[at + 3], stream[at + 6 : end]))
            at = end + 1
        else:
            at += 1
    return frames
