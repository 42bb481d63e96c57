"""Request bytes to reply bytes: the dispatcher against msgspec's floor and against its peers.

The call is `wifi.connect` with two typed params and a handler that returns nothing. The floor is
what msgspec needs to decode the envelope and the params and to encode the reply, without looking
the method up, checking anything or calling anybody. It is shown with plain Structs, as one writes
them, and with `gc=False`, which is faster. Peers get the same request with the
`"jsonrpc":"2.0"` that they insist on, each through its fastest documented way from text to text.
"""

from asyncio import Runner
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from time import thread_time
from typing import Any, TypeAlias

import msgspec

from jsonrpc_iot import Call, Context, Dispatcher, Next

from ._harness import Options, Report, Timed, async_loop, measure, sync_loop

PARAMS = b'{"ssid":"home-network-2g","psk":"correct horse battery"}'
REQUEST = b'{"method":"wifi.connect","id":12345,"params":' + PARAMS + b"}"
REQUEST_2_0 = b'{"jsonrpc":"2.0",' + REQUEST[1:]
TEXT_2_0 = REQUEST_2_0.decode()

FLOOR = "msgspec's floor"
SYNC = "dispatch_sync"
AWAITED = "await dispatch"
FAST_FLOOR = "msgspec's floor, gc=False"
ASYNC = "await dispatch, async handler"
ASYNC_TARGETS: dict[str, float | None] = {
    ASYNC: 2.5,
    "await dispatch, async handler with a Context": 5.0,
    "await dispatch, async handler in middleware": 12.0,
    "await dispatch, async handler, serial": 12.0,
    "await dispatch, async handler, timeout": None,  # it is a scope with a deadline
}
"""How many floors each may take, where there is a target."""
OURS = (FLOOR, FAST_FLOOR, SYNC, AWAITED, *ASYNC_TARGETS)
TARGETS = {"pyjsonrpc2": 1.5, "json-rpc": 10.0, "pjrpc": 10.0, "ajsonrpc": 10.0}

Answer: TypeAlias = Callable[[], str | bytes | None]


def connect(ssid: str, psk: str) -> None:
    """Do nothing, for every contender alike."""


def run(options: Options) -> Report:
    """Measure and compare."""
    report = Report(
        "dispatch",
        [
            f"wifi.connect, request of {len(REQUEST)} bytes to reply, all checks on; time per call",
            f"peers: {len(REQUEST_2_0)} bytes, JSON-RPC 2.0; (orjson): their JSON module replaced",
        ],
    )
    with Runner() as runner:
        contenders = {**_ours(runner), **_sync_peers(report), **_ajsonrpc(report, runner)}
        samples = measure(contenders, rounds=options.rounds(51), seconds=options.seconds(0.02))
    for name, seconds in samples.items():
        report.add(name, "us", [second * 1e6 for second in seconds])
    report.compare(f"{SYNC} / floor", samples[SYNC], samples[FLOOR], "<=", 1.6)
    report.compare(f"{SYNC} / floor, gc=False", samples[SYNC], samples[FAST_FLOOR])
    report.compare(f"{AWAITED} / floor", samples[AWAITED], samples[FLOOR], "<=", 2.0)
    for name, target in ASYNC_TARGETS.items():
        report.compare(f"{name} / floor", samples[name], samples[FLOOR], "<=", target)
    for name in [name for name in samples if name not in OURS]:
        what = f"{name} / {SYNC}"
        report.compare(what, samples[name], samples[SYNC], ">=", TARGETS.get(name))
    return report


def _ours(runner: Runner) -> dict[str, Timed]:
    dispatcher = Dispatcher()
    dispatcher.method("wifi.connect")(connect)
    dispatch_sync, dispatch = dispatcher.dispatch_sync, dispatcher.dispatch
    return {
        FLOOR: _checked(_floor(gc=True)),
        FAST_FLOOR: _checked(_floor(gc=False)),
        SYNC: _checked(lambda: dispatch_sync(REQUEST)),
        AWAITED: _checked_async(runner, lambda: dispatch(REQUEST)),
        **{
            name: _checked_async(runner, partial(device.dispatch, REQUEST))
            for name, device in zip(ASYNC_TARGETS, _async_devices(), strict=True)
        },
    }


