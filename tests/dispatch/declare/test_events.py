"""What dispatchers and services emit, and who hears it."""

import enum
from datetime import datetime
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct

from jsonrpc_iot import Dispatcher, Event, connect, method, serve, service


class Status(Struct):
    level: int


@service("lamp")
class Lamp:
    changed = Event[Status]("status")
    broken = Event[list[int]]()

    @method
    def set(self, level: int) -> None:
        self.changed.emit(Status(level))


class LoudLamp(Lamp):
    """A subclass with an event of its own."""

    heard = Event[list[str]]()


Heard = list[tuple[str, object]]


def listening_to(dispatcher: Dispatcher) -> Heard:
    heard: Heard = []
    dispatcher.on_emit(lambda name, params: heard.append((name, params)))
    return heard


def test_emit_reaches_every_listener_in_order() -> None:
    dispatcher = Dispatcher()
    first, second = listening_to(dispatcher), listening_to(dispatcher)
    dispatcher.emit("a", {"b": 1})
    dispatcher.emit("c")
    assert first == second == [("a", {"b": 1}), ("c", None)]


@pytest.mark.parametrize("params", [3, "x", 1.5, True])
def test_what_cannot_be_emitted_is_logged_by_its_name(
    params: object, caplog: pytest.LogCaptureFixture
) -> None:
    Dispatcher().emit("lamp.changed", params)
    expected = "lamp.changed cannot be sent: its params are an object or array, not"
    assert caplog.messages == [f"{expected} {type(params).__name__}"]
    assert caplog.records[0].exc_info is None


