"""A dispatcher that takes over another's methods, with a prefix or without."""

from typing import Any

import pytest

from jsonrpc_iot import Call, Context, Dispatcher, Forbidden, Next, method, service

from ._messages import code, notice, request, value

NOT_FOUND = -32601


def lamp() -> tuple[Dispatcher, list[str]]:
    """A dispatcher, and what its handlers were called with."""
    dispatcher = Dispatcher()
    log: list[str] = []

    @dispatcher.method
    def on(level: int = 1) -> int:
        log.append(f"on {level}")
        return level

    @dispatcher.method("color.set")
    async def set_color(name: str, context: Context) -> str:
        return f"{context.method} {name}"

    @dispatcher.notification
    def dim(by: int) -> None:
        log.append(f"dim {by}")

    return dispatcher, log


def names(dispatcher: Dispatcher) -> list[str]:
    found: list[str] = value(dispatcher.dispatch_sync(request("rpc.methods")))
    return [name for name in found if not name.startswith("rpc.")]


def test_without_a_prefix_the_names_stay() -> None:
    other, log = lamp()
    house = Dispatcher()
    house.include(other)
    assert names(house) == ["color.set", "on"]
    assert value(house.dispatch_sync(request("on", [3]))) == 3
    house.dispatch_sync(notice("dim", [2]))
    assert log == ["on 3", "dim 2"]


def test_a_prefix_goes_before_each_name() -> None:
    other, log = lamp()
    house = Dispatcher()
    house.include(other, "kitchen")
    assert names(house) == ["kitchen.color.set", "kitchen.on"]
    assert code(house.dispatch_sync(request("on"))) == NOT_FOUND
    house.dispatch_sync(notice("dim", [1]))
    house.dispatch_sync(notice("kitchen.dim", [2]))
    assert log == ["dim 2"]
    assert value(other.dispatch_sync(request("on"))) == 1
    assert code(other.dispatch_sync(request("kitchen.on"))) == NOT_FOUND


def test_prefixes_nest_and_handlers_see_the_full_name() -> None:
    room, house, street = Dispatcher(), Dispatcher(), Dispatcher()
    room.include(lamp()[0], "lamp")
    house.include(room, prefix="kitchen")
    street.include(house, prefix="no.5")
    assert names(street) == ["no.5.kitchen.lamp.color.set", "no.5.kitchen.lamp.on"]
    for dispatcher, prefix in ((room, ""), (house, "kitchen."), (street, "no.5.kitchen.")):
        method = f"{prefix}lamp.color.set"
        reply = dispatcher.dispatch_sync(request(method, {"name": "red"}))
        assert value(reply) == f"{method} red"


def test_one_dispatcher_may_be_included_twice() -> None:
    other, _ = lamp()
    house = Dispatcher()
    house.include(other, "a")
    house.include(other, "b")
    assert names(house) == ["a.color.set", "a.on", "b.color.set", "b.on"]
    assert value(house.dispatch_sync(request("b.color.set", ["red"]))) == "b.color.set red"


def test_a_name_that_is_taken_is_refused() -> None:
    house = Dispatcher()
    house.method("lamp.on")(lambda: "mine")
    with pytest.raises(ValueError, match=r"'lamp\.on'"):
        house.include(lamp()[0], "lamp")
    assert value(house.dispatch_sync(request("lamp.on"))) == "mine"


@pytest.mark.parametrize("prefix", ["rpc", "rpc.x"])
def test_a_prefix_of_the_protocol_is_refused(prefix: str) -> None:
    house = Dispatcher()
    with pytest.raises(ValueError, match=r"rpc\."):
        house.include(lamp()[0], prefix)
    assert names(house) == []


def test_the_builtin_methods_are_not_taken_over() -> None:
    house = Dispatcher()
    house.include(Dispatcher(), "a")
    assert code(house.dispatch_sync(request("a.rpc.ping"))) == NOT_FOUND
    assert value(house.dispatch_sync(request("rpc.methods"))) == [
        "rpc.authenticate",
        "rpc.discover",
        "rpc.methods",
        "rpc.ping",
        "rpc.subscribe",
        "rpc.unsubscribe",
    ]


def test_later_registrations_are_not_taken_over() -> None:
    other, _ = lamp()
    house = Dispatcher()
    house.include(other)
    other.method("late")(lambda: 1)
    assert code(house.dispatch_sync(request("late"))) == NOT_FOUND


