"""A service's methods and events without async."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from queue import SimpleQueue
from typing import Any, Protocol

import pytest
from msgspec import Struct

from jsonrpc_iot import (
    Context,
    Event,
    InvalidParams,
    connect_sync,
    method,
    notification,
    service,
    stream,
)
from jsonrpc_iot.blocking import BlockingEvent, BlockingStream
from tests.waiting import SECONDS

from .rig import Rig


class Status(Struct):
    """What changed."""

    level: int


@service("dimmer")
class Dimmer:
    """A light."""

    changed = Event[Status]()

    @method
    async def set(self, level: int) -> Status:
        """Set the level."""
        self.changed.emit(Status(level))
        return Status(level)

    @method
    async def fade(self, upto: int) -> AsyncIterator[int]:
        """Each level on the way."""
        for level in range(upto):
            yield level

    @method
    @stream
    async def watch(self, *, step: int = 1) -> AsyncIterator[Status]:
        """Steps without an end."""
        level = 0
        while True:
            yield Status(level := level + step)

    @method
    def label(self, suffix: str = "", *, context: Context | None = None) -> str:
        """Its name."""
        return f"dimmer{suffix}"

    @notification
    async def off(self) -> None:
        """Be dark."""
        self.changed.emit(Status(0))


class BlockingDimmer(Protocol):
    """The same without async."""

    changed: BlockingEvent[Status]

    def set(self, level: int) -> Status: ...

    def fade(self, upto: int) -> Iterator[int]: ...

    def watch(self, *, step: int = ...) -> BlockingStream[Status]: ...

    def label(self, suffix: str = "") -> str: ...

    def off(self) -> None: ...


@pytest.fixture
def dimmer(rig: Rig) -> Iterator[Any]:
    """The blocking proxy of a light."""
    rig.dispatcher.include(Dimmer())
    with connect_sync(rig.url) as device:
        device.call("rpc.ping")
        yield device.proxy(Dimmer)


def test_methods_return_values(dimmer: Any) -> None:
    assert dimmer.set(4) == Status(4)
    assert dimmer.set(level=5) == Status(5)
    with pytest.raises((InvalidParams, TypeError)):
        dimmer.set("much")
    with pytest.raises(AttributeError):
        _ = dimmer.nothing
    assert "set" in dir(dimmer)


def test_iterators_are_iterators(dimmer: Any) -> None:
    assert list(dimmer.fade(3)) == [0, 1, 2]
    for level in dimmer.fade(3):
        assert level == 0
        break


def test_events_have_values(dimmer: Any) -> None:
    with dimmer.changed.values() as values:
        dimmer.set(1)
        dimmer.set(2)
        assert [values.receive(SECONDS), values.receive(SECONDS)] == [Status(1), Status(2)]


def test_subscribers_may_call_the_device(dimmer: Any) -> None:
    heard: SimpleQueue[Any] = SimpleQueue()

    def hear(status: Status) -> None:
        if status.level < 5:
            dimmer.set(status.level + 1)
        heard.put(status.level)

    leave: Callable[[], None] = dimmer.changed.subscribe(hear)
    dimmer.set(1)
    assert [heard.get(timeout=SECONDS) for _ in range(5)] == [1, 2, 3, 4, 5]
    leave()
    leave()
    with dimmer.changed.values() as values:
        dimmer.set(9)
        assert values.receive(SECONDS) == Status(9)
    assert heard.empty()


def test_a_subscriber_that_fails_is_logged(dimmer: Any, caplog: pytest.LogCaptureFixture) -> None:
    again = threading.Event()

    def fail(status: Status) -> None:
        if status.level == 1:
            raise ZeroDivisionError
        again.set()

    dimmer.changed.subscribe(fail)
    dimmer.set(1)
    dimmer.set(2)
    assert again.wait(SECONDS)
    assert "a listener failed" in caplog.text
    caplog.clear()


def test_an_interface_without_async_says_what_there_is(rig: Rig) -> None:
    rig.dispatcher.include(Dimmer(), "left")
    with connect_sync(rig.url) as device:
        dimmer = device.proxy(Dimmer, BlockingDimmer, prefix="left")

        assert dimmer.set(3).level == 3
        assert sum(dimmer.fade(3)) == 3
        with dimmer.watch(step=2) as levels:
            assert [next(levels).level, next(levels).level] == [2, 4]
        assert dimmer.label("!") == "dimmer!"
        with dimmer.changed.values() as values:
            dimmer.off()
            assert values.receive(SECONDS).level == 0


class Other(Protocol):
    """What is not as the dimmer's class declares it."""

    def dim(self) -> None: ...


class OtherName(Protocol):
    def set(self, value: int) -> Status: ...


class OtherType(Protocol):
    def set(self, level: str) -> Status: ...


class OtherResult(Protocol):
    def set(self, level: int) -> int: ...


class OtherDefault(Protocol):
    def set(self, level: int = 3) -> Status: ...


class OtherItem(Protocol):
    def fade(self, upto: int) -> Iterator[str]: ...


class NoStream(Protocol):
    def fade(self, upto: int) -> int: ...


class NoIterator(Protocol):
    def set(self, level: int) -> Iterator[Status]: ...


class Untyped(Protocol):
    def off(self): ...  # type: ignore[no-untyped-def]


class OtherEvent(Protocol):
    switched: BlockingEvent[Status]


class OtherValue(Protocol):
    changed: BlockingEvent[int]


class NoEvent(Protocol):
    changed: Status


@pytest.mark.parametrize(
    ("interface", "reason"),
    [
        (Other, "Other.dim: Dimmer has no such method"),
        (OtherName, "OtherName.set(value: int) -> tests"),
        (OtherType, "is not what Dimmer.set declares: (level: int) -> tests"),
        (OtherResult, "OtherResult.set(level: int) -> int is not what"),
        (OtherDefault, "OtherDefault.set(level: int = Ellipsis) -> tests"),
        (
            OtherItem,
            "OtherItem.fade(upto: int) -> jsonrpc_iot.blocking._streams.BlockingStream[str]",
        ),
        (NoStream, "declares: (upto: int) -> jsonrpc_iot.blocking._streams.BlockingStream[int]"),
        (NoIterator, "NoIterator.set"),
        (Untyped, "Untyped.off() -> Any is not what Dimmer.off declares: () -> None"),
        (OtherEvent, "OtherEvent.switched: Dimmer has no such event"),
        (OtherValue, "OtherValue.changed is not what Dimmer.changed declares: BlockingEvent["),
        (NoEvent, "NoEvent.changed is not what Dimmer.changed declares: BlockingEvent["),
    ],
)
def test_an_interface_that_says_something_else_is_refused(
    rig: Rig, interface: type, reason: str
) -> None:
    with connect_sync(rig.url) as device, pytest.raises(TypeError) as caught:
        device.proxy(Dimmer, interface)

    assert reason in str(caught.value)
