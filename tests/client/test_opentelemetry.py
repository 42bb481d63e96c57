"""`instrument`: calls are spans of OpenTelemetry at both ends, and one trace through a gateway."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.propagate import extract
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from jsonrpc_iot import (
    CallTimeout,
    ChannelInfo,
    Client,
    Context,
    DeviceOffline,
    Dispatcher,
    Gateway,
    InvalidParams,
    MessageTooLarge,
    RpcError,
    connect,
    connect_sync,
    instrument,
    part_of_trace,
    serve,
)
from tests.waiting import Tally, eventually

pytestmark = pytest.mark.anyio

REMOTE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SECRET = "tell nobody"


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The two that have context variables of their own; uvloop has asyncio's."""
    return str(request.param)


class Traces:
    """Spans as they end."""

    def __init__(self) -> None:
        self.provider = TracerProvider(shutdown_on_exit=False)
        self._exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def of(self, kind: SpanKind, name: str) -> list[ReadableSpan]:
        return [each for each in self.spans if each.kind is kind and each.name == name]

    async def one(self, kind: SpanKind, name: str) -> ReadableSpan:
        await eventually(lambda: len(self.of(kind, name)) == 1)
        return self.of(kind, name)[0]


def lamp() -> tuple[Dispatcher, Tally]:
    device, told = Dispatcher(), Tally()

    @device.method
    def switch(on: bool) -> bool:
        return on

    @device.method
    async def history(to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    @device.method
    def burn() -> None:
        raise RpcError(2001, SECRET, {"why": SECRET})

    @device.method
    def crash() -> None:
        raise ValueError(SECRET)

    @device.method(timeout=0.05)
    async def dream() -> None:
        await anyio.sleep_forever()

    @device.notification
    def blink(context: Context) -> None:
        told.add(context.traceparent)

    return device, told


@asynccontextmanager
async def traced(
    url: str = "memory://spans", *, server: bool = True
) -> AsyncIterator[tuple[Traces, Client, Tally]]:
    """A client and a device, both instrumented."""
    traces = Traces()
    device, told = lamp()
    if server:
        instrument(device, tracer_provider=traces.provider)
    async with serve(device, url) as at, connect(at.urls[0]) as client:
        instrument(client, tracer_provider=traces.provider)
        yield traces, client, told


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def attributes_of(span: ReadableSpan) -> Mapping[str, Any]:
    assert span.attributes is not None
    return span.attributes


async def test_a_call_is_a_span_at_either_end() -> None:
    async with traced("tcp://127.0.0.1:0") as (traces, client, _):
        host, port = client.url.removeprefix("tcp://").split(":")
        assert await client.call("switch", {"on": True}) is True
        near = await traces.one(SpanKind.CLIENT, "switch")
        far = await traces.one(SpanKind.SERVER, "switch")
    assert parent_of(near) is None
    assert parent_of(far) == near.context.span_id
    assert far.context.trace_id == near.context.trace_id
    assert attributes_of(near) == {
        "rpc.system.name": "jsonrpc",
        "rpc.method": "switch",
        "server.address": host,
        "server.port": int(port),
        "network.peer.address": host,
        "network.peer.port": int(port),
        "network.transport": "tcp",
    }
    there = dict(attributes_of(far))
    assert there.pop("client.port") == there.pop("network.peer.port") > 0
    assert there.pop("jsonrpc.request.id").isdigit()
    assert there == {
        "rpc.system.name": "jsonrpc",
        "rpc.method": "switch",
        "server.address": host,
        "server.port": int(port),
        "client.address": host,
        "network.peer.address": host,
        "network.transport": "tcp",
    }
    assert near.status.status_code is far.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(
    ("method", "code", "at_server"),
    [("burn", 2001, True), ("crash", -32603, True), ("dream", -32002, True), ("no", -32601, False)],
)
async def test_an_error_is_its_code_and_no_text(
    method: str, code: int, at_server: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with traced() as (traces, client, _):
        with pytest.raises(RpcError) as raised:
            await client.call(method)
        assert raised.value.code == code
        found = [await traces.one(SpanKind.CLIENT, method)]
        if at_server:
            found.append(await traces.one(SpanKind.SERVER, method))
    for span in found:
        assert span.status.status_code is StatusCode.ERROR
        assert attributes_of(span)["error.type"] == str(code)
        assert attributes_of(span)["rpc.response.status_code"] == str(code)
    caplog.clear()  # of the handler's own traceback, which is for its owner
    assert SECRET not in "".join(span.to_json() for span in traces.spans)


def test_without_an_event_loop_a_failure_is_one_too() -> None:
    traces = Traces()
    device, _ = lamp()
    instrument(device, tracer_provider=traces.provider)
    assert device.dispatch_sync(b'{"method":"switch","params":[true],"id":1}')
    reply = device.dispatch_sync(b'{"method":"burn","id":1}')
    assert reply is not None
    assert b"2001" in reply
    _, failed = traces.spans
    assert attributes_of(failed)["error.type"] == "2001"


async def test_what_never_left_is_an_error_of_its_class() -> None:
    async with traced("udp://127.0.0.1:0") as (traces, client, _):
        with pytest.raises(MessageTooLarge):
            await client.call("switch", {"on": "x" * 2000})
        with pytest.raises(MessageTooLarge):
            async with client.batch() as batch:
                batch.call("burn", {"x": "x" * 2000})
        with pytest.raises(CallTimeout):
            await client.call("dream", timeout=0.001)
        batched = await traces.one(SpanKind.CLIENT, "burn")
        large = await traces.one(SpanKind.CLIENT, "switch")
        late = await traces.one(SpanKind.CLIENT, "dream")
    for span in (large, batched):
        assert attributes_of(span)["error.type"] == "jsonrpc_iot.errors.MessageTooLarge"
    assert attributes_of(late)["error.type"] == "jsonrpc_iot.errors.CallTimeout"
    assert "rpc.response.status_code" not in attributes_of(late)


async def test_streams_batches_and_notifications_are_spans() -> None:
    async with traced() as (traces, client, told):
        assert [item async for item in client.stream("history", {"to": 9})] == [*range(9)]
        await client.notify("blink")
        async with client.batch() as batch:
            batch.call("switch", {"on": False})
            bad = batch.call("switch", {"on": 5})
            batch.notify("blink")
        with pytest.raises(InvalidParams):
            bad.result()
        await told.reach(2)
        streamed = await traces.one(SpanKind.CLIENT, "history")
        assert parent_of(await traces.one(SpanKind.SERVER, "history")) == streamed.context.span_id
        await eventually(lambda: len(traces.of(SpanKind.SERVER, "blink")) == 2)
        sent = {each.context.span_id for each in traces.of(SpanKind.CLIENT, "blink")}
        assert {parent_of(each) for each in traces.of(SpanKind.SERVER, "blink")} == sent
        assert len(sent) == 2
        right, wrong = traces.of(SpanKind.CLIENT, "switch")
        (ran,) = traces.of(SpanKind.SERVER, "switch")
    assert parent_of(ran) == right.context.span_id
    assert right.status.status_code is StatusCode.UNSET
    assert attributes_of(wrong)["error.type"] == "-32602"


async def test_a_stream_that_is_left_ends_its_span() -> None:
    async with traced() as (traces, client, _):
        async with client.stream("history", {"to": 1000}) as items:
            await anext(items)
        left = await traces.one(SpanKind.CLIENT, "history")
    assert left.status.status_code is StatusCode.UNSET


async def test_a_device_belongs_to_the_trace_of_who_has_no_spans() -> None:
    async with traced() as (traces, client, _), connect(client.url) as other:
        with part_of_trace(REMOTE):
            await other.call("switch", {"on": True})
        span = await traces.one(SpanKind.SERVER, "switch")
    assert f"{span.context.trace_id:032x}" in REMOTE
    assert f"{parent_of(span):016x}" in REMOTE


async def test_what_was_current_when_a_server_began_is_no_parent() -> None:
    traces = Traces()
    device, _ = lamp()
    instrument(device, tracer_provider=traces.provider)
    with trace.use_span(traces.provider.get_tracer("test").start_span("main")):
        async with serve(device, "memory://main"), connect("memory://main") as client:
            await client.call("switch", {"on": True})
            assert parent_of(await traces.one(SpanKind.SERVER, "switch")) is None


@pytest.mark.parametrize("transport", ["http", "tcp"])
@pytest.mark.parametrize("told", [False, True])
async def test_a_request_of_a_web_program_that_has_a_span_is_the_parent(
    transport: str, told: bool
) -> None:
    """Where `asgi_app` is mounted in one; the header has come to both, or to neither."""
    traces = Traces()
    device, _ = lamp()
    instrument(device, tracer_provider=traces.provider)
    context = Context(info=ChannelInfo(transport=transport, local="http://h/", peer="http://c/"))
    remote = extract({"traceparent": REMOTE}) if told else None
    request = traces.provider.get_tracer("web").start_span("POST /rpc", remote)
    context.traceparent = REMOTE if told else None
    with trace.use_span(request):
        await device.dispatch(b'{"method":"switch","params":[true],"id":1}', context)
    span = await traces.one(SpanKind.SERVER, "switch")
    if transport == "http":
        assert parent_of(span) == request.get_span_context().span_id
    else:
        assert parent_of(span) == (int(REMOTE.split("-")[2], 16) if told else None)


async def test_the_protocols_own_methods_are_no_spans() -> None:
    async with traced() as (traces, client, _):
        assert await client.call("rpc.ping") is True
        async with client.notifications("blink"):
            pass
        await client.call("switch", {"on": True})
        await traces.one(SpanKind.SERVER, "switch")
    assert {each.name for each in traces.spans} == {"switch"}


async def test_one_trace_from_a_caller_over_a_gateway_to_a_device() -> None:
    """Over real links, by TCP."""
    traces = Traces()
    device, _ = lamp()
    gateway = Gateway()
    for each in (device, gateway):
        instrument(each, tracer_provider=traces.provider)
    tracer = traces.provider.get_tracer("test")
    async with serve(device, "tcp://127.0.0.1:0") as far:
        gateway.add("lamp", far.urls[0])
        gateway.add("away", "tcp://127.0.0.1:1")
        async with (
            gateway,
            serve(gateway, "tcp://127.0.0.1:0") as at,
            connect(at.urls[0]) as client,
        ):
            instrument(client, tracer_provider=traces.provider)
            await eventually(lambda: gateway.devices()[1].online)
            with tracer.start_as_current_span("button"):
                assert await client.call("lamp.switch", {"on": True}) is True
                with pytest.raises(DeviceOffline):
                    await client.call("away.switch")
            spans = [
                *traces.of(SpanKind.INTERNAL, "button"),
                await traces.one(SpanKind.CLIENT, "lamp.switch"),
                await traces.one(SpanKind.SERVER, "lamp.switch"),
                await traces.one(SpanKind.SERVER, "switch"),
            ]
            away = await traces.one(SpanKind.SERVER, "away.switch")
    assert len({each.context.trace_id for each in (*spans, away)}) == 1
    for outer, inner in pairwise(spans):
        assert parent_of(inner) == outer.context.span_id
    assert attributes_of(away)["error.type"] == "-32010"


async def test_a_handlers_own_calls_belong_to_its_trace() -> None:
    async with traced() as (traces, client, _):
        house = Dispatcher()
        instrument(house, tracer_provider=traces.provider)

        @house.method
        async def leave() -> bool:
            return bool(await client.call("switch", {"on": False}))

        async with serve(house, "memory://house"), connect("memory://house") as caller:
            with part_of_trace(REMOTE):
                assert await caller.call("leave") is False
        outer = await traces.one(SpanKind.SERVER, "leave")
        inner = await traces.one(SpanKind.CLIENT, "switch")
    assert parent_of(inner) == outer.context.span_id


@pytest.mark.only_on("asyncio")
async def test_the_client_without_async_knows_the_thread_that_calls() -> None:
    async with traced("tcp://127.0.0.1:0") as (traces, client, _):

        def call() -> None:
            with connect_sync(client.url) as blocking:
                instrument(blocking, tracer_provider=traces.provider)
                with traces.provider.get_tracer("test").start_as_current_span("button"):
                    assert blocking.call("switch", {"on": True}) is True
                    assert [*blocking.stream("history", {"to": 2})] == [0, 1]

        await anyio.to_thread.run_sync(call)
        (button,) = traces.of(SpanKind.INTERNAL, "button")
        for name in ("switch", "history"):
            assert parent_of(await traces.one(SpanKind.CLIENT, name)) == button.context.span_id


def test_what_cannot_be_instrumented_is_named() -> None:
    wrong: Any = 3
    with pytest.raises(TypeError, match="a dispatcher, gateway or client is needed, not int"):
        instrument(wrong)