@pytest.mark.anyio
@pytest.mark.parametrize("params", [3, {"level": float("nan")}])
async def test_what_no_peer_can_be_sent_is_logged_by_its_name(
    params: object, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher = Dispatcher()
    url = "memory://no-form"
    async with serve(dispatcher, url) as server, connect(url) as client:
        assert await client.call("rpc.ping") is True
        assert server.peers
        dispatcher.emit("lamp.changed", params)
    (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert record.getMessage().startswith("lamp.changed cannot be sent: ")
    assert record.exc_info is None


def test_emit_without_listeners_is_no_error() -> None:
    Dispatcher().emit("a", 1)


def test_a_listener_may_leave() -> None:
    dispatcher = Dispatcher()
    stays = listening_to(dispatcher)
    heard: Heard = []
    leave = dispatcher.on_emit(lambda name, params: heard.append((name, params)))
    dispatcher.emit("before")
    leave()
    dispatcher.emit("after")
    assert heard == [("before", None)]
    assert [name for name, _ in stays] == ["before", "after"]


def test_a_listener_may_leave_while_it_hears() -> None:
    dispatcher = Dispatcher()
    heard: list[str] = []

    def once(name: str, params: object) -> None:
        heard.append(name)
        leave()

    leave = dispatcher.on_emit(once)
    last = listening_to(dispatcher)
    dispatcher.emit("a")
    dispatcher.emit("b")
    assert heard == ["a"]
    assert [name for name, _ in last] == ["a", "b"]


def test_two_dispatchers_do_not_hear_each_other() -> None:
    one, other = Dispatcher(), Dispatcher()
    heard = listening_to(other)
    one.emit("a")
    assert heard == []


def test_what_an_included_dispatcher_emits_gets_the_prefix() -> None:
    lamp, room, house = Dispatcher(), Dispatcher(), Dispatcher()
    room.include(lamp, "lamp")
    house.include(room, "kitchen")
    in_lamp, in_room, in_house = map(listening_to, (lamp, room, house))
    lamp.emit("on", 1)
    room.emit("dark", 2)
    assert in_lamp == [("on", 1)]
    assert in_room == [("lamp.on", 1), ("dark", 2)]
    assert in_house == [("kitchen.lamp.on", 1), ("kitchen.dark", 2)]


def test_without_a_prefix_the_name_stays() -> None:
    lamp, house = Dispatcher(), Dispatcher()
    house.include(lamp)
    heard = listening_to(house)
    lamp.emit("on")
    assert heard == [("on", None)]


def test_a_services_events_have_its_prefix() -> None:
    lamp = Lamp()
    dispatcher = Dispatcher()
    dispatcher.include(lamp)
    heard = listening_to(dispatcher)
    lamp.changed.emit(Status(5))
    lamp.broken.emit([])
    assert heard == [("lamp.status", Status(5)), ("lamp.broken", [])]


def test_a_services_event_goes_through_all_prefixes() -> None:
    lamp = Lamp()
    room, house = Dispatcher(), Dispatcher()
    room.include(lamp, "left")
    house.include(room, "kitchen")
    heard = listening_to(house)
    lamp.changed.emit(Status(1))
    assert heard == [("kitchen.left.lamp.status", Status(1))]


def test_a_method_may_emit() -> None:
    dispatcher = Dispatcher()
    dispatcher.include(Lamp())
    heard = listening_to(dispatcher)
    dispatcher.dispatch_sync(b'{"id":1,"method":"lamp.set","params":[7]}')
    assert heard == [("lamp.status", Status(7))]


def test_a_service_may_serve_two_dispatchers() -> None:
    lamp = Lamp()
    one, other = Dispatcher(), Dispatcher()
    one.include(lamp)
    other.include(lamp, "x")
    heard_one, heard_other = listening_to(one), listening_to(other)
    lamp.broken.emit([])
    assert heard_one == [("lamp.broken", [])]
    assert heard_other == [("x.lamp.broken", [])]


def test_instances_do_not_share_their_events() -> None:
    one, other = Lamp(), Lamp()
    heard: list[Status] = []
    one.changed.subscribe(heard.append)
    other.changed.emit(Status(1))
    assert heard == []
    one.changed.emit(Status(2))
    assert heard == [Status(2)]


def test_events_are_inherited() -> None:
    lamp = LoudLamp()
    dispatcher = Dispatcher()
    dispatcher.include(lamp)
    heard = listening_to(dispatcher)
    lamp.heard.emit(["hello"])
    lamp.changed.emit(Status(3))
    assert heard == [("lamp.heard", ["hello"]), ("lamp.status", Status(3))]


def test_an_event_may_be_subscribed_to_and_left() -> None:
    lamp = Lamp()
    heard: list[Status] = []
    leave = lamp.changed.subscribe(heard.append)
    lamp.changed.emit(Status(1))
    leave()
    lamp.changed.emit(Status(2))
    assert heard == [Status(1)]


def test_a_subscriber_may_leave_while_it_hears() -> None:
    lamp = Lamp()
    heard: list[str] = []

    def once(status: Status) -> None:
        heard.append("once")
        leave()

    leave = lamp.changed.subscribe(once)
    lamp.changed.subscribe(lambda status: heard.append("always"))
    lamp.changed.emit(Status(1))
    lamp.changed.emit(Status(2))
    assert heard == ["once", "always", "always"]


def test_a_bound_event_stays_the_same() -> None:
    lamp = Lamp()
    assert lamp.changed is lamp.changed
    assert lamp.changed.name == "status"
    assert lamp.broken.name == "broken"


def test_the_class_holds_the_declaration() -> None:
    assert isinstance(Lamp.changed, Event)
    assert Lamp.changed.name == "status"
    assert Lamp.broken.name == "broken"


def test_to_leave_twice_is_harmless() -> None:
    lamp, dispatcher = Lamp(), Dispatcher()
    heard: list[Status] = []
    leave = lamp.changed.subscribe(heard.append)
    lamp.changed.subscribe(heard.append)
    leave()
    leave()
    lamp.changed.emit(Status(1))
    assert heard == [Status(1)]
    leave_dispatcher = dispatcher.on_emit(lambda name, params: None)
    leave_dispatcher()
    leave_dispatcher()


def test_a_listener_that_fails_does_not_silence_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    dispatcher = Dispatcher()

    def fail(name: str, params: object) -> None:
        raise LookupError(name)

    dispatcher.on_emit(fail)
    heard = listening_to(dispatcher)
    dispatcher.emit("x")
    assert heard == [("x", None)]
    assert "LookupError: x" in caplog.text


class Colour(enum.Enum):
    RED = "red"


def with_event(kind: Any) -> object:
    @service("s")
    class Emitting:
        happened = Event[kind]("it_happened")

        @method
        def f(self) -> None: ...

    return Emitting()


@pytest.mark.parametrize(
    "kind",
    [
        *(bool, int, float, str, bytes, datetime, Colour, Literal["a", 1], int | None),
        *(Annotated[int, Meta(ge=0)], str | Annotated[float, Meta(description="x")]),
    ],
    ids=str,
)
def test_an_event_that_can_only_be_a_scalar_is_refused(kind: Any) -> None:
    dispatcher = Dispatcher()
    with pytest.raises(TypeError, match=r"event 'it_happened': .* scalar"):
        dispatcher.include(with_event(kind))
    reply = dispatcher.dispatch_sync(b'{"id":1,"method":"s.f"}')
    assert reply is not None
    assert b"-32601" in reply  # nothing is taken over


@pytest.mark.parametrize(
    "kind",
    [Status, list[int], dict[str, int], Any, int | list[int], Status | None, object, None],
    ids=str,
)
def test_an_event_that_may_be_an_object_or_array_is_fine(kind: Any) -> None:
    dispatcher = Dispatcher()
    dispatcher.include(with_event(kind))
    assert dispatcher.dispatch_sync(b'{"id":1,"method":"s.f"}') == b'{"id":1,"result":null}'


def test_an_event_knows_its_type() -> None:
    @service("s")
    class Emitting:
        typed = Event[list[int]]("t")
        bare: Event[Any] = Event()

    assert Emitting.typed.kind == list[int]
    assert Lamp.changed.kind is Status
    assert Emitting.bare.kind is Any


def test_a_scalar_event_that_a_subclass_removes_is_no_matter() -> None:
    @service("s")
    class Emitting:
        count = Event[int]()

    class Silent(Emitting):
        count = None  # type: ignore[assignment]

    class Mended(Emitting):
        count = Event[list[int]]()  # type: ignore[assignment]

    for cls in (Silent, Mended):
        dispatcher = Dispatcher()
        dispatcher.include(cls())
    with pytest.raises(TypeError):
        Dispatcher().include(Emitting())


def test_a_listener_that_knows_no_permissions_hears_nothing_that_needs_one() -> None:
    class Door:
        opened = Event[list[int]]()
        code = Event[list[int]](requires="admin")

    door, dispatcher = service("door")(Door)(), Dispatcher()
    dispatcher.include(door)
    heard: list[str] = []
    knowing: list[tuple[str, str | None]] = []
    dispatcher.on_emit(lambda method, params: heard.append(method))
    dispatcher.on_emit(lambda method, params, requires=None: knowing.append((method, requires)))
    door.code.emit([1])
    door.opened.emit([2])
    dispatcher.emit("door.code")
    dispatcher.emit("alarm", requires="guard")
    assert heard == ["door.opened"]
    assert knowing == [
        ("door.code", "admin"),
        ("door.opened", None),
        ("door.code", "admin"),
        ("alarm", "guard"),
    ]
