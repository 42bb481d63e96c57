"""Requests in every shape that clients send, not in one: ours against the fastest peer.

All are JSON-RPC 2.0, which peers insist on, and differ from `named` in one thing each. The peer is
pyjsonrpc2, which `dispatch` shows to be the fastest and which validates nothing. The floor is that
of `dispatch` for `named`: msgspec decodes and encodes, and nobody is called.
"""

from collections.abc import Callable
from itertools import cycle
from time import thread_time
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from jsonrpc_iot import Dispatcher

from ._harness import Options, Report, Timed, measure, sync_loop

NAMED = "named"
FLOOR = "msgspec's floor, gc=False"
PEER = "pyjsonrpc2"
WRONG_TYPE = "wrong type"
UNKNOWN_METHOD = "unknown method"
MICROSECONDS_OF_WRONG_TYPE = 8.0

_SSID, _PSK = "home-network", "correct horse"
_SECRETS = f'{{"ssid":"{_SSID}","psk":"{_PSK}"}}'
_LONG_ID = "7b8e2a10-7d9a-4d0f-9d6f-0c1de0f2f001"


def _request(method: str = "wifi.connect", params: str = _SECRETS, id: str = "1") -> str:
    return f'{{"jsonrpc":"2.0","method":"{method}","id":{id},"params":{params}}}'


def _result(value: object, id: object = 1) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": id, "result": value}


def _batch(count: int) -> tuple[str, object]:
    ids = range(1, count + 1)
    requests = ",".join(_request(id=str(id)) for id in ids)
    return f"[{requests}]", [_result(True, id) for id in ids]


SHAPES: dict[str, tuple[str, object]] = {
    NAMED: (_request(), _result(True)),
    "positional": (_request(params=f'["{_SSID}","{_PSK}"]'), _result(True)),
    "no params": ('{"jsonrpc":"2.0","method":"ping","id":1}', _result(None)),
    "params []": (_request("ping", "[]"), _result(None)),
    "defaults": (_request("wifi.scan", '{"seconds":5}'), _result(5)),
    "id of 36 characters": (_request(id=f'"{_LONG_ID}"'), _result(True, _LONG_ID)),
    "non-ASCII": (_request(params=_SECRETS.replace(_SSID, "家里的网络")), _result(True)),
    "spaces": (_request().replace(":", ": ").replace(",", ", "), _result(True)),
    "result object": (_request("echo", '{"value":"hello"}'), _result("hello")),
    "result dict[str, float]": (_request("power", '["lamp"]'), _result({"lamp": 4.5})),
    "Struct param": (
        _request("point", '{"at":{"x":1,"y":2.5},"tags":["a","b"]}'),
        _result({"x": 1.0}),
    ),
    "notification": (_request().replace('"id":1,', ""), None),
    "batch of 10": _batch(10),
}
"""Valid requests with their answers, each of which is to be faster than the peer's."""

SPECIAL: dict[str, tuple[str, object]] = {
    "float id": (_request(id="1.5"), _result(True, 1.5)),
    "unknown member": (_request().replace('"id"', '"meta":{"t":1},"id"'), _result(True)),
    UNKNOWN_METHOD: (_request("nope"), -32601),
    WRONG_TYPE: (_request(params=_SECRETS.replace(f'"{_SSID}"', "5")), -32602),
    "parse error": (_request()[:-1], -32700),
}
"""What is rarer, with its answer or the code of its error."""

TO_NAMED = {
    "positional": 1.15,
    "notification": 1.0,
    "batch of 10": 12.0,
    "id of 36 characters": 1.2,
    "non-ASCII": 1.2,
}
"""How much longer than `named` a shape may take."""

TO_PEER: dict[str, float] = {UNKNOWN_METHOD: 3.0}
"""How much longer than the peer what is special may take, where there is a target."""

Call: TypeAlias = Callable[[], str | bytes | None]


class Point(Struct):
    """A param with members of its own."""

    x: int
    y: float


def connect(ssid: str, psk: str) -> bool:
    """Answer as a device would."""
    return True


def ping() -> None:
    """Do nothing."""


def scan(seconds: int, hidden: bool = False, band: str = "2g") -> int:
    """Take what has defaults."""
    return seconds


def echo(value: object) -> object:
    """Give back what may be anything."""
    return value


def power(name: str) -> dict[str, float]:
    """Give what may hold NaN."""
    return {name: 4.5}


