"""Calling a device through its service class."""

import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from msgspec import Struct

from jsonrpc_iot import (
    CallTimeout,
    ChannelClosed,
    Context,
    Event,
    InvalidParams,
    MalformedResponse,
    MethodNotFound,
    RpcError,
    connect,
    method,
    notification,
    service,
)
from tests.rig import far_end

from .proxied import Entry, FakeRelay, Mode, Relay, Status, calling, everywhere, within_time

pytestmark = pytest.mark.anyio

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)


@everywhere
async def test_every_kind_of_method_is_called(url: str) -> None:
    device = FakeRelay()
    async with calling(url, device) as (_, client):
        relay = client.proxy(Relay)
        assert await relay.switch(2, True, mode=Mode.MANUAL) is Mode.MANUAL
        assert await relay.get(channel=2) == Status(2, True)
        assert [entry async for entry in relay.entries(2, NOON, raw=b"\0")] == [
            Entry(0, NOON, b"\0"),
            Entry(1, NOON, b"\0"),
        ]
        assert [number async for number in relay.numbers(3)] == [0, 1, 2]
        await relay.toggle(1, times=2)
        await relay.everything_off()
        await device.noted.reach(2)
        assert set(device.noted.items) == {(1, 2), "off"}  # trio starts tasks in any order


async def test_a_plain_function_is_awaited_all_the_same() -> None:
    async with calling("memory://proxied", FakeRelay()) as (_, client):
        label: Any = client.proxy(Relay).label()
        assert await label == "relay"


async def test_items_of_no_declared_type() -> None:
    async def items(self: object) -> Any:
        yield 1
        yield "two"

    items.__annotations__["return"] = AsyncIterator
    untyped = service("s")(type("Untyped", (), {"items": method(items)}))
    async with calling("memory://proxied", untyped()) as (_, client):
        proxy: Any = client.proxy(untyped)
        assert [item async for item in proxy.items()] == [1, "two"]


async def test_a_stream_may_be_left() -> None:
    async with calling("memory://proxied", FakeRelay()) as (_, client):
        relay = client.proxy(Relay)
        async for number in relay.numbers(100):
            if number == 1:
                break
        assert await relay.get(1) == Status(1, False)


async def test_a_context_is_the_devices_own_business() -> None:
    async with calling("memory://proxied", FakeRelay()) as (_, client):
        relay = client.proxy(Relay)
        assert await relay.who("!") == "relay.who!"
        assert "context" not in inspect.signature(relay.who).parameters
        with pytest.raises(TypeError, match=r"relay\.who: .*'context'"):
            await relay.who(context=Context())


async def test_only_what_is_given_is_sent() -> None:
    sent = Sent()
    async with calling("memory://proxied", FakeRelay(), trace=sent) as (_, client):
        relay = client.proxy(Relay)
        assert await relay.switch(1) is Mode.AUTO  # the declaration's default, not our business
        await relay.switch(1, mode=Mode.MANUAL)
        await relay.who()
        assert [entry async for entry in relay.entries(0, at=NOON)] == []
        await relay.everything_off()
        await relay.toggle(1)
    assert sent.params("relay.set") == [{"channel": 1}, {"channel": 1, "mode": "manual"}]
    assert sent.params("relay.who") == [{}]
    assert sent.params("relay.entries") == [{"count": 0, "at": "2024-01-02T12:00:00Z"}]
    assert sent.params("relay.all_off") == [None]
    assert sent.params("relay.toggle") == [{"channel": 1}]


async def test_how_long_a_call_waits() -> None:
    sent = Sent()
    async with calling("memory://proxied", FakeRelay(), trace=sent, extensions=True) as (_, client):
        for timeout in ({}, {"timeout": 2.5}, {"timeout": None}):
            relay = client.proxy(Relay, **timeout)
            await relay.get(1)
            assert await relay.slow() == 1.5
    assert sent.timeouts("relay.get") == [10.0, 2.5, None]
    assert sent.timeouts("relay.slow") == [31.0, 2.5, None]


