"""A dispatcher that takes over another's methods, with a prefix or without."""

import pytest

from jsonrpc_iot import Context, Dispatcher

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
    assert value(house.dispatch_sync(request("rpc.methods"))) == ["rpc.methods", "rpc.ping"]


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