def test_options_are_taken_over() -> None:
    other = Dispatcher()
    other.method("erase", requires="admin")(lambda: True)
    house = Dispatcher()
    house.include(other, "disk")
    assert code(house.dispatch_sync(request("disk.erase"))) == -32005
    allowed = Context(permissions={"admin"})
    assert value(house.dispatch_sync(request("disk.erase"), allowed)) is True


@pytest.mark.parametrize("other", [object(), 5, "wifi", Dispatcher, None])
def test_anything_else_is_refused(other: object) -> None:
    with pytest.raises(TypeError, match=r"@service"):
        Dispatcher().include(other)


def test_the_first_message_may_come_before_the_include() -> None:
    house = Dispatcher()
    assert code(house.dispatch_sync(request("lamp.on"))) == NOT_FOUND
    house.include(lamp()[0], "lamp")
    assert value(house.dispatch_sync(request("lamp.on"))) == 1


@pytest.mark.parametrize("name", ["rpc.evil", "rpc", "rpc.ping"])
@pytest.mark.parametrize("prefix", ["", "rpc"])
def test_a_service_cannot_have_names_of_the_protocol(prefix: str, name: str) -> None:
    @service(prefix)
    class Evil:
        @method(name)
        def evil(self) -> int:
            return 1

    dispatcher = Dispatcher()
    with pytest.raises(ValueError, match="belong to the protocol"):
        dispatcher.include(Evil())
    assert value(dispatcher.dispatch_sync(request("rpc.ping"))) is True


def test_a_clash_takes_nothing_over() -> None:
    ours, theirs = Dispatcher(), Dispatcher()
    ours.method("b")(lambda: "ours")
    for name in "abc":
        theirs.method(name)(lambda: "theirs")
    heard: list[str] = []
    ours.on_emit(lambda name, params: heard.append(name))
    with pytest.raises(ValueError, match="'b'"):
        ours.include(theirs)
    theirs.emit("x")
    assert heard == []
    assert value(ours.dispatch_sync(request("b"))) == "ours"
    for name in "ac":
        assert code(ours.dispatch_sync(request(name))) == NOT_FOUND


def test_a_service_with_one_name_twice_takes_nothing_over() -> None:
    @service("s")
    class Twice:
        @method("x")
        def one(self) -> int:
            return 1

        @method("x")
        def other(self) -> int:
            return 2

    dispatcher = Dispatcher()
    with pytest.raises(ValueError, match=r"'s\.x'"):
        dispatcher.include(Twice())
    assert code(dispatcher.dispatch_sync(request("s.x"))) == NOT_FOUND


def test_a_dispatcher_cannot_include_itself() -> None:
    dispatcher, _ = lamp()
    with pytest.raises(ValueError, match="itself"):
        dispatcher.include(dispatcher, "x")


async def deny(call: Call, context: Context, next: Next) -> Any:
    raise Forbidden


@pytest.mark.parametrize("prefixes", [["a"], ["", "b"]])
@pytest.mark.anyio
async def test_an_included_dispatchers_middleware_stays_around_its_methods(
    prefixes: list[str],
) -> None:
    inner, _ = lamp()
    inner.middleware(deny)
    inner.method("wait", thread=True)(lambda: 1)
    name = "on"
    for prefix in prefixes:
        outer = Dispatcher()
        outer.include(inner, prefix)
        inner, name = outer, f"{prefix}.{name}".lstrip(".")
    inner.method("free")(lambda: "free")
    forbidden = Forbidden.default_code
    for message in (request(name), request(name, id=1.5)):
        assert code(inner.dispatch_sync(message)) == forbidden
        assert code(await inner.dispatch(message)) == forbidden
    assert value(inner.dispatch_sync(request("free"))) == "free"


@pytest.mark.anyio
async def test_the_outer_middleware_runs_around_the_inner() -> None:
    log: list[str] = []

    def noting(name: str) -> Any:
        async def note(call: Call, context: Context, next: Next) -> Any:
            log.append(f"{name} {call.method}")
            return await next(call, context)

        return note

    inner, outer = Dispatcher(), Dispatcher()
    inner.method("f", thread=True)(lambda: 1)
    inner.middleware(noting("inner"))
    outer.include(inner, "a")
    outer.middleware(noting("outer"))
    assert value(await outer.dispatch(request("a.f"))) == 1
    assert value(await inner.dispatch(request("f"))) == 1
    assert log == ["outer a.f", "inner a.f", "inner f"]
