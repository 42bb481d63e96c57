"""Classes as services: declarations, interfaces and what overrides them."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from msgspec import Meta

from jsonrpc_iot import Context, Dispatcher, method, notification, service

from ._messages import code, notice, request, value, wrong_param

pytestmark = pytest.mark.anyio

Channel = Annotated[int, Meta(ge=1, le=3)]


@service("relay")
class Relay(ABC):
    """An interface: the declarations give names, types and options."""

    @method
    @abstractmethod
    def get(self, channel: Channel) -> bool: ...

    @method("set")
    @abstractmethod
    async def switch(self, channel: Channel, on: bool = True) -> None: ...

    @method(requires="admin")
    def reset(self) -> str:
        return f"reset {type(self).__name__}"

    @method
    async def history(self, count: int) -> AsyncIterator[int]:
        raise NotImplementedError
        yield 0

    @notification
    def toggle(self, channel: Channel) -> None:
        raise NotImplementedError

    @notification("all_off")
    async def everything_off(self) -> None:
        raise NotImplementedError

    def not_a_method(self) -> None:
        raise NotImplementedError


class FakeRelay(Relay):
    """Overrides without a mark of its own."""

    def __init__(self) -> None:
        self.on = dict.fromkeys(range(1, 4), False)

    def get(self, channel: Any) -> bool:  # looser than the declaration
        return self.on[channel]

    async def switch(self, channel: int, on: bool = False) -> None:
        self.on[channel] = on

    async def history(self, count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number

    def toggle(self, channel: int) -> None:
        self.on[channel] = not self.on[channel]

    async def everything_off(self) -> None:
        self.on = dict.fromkeys(self.on, False)

    def extra(self) -> None:
        raise NotImplementedError


class BusyRelay(FakeRelay):
    """A second generation, which makes a synchronous method a coroutine."""

    async def get(self, channel: int) -> bool:  # type: ignore[override]
        return not self.on[channel]

    def reset(self) -> str:
        return "busy"


def serving(*services: object) -> Dispatcher:
    dispatcher = Dispatcher()
    for each in services:
        dispatcher.include(each)
    return dispatcher


def names(dispatcher: Dispatcher) -> list[str]:
    admin = Context(permissions={"admin"})
    found: list[str] = value(dispatcher.dispatch_sync(request("rpc.methods"), admin))
    return [name for name in found if not name.startswith("rpc.")]


def test_the_prefix_goes_before_the_marked_functions() -> None:
    dispatcher = serving(FakeRelay())
    assert names(dispatcher) == ["relay.get", "relay.history", "relay.reset", "relay.set"]


async def test_methods_and_notifications_run_on_the_instance() -> None:
    relay = FakeRelay()
    dispatcher = serving(relay)
    assert value(await dispatcher.dispatch(request("relay.set", [2, True]))) is None
    assert relay.on == {1: False, 2: True, 3: False}
    assert value(await dispatcher.dispatch(request("relay.get", {"channel": 2}))) is True
    assert await dispatcher.dispatch(notice("relay.toggle", [3])) is None
    assert relay.on[3] is True
    assert await dispatcher.dispatch(notice("relay.all_off")) is None
    assert not any(relay.on.values())
    assert value(await dispatcher.dispatch(request("relay.history", [3]))) == [0, 1, 2]


def test_the_declarations_types_count() -> None:
    dispatcher = serving(FakeRelay())
    assert wrong_param(dispatcher.dispatch_sync(request("relay.get", [4]))) == "$[0]"
    assert (
        wrong_param(dispatcher.dispatch_sync(request("relay.get", {"channel": "1"}))) == "$.channel"
    )


async def test_the_declarations_defaults_count() -> None:
    relay = FakeRelay()
    await serving(relay).dispatch(request("relay.set", [1]))
    assert relay.on[1] is True


def test_the_declarations_options_count() -> None:
    dispatcher = serving(BusyRelay())
    assert code(dispatcher.dispatch_sync(request("relay.reset"))) == -32005
    admin = Context(permissions={"admin"})
    assert value(dispatcher.dispatch_sync(request("relay.reset"), admin)) == "busy"


def test_what_is_not_overridden_is_inherited() -> None:
    admin = Context(permissions={"admin"})
    reply = serving(FakeRelay()).dispatch_sync(request("relay.reset"), admin)
    assert value(reply) == "reset FakeRelay"


async def test_an_override_of_an_override_runs() -> None:
    reply = await serving(BusyRelay()).dispatch(request("relay.get", [1]))
    assert value(reply) is True


def test_a_mark_of_the_subclass_replaces_the_bases() -> None:
    class Renamed(FakeRelay):
        @method("read")
        def get(self, channel: str) -> str:  # type: ignore[override]
            return channel

    dispatcher = serving(Renamed())
    assert "relay.get" not in names(dispatcher)
    assert value(dispatcher.dispatch_sync(request("relay.read", ["any"]))) == "any"


def test_a_subclass_may_add_methods_and_change_the_prefix() -> None:
    @service("relay2")
    class Extended(FakeRelay):
        @method
        def count(self) -> int:
            return len(self.on)

    dispatcher = serving(Extended())
    assert value(dispatcher.dispatch_sync(request("relay2.count"))) == 3
    assert code(dispatcher.dispatch_sync(request("relay.get", [1]))) == -32601
    assert value(dispatcher.dispatch_sync(request("relay2.get", [1]))) is False


def test_two_interfaces_in_one_class() -> None:
    class Named:
        @method
        def name(self) -> str:
            return "n"

    @service("thing")
    class Thing(FakeRelay, Named):
        pass

    assert {"thing.get", "thing.name"} <= set(names(serving(Thing())))


@pytest.mark.parametrize(
    ("prefix", "name"),
    [("", "relay.get"), ("a", "a.relay.get"), ("a.b", "a.b.relay.get")],
)
def test_the_includes_prefix_goes_before_the_services(prefix: str, name: str) -> None:
    dispatcher = Dispatcher()
    dispatcher.include(FakeRelay(), prefix)
    assert value(dispatcher.dispatch_sync(request(name, [1]))) is False


def test_a_service_may_have_an_empty_prefix() -> None:
    @service("")
    class Plain:
        @method
        def hello(self) -> str:
            return "hello"

    dispatcher = serving(Plain())
    dispatcher.include(Plain(), "x")
    assert names(dispatcher) == ["hello", "x.hello"]
    assert value(dispatcher.dispatch_sync(request("hello"))) == "hello"


def test_two_instances_need_two_prefixes() -> None:
    dispatcher = serving(FakeRelay())
    with pytest.raises(ValueError, match=r"'relay\.get'"):
        dispatcher.include(BusyRelay())
    dispatcher.include(BusyRelay(), "other")
    assert value(dispatcher.dispatch_sync(request("relay.get", [1]))) is False
    assert value(dispatcher.dispatch_sync(request("other.relay.get", [1]))) is True


@pytest.mark.parametrize("prefix", ["rpc", "rpc.relay"])
def test_a_prefix_of_the_protocol_is_refused(prefix: str) -> None:
    @service(prefix)
    class Evil:
        @method
        def ping(self) -> bool:
            return False

    dispatcher = Dispatcher()
    with pytest.raises(ValueError, match=r"rpc\."):
        dispatcher.include(Evil())
    with pytest.raises(ValueError, match=r"rpc\."):
        dispatcher.include(FakeRelay(), "rpc")
    assert names(dispatcher) == []
    assert value(dispatcher.dispatch_sync(request("rpc.ping"))) is True


def test_marks_leave_the_class_as_it_was() -> None:
    relay = FakeRelay()
    assert relay.get(1) is False
    assert Relay.reset(relay) == "reset FakeRelay"
    assert FakeRelay.__name__ == "FakeRelay"


def test_a_service_method_may_take_a_context() -> None:
    @service("who")
    class Who:
        @method
        def am_i(self, context: Context, suffix: str = "") -> str:
            return context.method + suffix

    dispatcher = serving(Who())
    assert value(dispatcher.dispatch_sync(request("who.am_i", ["!"]))) == "who.am_i!"
