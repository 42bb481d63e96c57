"""Cutting a byte stream into JSON messages, without decoding them.

Newline-ended messages are what peers send; `bytes.split` alone is printed next to them as the
least that any splitter does. One long message without a newline, arriving in small pieces, shows
that nothing is scanned twice: the time per byte must not grow with its size.
"""

from functools import partial
from typing import Final

from jsonrpc_iot.protocol.jsonstream import JsonSplitter

from ._harness import Options, Report, Timed, equals, measure, sync_loop

LINES: Final = "100-byte messages with newline, 64 KiB pieces"
SPLIT: Final = "bytes.split alone, 64 KiB pieces"
LINEAR: Final = 1.5

_MB = 1_000_000
_SIZES = (1, 2, 4, 8, 16)
_LINE_MESSAGES = 20_000
_MESSAGE = (
    b'{"method":"sensor.report","id":%05d,'
    b'"params":{"sensor":"kitchen, left","value":21.5,"unit":"Cels"}}'
)


def run(options: Options) -> Report:
    """Measure and compare."""
    mega = _MB // 100 if options.quick else _MB
    report = Report(
        "jsonstream",
        [
            "newline-ended messages, and one long message without newline in pieces of 1 KB",
            f"linear: time per byte of the longest / of the shortest, at most {LINEAR}",
        ],
    )
    sizes: dict[str, int] = {}
    contenders: dict[str, Timed] = {}

    def add(name: str, data: bytes, piece: int, expected: list[bytes]) -> None:
        pieces = [data[start : start + piece] for start in range(0, len(data), piece)]
        if _split(len(data), pieces) != expected:
            raise AssertionError(f"wrong messages: {name}")
        sizes[name] = len(data)
        contenders[name] = sync_loop(partial(_split, len(data), pieces), equals(expected))

    messages = [_MESSAGE % number for number in range(10_000, 10_000 + _LINE_MESSAGES)]
    lines = b"".join(message + b"\n" for message in messages)
    add(LINES, lines, 65536, messages)
    add("100-byte messages with newline, 1,460-byte pieces", lines, 1460, messages)
    add("100-byte messages, no newline, 64 KiB pieces", b"".join(messages), 65536, messages)
    pieces = [lines[start : start + 65536] for start in range(0, len(lines), 65536)]
    sizes[SPLIT] = len(lines)
    contenders[SPLIT] = sync_loop(partial(_split_lines, pieces), equals(messages))
    for kind in ("objects", "nested", "escapes", "text"):
        for size in _SIZES if kind == "objects" else (_SIZES[0], _SIZES[-1]):
            message = _long_message(kind, size * mega)
            add(_name(kind, size), message, 1000, [message])

    samples = measure(contenders, rounds=options.rounds(5), seconds=options.seconds(0.1))
    rates = {name: [sizes[name] / 1e6 / s for s in seconds] for name, seconds in samples.items()}
    for name, rate in rates.items():
        report.add(name, "MB/s", rate)
    report.compare(f"{LINES} / 500 MB/s", rates[LINES], [500.0] * len(rates[LINES]), ">=", 1.0)
    report.compare(f"{LINES} / split", rates[LINES], rates[SPLIT])
    for kind in ("objects", "nested", "escapes", "text"):
        short, long = rates[_name(kind, _SIZES[0])], rates[_name(kind, _SIZES[-1])]
        report.compare(f"{kind}: time per byte, long / short", short, long, "<=", LINEAR)
    return report


def _name(kind: str, size: int) -> str:
    return f"one message of {size} MB, {kind}"


def _split(limit: int, pieces: list[bytes]) -> list[bytes]:
    splitter = JsonSplitter(limit)
    messages: list[bytes] = []
    for piece in pieces:
        messages += splitter.feed(piece)
    return messages


def _split_lines(pieces: list[bytes]) -> list[bytes]:
    messages: list[bytes] = []
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        messages += lines
    return messages


def _long_message(kind: str, size: int) -> bytes:
    """A JSON object of about that many bytes.

    Args:
        kind: `objects` (an array of small ones), `nested` (little but brackets), `escapes` (a
            string of nothing else) or `text` (a string without any).
        size: in bytes.
    """
    unit, separator, frame = {
        "objects": (b'{"ssid":"home-network-2g","rssi":-61,"security":"wpa2"}', b",", b"[]"),
        "nested": (b"[" * 30 + b"{}" + b"]" * 30, b",", b"[]"),
        "escapes": (rb"\"\\", b"", b'""'),
        "text": (b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo", b"", b'""'),
    }[kind]
    count = size // (len(unit) + len(separator))
    body = separator.join([unit] * count)
    return b'{"result":' + frame[:1] + body + frame[1:] + b"}"
