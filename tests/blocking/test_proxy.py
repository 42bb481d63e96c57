"""A service's methods and events without async."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest
from msgspec import Struct

from jsonrpc_iot import Event, InvalidParams, connect_sync, method, service
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