def _async_devices() -> Iterator[Dispatcher]:
    """One dispatcher for each of `ASYNC_TARGETS`."""

    async def connect_async(ssid: str, psk: str) -> None:
        pass

    async def connect_in_context(ssid: str, psk: str, context: Context) -> None:
        pass

    async def layer(call: Call, context: Context, next: Next) -> Any:
        return await next(call, context)

    for handler in (connect_async, connect_in_context):
        device = Dispatcher()
        device.method("wifi.connect")(handler)
        yield device
    within = Dispatcher()
    within.method("wifi.connect")(connect_async)
    within.middleware(layer)
    yield within
    in_turn = Dispatcher()
    in_turn.method("wifi.connect", serial=True)(connect_async)
    yield in_turn
    limited = Dispatcher()
    limited.method("wifi.connect", timeout=60)(connect_async)
    yield limited


def _floor(*, gc: bool) -> Answer:
    class Request(msgspec.Struct, gc=gc):
        method: str
        id: int | float | str | None
        params: msgspec.Raw

    class Params(msgspec.Struct, gc=gc):
        ssid: str
        psk: str

    class Reply(msgspec.Struct, gc=gc):
        id: int | float | str | None
        result: None

    decode_request = msgspec.json.Decoder(Request).decode
    decode_params = msgspec.json.Decoder(Params).decode
    encode = msgspec.json.Encoder().encode

    def floor() -> bytes:
        request = decode_request(REQUEST)
        decode_params(request.params)
        return encode(Reply(request.id, None))

    return floor


def _sync_peers(report: Report) -> dict[str, Timed]:
    peers: dict[str, Answer] = {}
    orjson = report.peer("orjson", "orjson")

    if module := report.peer("pyjsonrpc2.server", "pyjsonrpc2"):
        call = module.JsonRpcServer({"wifi.connect": connect}).call
        peers["pyjsonrpc2"] = lambda: call(REQUEST_2_0)

    if module := report.peer("jsonrpc", "json-rpc"):
        handle = module.JSONRPCResponseManager.handle
        methods = module.Dispatcher({"wifi.connect": connect})
        peers["json-rpc"] = lambda: handle(TEXT_2_0, methods).json

    if module := report.peer("pjrpc.server", "pjrpc"):
        registry = module.MethodRegistry()
        registry.add_method(connect, "wifi.connect")
        dispatch = module.Dispatcher().add_methods(registry).dispatch
        peers["pjrpc"] = lambda: dispatch(TEXT_2_0, None)[0]
        if orjson:
            loads, dumps = orjson.loads, orjson.dumps
            with_orjson = module.Dispatcher(
                json_loader=lambda text, cls: loads(text),
                json_dumper=lambda value, cls: dumps(value),
            )
            dispatch_orjson = with_orjson.add_methods(registry).dispatch
            peers["pjrpc (orjson)"] = lambda: dispatch_orjson(REQUEST_2_0, None)[0]

    if module := report.peer("jsonrpcserver", "jsonrpcserver"):
        success = module.Success
        answering = {"wifi.connect": lambda ssid, psk: success(None)}
        respond = module.dispatch
        peers["jsonrpcserver"] = lambda: respond(TEXT_2_0, answering)
        if orjson:
            fast = {"deserializer": orjson.loads, "serializer": orjson.dumps}
            peers["jsonrpcserver (orjson)"] = lambda: respond(REQUEST_2_0, answering, **fast)

    return {name: _checked(peer) for name, peer in peers.items()}


def _ajsonrpc(report: Report, runner: Runner) -> dict[str, Timed]:
    manager = report.peer("ajsonrpc.manager", "ajsonrpc")
    dispatcher = report.peer("ajsonrpc.dispatcher", "ajsonrpc")
    if manager is None or dispatcher is None:
        return {}
    methods = dispatcher.Dispatcher({"wifi.connect": lambda ssid, psk: True})  # it refuses None
    respond = manager.AsyncJSONRPCResponseManager(methods).get_payload_for_payload
    contenders = {"ajsonrpc": lambda: respond(TEXT_2_0)}
    if orjson := report.peer("orjson", "orjson"):
        fast = {"deserialize": orjson.loads, "serialize": orjson.dumps}
        quick = manager.AsyncJSONRPCResponseManager(methods, **fast).get_payload_for_payload
        contenders["ajsonrpc (orjson)"] = lambda: quick(REQUEST_2_0)
    return {name: _checked_async(runner, call) for name, call in contenders.items()}


def _checked(call: Answer) -> Timed:
    return sync_loop(call, _check, thread_time)


def _checked_async(runner: Runner, call: Callable[[], Awaitable[str | bytes | None]]) -> Timed:
    return async_loop(runner, call, _check, thread_time)


def _check(reply: str | bytes | None) -> None:
    answer = msgspec.json.decode(reply or b"{}")
    if answer.get("id") != 12345 or answer.get("result", "none") not in (None, True):
        raise AssertionError(f"wrong reply: {reply!r}")