@pytest.mark.parametrize(("usual", "slow"), [(None, None), (60.0, 60.0), (30.5, 31.0)])
async def test_the_clients_own_time_may_be_longer(usual: float | None, slow: float | None) -> None:
    sent = Sent()
    options: dict[str, Any] = {"trace": sent, "extensions": True, "timeout": usual}
    async with calling("memory://proxied", FakeRelay(), **options) as (_, client):
        await client.proxy(Relay).slow()
    assert sent.timeouts("relay.slow") == [slow]


async def test_a_call_gives_up_in_time() -> None:
    @service("s")
    class Mute:
        @method
        async def wait(self) -> None:
            await anyio.sleep_forever()

    async with calling("memory://proxied", Mute()) as (_, client):
        with pytest.raises(CallTimeout):
            await client.proxy(Mute, timeout=0.01).wait()


@everywhere
async def test_errors_of_the_device_come_out(url: str) -> None:
    async with calling(url, FakeRelay()) as (_, client):
        relay = client.proxy(Relay)
        with pytest.raises(RpcError, match="Welded") as caught:
            await relay.switch(3)
        assert caught.value.code == 4001
        with pytest.raises(InvalidParams) as refused:
            await relay.get(9)
        assert refused.value.data["path"] == "$.channel"
        with pytest.raises(MethodNotFound):
            await client.proxy(Relay, prefix="elsewhere").get(1)
        with pytest.raises(InvalidParams):
            await anext(relay.numbers("many"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "options", "why"),
    [
        ((), {}, "missing a required argument: 'channel'"),
        ((1, True, 3), {}, "too many positional arguments"),
        ((1,), {"channel": 2}, "multiple values for argument 'channel'"),
        ((1,), {"of": True}, "unexpected keyword argument 'of'"),
        ((1,), {"context": None}, "unexpected keyword argument 'context'"),
    ],
)
async def test_wrong_arguments_are_not_sent(
    arguments: tuple[Any, ...], options: dict[str, Any], why: str
) -> None:
    sent = Sent()
    async with calling("memory://proxied", FakeRelay(), trace=sent) as (_, client):
        call: Any = client.proxy(Relay).switch
        with pytest.raises(TypeError, match=rf"^relay\.set: .*{why}"):
            call(*arguments, **options)
        await client.call("rpc.ping")
    assert sent.params("relay.set") == []
    assert sent.params("rpc.ping")


async def test_methods_and_notifications_without_params_take_no_arguments() -> None:
    async with calling("memory://proxied", FakeRelay()) as (_, client):
        relay: Any = client.proxy(Relay)
        for name in ("label", "everything_off", "slow"):
            with pytest.raises(TypeError, match="too many positional arguments"):
                getattr(relay, name)(1)


async def test_parameters_of_all_kinds_are_bound_as_declared() -> None:
    @service("s")
    class Kinds:
        @method
        async def f(self, a: int, /, b: int = 2, *, c: int, d: int = 4) -> list[int]:
            return [a, b, c, d]

        @method
        async def g(self, self_: int, name: str = "n", *, timeout: int, result: int = 1) -> str:
            return f"{self_} {name} {timeout} {result}"

        @method
        @staticmethod
        async def h(x: int) -> int:
            return x

        @method
        @classmethod
        async def i(cls, x: int) -> int:
            return x

    async with calling("memory://proxied", Kinds()) as (_, client):
        kinds = client.proxy(Kinds)
        assert await kinds.f(1, c=3) == [1, 2, 3, 4]
        assert await kinds.f(1, b=9, d=8, c=7) == [1, 9, 7, 8]
        assert await kinds.f(1, 9, c=7) == [1, 9, 7, 4]
        assert await kinds.g(1, timeout=2) == "1 n 2 1"
        assert await kinds.h(5) == 5
        assert await kinds.i(6) == 6
        call: Any = kinds.f
        for arguments, options in (((), {"a": 1, "c": 3}), ((1, 2, 3), {}), ((1,), {})):
            with pytest.raises(TypeError, match=r"^s\.f: "):
                call(*arguments, **options)


