"""Classes as services: declarations, interfaces and what overrides them."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from msgspec import Meta

from jsonrpc_iot import Context, Dispatcher, Event, method, notification, service
from tests.dispatch._messages import code, notice, request, value, wrong_param

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


@service("z")
class Unbound:
    """Static and class methods, marked inside and outside."""

    @method
    @staticmethod
    def a(x: int) -> int:
        return x

    @staticmethod
    @method
    def b(x: int) -> int:
        return x

    @method("c")
    @classmethod
    def class_method(cls, x: int) -> int:
        return x if cls is Unbound else -1

    @classmethod
    @method(idempotent=True)
    def d(cls, x: int) -> int:
        return x if cls is Unbound else -1


@pytest.mark.parametrize("name", ["z.a", "z.b", "z.c", "z.d"])
def test_static_and_class_methods_may_be_marked(name: str) -> None:
    dispatcher = Dispatcher()
    dispatcher.include(Unbound())
    assert value(dispatcher.dispatch_sync(request(name, {"x": 3}))) == 3
    assert wrong_param(dispatcher.dispatch_sync(request(name, ["x"]))) == "$[0]"


def test_a_callable_object_is_no_method_of_a_class() -> None:
    class Callable:
        def __call__(self) -> int:
            return 1

    with pytest.raises(TypeError, match="no function"):
        method("x")(Callable())


def test_none_in_a_subclass_removes_what_it_replaces() -> None:
    @service("s")
    class Full:
        changed = Event[list[int]]()

        @method
        def f(self) -> int:
            return 1

        @method
        def g(self) -> int:
            return 2

    class Less(Full):
        changed = None  # type: ignore[assignment]
        f = None  # type: ignore[assignment]

    dispatcher = Dispatcher()
    dispatcher.include(Less())
    assert code(dispatcher.dispatch_sync(request("s.f"))) == -32601
    assert value(dispatcher.dispatch_sync(request("s.g"))) == 2


def test_an_override_that_wants_more_is_refused() -> None:
    @service("s")
    class Interface:
        @method
        def m(self, x: int, *, y: int = 0) -> int:
            raise NotImplementedError

    class Wider(Interface):
        def m(self, x: int, context: Context, *, y: int = 0) -> int:  # type: ignore[override]
            return x

    class Narrower(Interface):
        def m(self, x: int) -> int:  # type: ignore[override]
            return x

    class Other(Interface):
        def m(self, z: int, more: int = 1, *, y: int = 0) -> int:
            return z

    dispatcher = Dispatcher()
    for cls, word in ((Wider, "'context'"), (Narrower, "'y'")):
        with pytest.raises(TypeError, match=rf"'s\.m' does not fit its declaration: .*{word}"):
            dispatcher.include(cls())
    dispatcher.include(Other())
    assert value(dispatcher.dispatch_sync(request("s.m", {"x": 5}))) == 5


@pytest.mark.parametrize("wrong", [FakeRelay, Dispatcher, int])
def test_a_class_is_refused_in_place_of_its_object(wrong: type) -> None:
    with pytest.raises(TypeError, match=rf"include\({wrong.__name__}\(\)\)"):
        Dispatcher().include(wrong)


def test_a_service_that_adds_nothing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    @service("idle")
    class Idle:
        def forgotten(self) -> None: ...

    Dispatcher().include(Idle())
    assert "Idle object" in caplog.text
    assert "has nothing marked with @method" in caplog.text
