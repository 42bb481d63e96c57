"""The codecs alone: what their checks cost over msgspec, next to orjson and the standard library.

Decoding goes from a request's bytes to its params, encoding from a result to the reply's bytes.
Ours and msgspec's floor decode into Structs, so they validate types as well; orjson and json
stop at dictionaries and lists. The same messages in MessagePack are beside those in JSON.
"""

import json
from collections.abc import Callable
from statistics import median
from time import thread_time
from typing import Any

import msgspec
from msgspec import UNSET

from jsonrpc_iot.protocol.codec.codec import Codec
from jsonrpc_iot.protocol.codec.json import JsonCodec
from jsonrpc_iot.protocol.codec.msgpack import MsgpackCodec
from jsonrpc_iot.protocol.messages import Message

from ._harness import Options, Report, Timed, equals, figure, measure, sync_loop

SIZES = {"100 B": 100, "1 KB": 1000, "60 KB": 60_000}
OURS, FLOOR, MSGPACK = "ours", "msgspec's floor", "ours in MessagePack"

TARGETS = {("decode 60 KB", MSGPACK): 2.5}

_HEAD = b'{"method":"wifi.import","id":12345,"params":{"networks":['
_TAIL = b"]}}"
_NETWORK = '{"ssid":"network-%03d","rssi":%d}'


class Network(msgspec.Struct, gc=False):
    """One entry of the params and of the result."""

    ssid: str
    rssi: int


class Params(msgspec.Struct, gc=False):
    """The params of the request."""

    networks: list[Network]


class Request(msgspec.Struct, gc=False):
    """The least of a request."""

    method: str
    id: int | float | str | None
    params: msgspec.Raw


class Reply(msgspec.Struct, gc=False):
    """The least of a reply."""

    id: int | float | str | None
    result: list[Network]


def run(options: Options) -> Report:
    """Measure and compare."""
    report = Report(
        "codec",
        [
            "decode: request to params; encode: result to reply; both: one after the other",
            "ours and the floor validate types, orjson and json do not",
            "both counts a message in and a message out as one",
            *map(_sizes, SIZES),
        ],
    )
    contenders: dict[str, Timed] = {}
    for size, length in SIZES.items():
        for name, steps in _contenders(request(length), report).items():
            for step, call in zip(("decode", "encode", "both"), steps, strict=True):
                contenders[f"{step} {size}, {name}"] = sync_loop(call, equals(call()), thread_time)
    samples = measure(contenders, rounds=options.rounds(21), seconds=options.seconds(0.02))
    for name, seconds in samples.items():
        time = f"{figure(median(seconds) * 1e6)} us each"
        report.add(name, "messages/s", [1 / second for second in seconds], time)
    for size in SIZES:
        for step in ("decode", "encode", "both"):
            what = f"{step} {size}"
            ours, floor = samples[f"{what}, {OURS}"], samples[f"{what}, {FLOOR}"]
            report.compare(f"{what}: time, ours / floor", ours, floor)
            for peer in (MSGPACK, "orjson", "json"):
                if (other := samples.get(f"{what}, {peer}")) is not None:
                    target = TARGETS.get((what, peer))
                    report.compare(f"{what}: time, {peer} / ours", other, ours, "<=", target)
    return report


def request(length: int) -> bytes:
    """A request of about that many bytes."""
    networks: list[str] = []
    size = len(_HEAD) + len(_TAIL)
    while not networks or size < length:
        network = _NETWORK % (len(networks), -30 - len(networks) % 60)
        networks.append(network)
        size += len(network) + 1
    return _HEAD + ",".join(networks).encode() + _TAIL


def _sizes(size: str) -> str:
    data = request(SIZES[size])
    return (
        f"{size}: {len(data):,} bytes on the wire in JSON, {len(in_msgpack(data)):,} in MessagePack"
    )


Steps = tuple[Callable[[], object], Callable[[], object], Callable[[], object]]


def _contenders(data: bytes, report: Report) -> dict[str, Steps]:
    decode_params = msgspec.json.Decoder(Params).decode
    decode_request = msgspec.json.Decoder(Request).decode
    encode_reply = msgspec.json.Encoder().encode

    def floor(data: bytes) -> list[Network]:
        return decode_params(decode_request(data).params).networks

    found = {
        OURS: _our_steps(JsonCodec(), data),
        MSGPACK: _our_steps(MsgpackCodec(), in_msgpack(data)),
        FLOOR: _steps(data, floor, lambda result: encode_reply(Reply(12345, result))),
        "json": _steps(
            data,
            lambda data: json.loads(data)["params"]["networks"],
            lambda result: json.dumps(
                {"id": 12345, "result": result}, separators=(",", ":")
            ).encode(),
        ),
    }
    if orjson := report.peer("orjson", "orjson"):
        loads, dumps = orjson.loads, orjson.dumps
        found["orjson"] = _steps(
            data,
            lambda data: loads(data)["params"]["networks"],
            lambda result: dumps({"id": 12345, "result": result}),
        )
    return found


def in_msgpack(data: bytes) -> bytes:
    """A JSON message in MessagePack."""
    return msgspec.msgpack.encode(msgspec.json.decode(data))


def _our_steps(codec: Codec, data: bytes) -> Steps:
    decode_params = codec.decoder(Params)

    def decode(data: bytes) -> list[Network]:
        message = codec.decode(data)
        assert type(message) is Message
        return decode_params(message.params).networks

    def encode(result: list[Network]) -> bytes:
        return codec.encode_result(12345, result, UNSET, may_hold_nan=False)

    return _steps(data, decode, encode, codec.decoder(dict[str, Any]))


def _steps(
    data: bytes,
    decode: Callable[[bytes], Any],
    encode: Callable[[Any], bytes],
    read: Callable[[bytes], dict[str, Any]] = msgspec.json.decode,
) -> Steps:
    result = decode(data)
    if read(encode(result)) != {"id": 12345, "result": read(data)["params"]["networks"]}:
        raise AssertionError("decoded or encoded wrongly")
    return lambda: decode(data), lambda: encode(result), lambda: encode(decode(data))