def point(at: Point, tags: list[str]) -> dict[str, float]:
    """Take what is checked in depth."""
    return {"x": float(at.x)}


def point_of_dict(at: dict[str, float], tags: list[str]) -> dict[str, float]:
    """The same for a peer that makes no Structs."""
    return {"x": float(at["x"])}


HANDLERS: dict[str, Callable[..., Any]] = {
    "wifi.connect": connect,
    "ping": ping,
    "wifi.scan": scan,
    "echo": echo,
    "power": power,
    "point": point,
}


def run(options: Options) -> Report:
    """Measure and compare."""
    report = Report(
        "shapes",
        [
            "dispatch_sync, JSON-RPC 2.0, request to reply; processor's time per message",
            f"each shape differs from `named` in one thing; {PEER} validates nothing",
        ],
    )
    contenders = {
        FLOOR: sync_loop(_floor(), _checking(_result(True)), thread_time),
        **_ours(),
        **_peer(report),
    }
    samples = measure(contenders, rounds=options.rounds(31), seconds=options.seconds(0.01))
    for name, seconds in samples.items():
        report.add(name, "us", [second * 1e6 for second in seconds])
    report.compare(f"{NAMED} / floor, gc=False", samples[NAMED], samples[FLOOR], "<=", 1.75)
    for shape, target in TO_NAMED.items():
        report.compare(f"{shape} / {NAMED}", samples[shape], samples[NAMED], "<=", target)
    most = [MICROSECONDS_OF_WRONG_TYPE * 1e-6] * len(samples[WRONG_TYPE])
    what = f"{WRONG_TYPE} / {MICROSECONDS_OF_WRONG_TYPE:g} us"
    report.compare(what, samples[WRONG_TYPE], most, "<=", 1.0)
    for shape in (*SHAPES, *SPECIAL):
        if (other := samples.get(f"{PEER}, {shape}")) is not None:
            most_of_peer = TO_PEER.get(shape, 1.0 if shape in SHAPES else None)
            report.compare(f"{shape}: ours / {PEER}", samples[shape], other, "<=", most_of_peer)
    return report


def _ours() -> dict[str, Timed]:
    dispatcher = Dispatcher()
    for name, function in HANDLERS.items():
        dispatcher.method(name)(function)
    names = cycle([_request(f"nope{number}").encode() for number in range(1000)])
    dispatch = dispatcher.dispatch_sync
    return {
        **{name: _timed(dispatch, *shape) for name, shape in (SHAPES | SPECIAL).items()},
        "unknown method, each time another": sync_loop(
            lambda: dispatch(next(names)), _checking(-32601), thread_time
        ),
    }


def _peer(report: Report) -> dict[str, Timed]:
    module = report.peer("pyjsonrpc2.server", PEER)
    if module is None:
        return {}
    call = module.JsonRpcServer(HANDLERS | {"point": point_of_dict}).call
    shapes = SHAPES | SPECIAL | {WRONG_TYPE: (SPECIAL[WRONG_TYPE][0], _result(True))}
    return {f"{PEER}, {name}": _timed(call, *shape) for name, shape in shapes.items()}


def _timed(call: Callable[[bytes], str | bytes | None], request: str, answer: object) -> Timed:
    data = request.encode()
    return sync_loop(lambda: call(data), _checking(answer), thread_time)


def _floor() -> Call:
    class Request(Struct, gc=False):
        method: str
        id: int | float | str | None
        params: msgspec.Raw

    class Params(Struct, gc=False):
        ssid: str
        psk: str

    class Reply(Struct, gc=False):
        jsonrpc: str
        id: int | float | str | None
        result: bool

    data = SHAPES[NAMED][0].encode()
    decode_request = msgspec.json.Decoder(Request).decode
    decode_params = msgspec.json.Decoder(Params).decode
    encode = msgspec.json.Encoder().encode

    def floor() -> bytes:
        request = decode_request(data)
        decode_params(request.params)
        return encode(Reply("2.0", request.id, True))

    return floor


def _checking(answer: object) -> Callable[[str | bytes | None], None]:
    """A check that a reply is that answer, or has that code of an error."""

    def check(reply: str | bytes | None) -> None:
        found = msgspec.json.decode(reply) if reply else None
        if isinstance(answer, int) and isinstance(found, dict):
            found = found["error"]["code"]
        if found != answer:
            raise AssertionError(f"wrong reply: {reply!r:.200}")

    return check