@pytest.mark.parametrize(
    ("declared", "answered"),
    [(int, '"x"'), (Status, '{"channel":1}'), (Status, '{"channel":4,"on":true}'), (None, "1")],
)
async def test_a_result_that_is_not_as_declared_is_an_error(declared: Any, answered: str) -> None:
    async def f(self: object) -> Any: ...

    f.__annotations__["return"] = declared
    one = service("s")(type("One", (), {"f": method(f)}))
    async with far_end() as (url, accept):
        with within_time():
            async with connect(url, extensions=False) as client, anyio.create_task_group() as tasks:

                async def answer() -> None:
                    device = await accept()
                    id = (await device.receive())["id"]
                    await device.send(f'{{"id":{id},"result":{answered}}}')
                    await device.stream.aclose()

                tasks.start_soon(answer)
                proxy: Any = client.proxy(one)
                with pytest.raises(MalformedResponse, match=r"s\.f"):
                    await proxy.f()


async def test_what_may_be_repeated_is_repeated_after_a_reconnect() -> None:
    async with far_end() as (url, accept):
        with within_time():
            async with (
                connect(url, reconnect=True, extensions=False) as client,
                anyio.create_task_group() as tasks,
            ):
                relay = client.proxy(Relay)
                found: list[object] = []

                async def get() -> None:
                    found.append(await relay.get(2))

                async def switch() -> None:
                    with pytest.raises(ChannelClosed):
                        await relay.switch(2)
                    found.append("closed")

                tasks.start_soon(get)
                tasks.start_soon(switch)
                first = await accept()
                assert {(await first.receive())["method"] for _ in "12"} == {
                    "relay.get",
                    "relay.set",
                }
                await first.stream.aclose()
                again = await accept()
                request = await again.receive()
                assert request["method"] == "relay.get"
                await again.send(f'{{"id":{request["id"]},"result":{{"channel":2,"on":true}}}}')
            await again.stream.aclose()
        assert sorted(map(str, found)) == sorted(["closed", str(Status(2, True))])


@everywhere
async def test_a_prefix_and_two_proxies(url: str) -> None:
    async with calling(url, FakeRelay(), prefix="kitchen.left") as (_, client):
        one = client.proxy(Relay, prefix="kitchen.left")
        other = client.proxy(Relay, prefix="kitchen.left", timeout=5)
        assert one is not other
        await one.switch(1)
        assert await other.get(1) == Status(1, True)
        with pytest.raises(MethodNotFound):
            await client.proxy(Relay).get(1)


async def test_a_service_without_a_prefix() -> None:
    @service("")
    class Plain:
        @method
        async def hello(self) -> str:
            return "hello"

    async with calling("memory://proxied", Plain()) as (_, client):
        assert await client.proxy(Plain).hello() == "hello"


async def test_what_a_subclass_declares_counts() -> None:
    class Named:
        @method
        async def name(self) -> str:
            return "n"

    @service("extended")
    class Extended(FakeRelay, Named):
        everything_off = None  # type: ignore[assignment]
        names = None  # type: ignore[assignment]

        @method("read")
        async def get(self, channel: int) -> Status:
            return Status(channel - 6, True)

        async def count(self) -> int:
            return 1

    async with calling("memory://proxied", Extended()) as (_, client):
        extended = client.proxy(Extended)
        assert await extended.switch(1) is Mode.AUTO  # an override has the declaration's types
        assert await extended.get(9) == Status(3, True)
        assert await extended.name() == "n"
        for removed in ("everything_off", "names", "count"):
            with pytest.raises(AttributeError, match=f"Extended declares no .*'{removed}'"):
                getattr(extended, removed)


async def test_nothing_else_is_there() -> None:
    async with calling("memory://proxied", FakeRelay()) as (_, client):
        relay: Any = client.proxy(Relay)
        for name in ("not_for_callers", "nothing", "_private", "__len__"):
            with pytest.raises(AttributeError, match=f"Relay declares no such .*'{name}'"):
                getattr(relay, name)
        with pytest.raises(AttributeError):
            relay.get = None
        with pytest.raises(AttributeError):
            relay.extra = 1
        assert repr(relay) == "<proxy of Relay at memory://proxied>"
        members = {name for name in dir(relay) if not name.startswith("_")}
        assert members == {
            *("switch", "get", "entries", "numbers", "slow", "label", "who"),
            *("toggle", "everything_off", "changed", "names"),
        }


async def test_a_function_of_a_proxy_shows_its_declaration() -> None:
    async with calling("memory://proxied", FakeRelay()) as (_, client):
        switch = client.proxy(Relay).switch
        assert (switch.__name__, switch.__qualname__) == ("switch", "Relay.switch")
        assert switch.__doc__ == "Switch a channel."
        assert list(inspect.signature(switch).parameters) == ["channel", "on", "mode"]


async def test_what_is_no_service_class_is_refused() -> None:
    class Bare:
        @method
        async def f(self) -> None: ...

    async with calling("memory://proxied") as (_, client):
        wrongs: list[Any] = [Bare, int, FakeRelay(), len, None, []]
        for wrong in wrongs:
            with pytest.raises(TypeError, match="is no class decorated with @service"):
                client.proxy(wrong)


class Opaque:
    """Nothing that JSON knows of."""


class Holder(Struct):
    inner: "list[Holder] | None" = None
    opaque: dict[str, Opaque] = {}


@pytest.mark.parametrize("result", [Opaque, list[Opaque], Holder, dict[str, Holder], complex])
@pytest.mark.parametrize("stream", [False, True], ids=["result", "items"])
async def test_a_result_that_cannot_be_decoded_is_refused(result: Any, stream: bool) -> None:
    def f(self: object) -> Any: ...

    f.__annotations__["return"] = AsyncIterator[result] if stream else result
    bad = service("s")(type("Bad", (), {"f": method(f)}))
    async with calling("memory://proxied") as (_, client):
        with pytest.raises(TypeError, match=r"method 's\.f', result: "):
            client.proxy(bad)


async def test_a_coroutine_that_gives_an_iterator_is_refused() -> None:
    @service("s")
    class Odd(ABC):
        @method
        @abstractmethod
        async def items(self) -> AsyncIterator[int]: ...

    async with calling("memory://proxied") as (_, client):
        with pytest.raises(TypeError, match=r"method 's\.items', result: .*AsyncIterator"):
            client.proxy(Odd)


async def test_a_parameter_is_refused_as_at_registration() -> None:
    @service("s")
    class Bad:
        @method
        async def f(self, x: dict[str, int] | list[int] | set[int]) -> None: ...

    @service("s")
    class Variadic:
        @notification
        async def f(self, *x: int) -> None: ...

    async with calling("memory://proxied") as (_, client):
        for cls in (Bad, Variadic):
            with pytest.raises(TypeError) as from_proxy:
                client.proxy(cls)
            with pytest.raises(TypeError) as from_registration:
                async with calling("memory://other", cls()):
                    raise AssertionError
            assert str(from_proxy.value) == str(from_registration.value)


async def test_an_event_that_cannot_be_decoded_is_refused() -> None:
    @service("s")
    class Bad:
        happened = Event[Opaque]()

    @service("s")
    class Scalar:
        happened = Event[int]()

    async with calling("memory://proxied") as (_, client):
        with pytest.raises(TypeError, match=r"event 's\.happened': .*Opaque"):
            client.proxy(Bad)
        with pytest.raises(TypeError, match=r"event 'happened': .*scalar"):
            client.proxy(Scalar)


class Sent:
    """What a client sends, as its trace sees it."""

    def __init__(self) -> None:
        self._messages: list[dict[str, Any]] = []

    def __call__(self, way: str, message: bytes) -> None:
        if way == "->":
            self._messages.append(json.loads(message))

    def params(self, method: str) -> list[Any]:
        return [each.get("params") for each in self._messages if each.get("method") == method]

    def timeouts(self, method: str) -> list[float | None]:
        return [each.get("timeout") for each in self._messages if each.get("method") == method]
