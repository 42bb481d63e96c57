"""Events: the notifications that a service emits, declared in its class.

On the device a dispatcher that includes the service passes them on; on a proxy they come from the
device.
"""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, ForwardRef, Generic, TypeVar, get_args, overload

import anyio
import anyio.from_thread
import anyio.lowlevel
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from msgspec import inspect

from .callbacks import Callbacks

T = TypeVar("T")

_WAITING_VALUES = 256
_SCALARS = (
    inspect.NoneType,
    inspect.BoolType,
    inspect.IntType,
    inspect.FloatType,
    inspect.StrType,
    inspect.BytesType,
    inspect.ByteArrayType,
    inspect.MemoryViewType,
    inspect.DateTimeType,
    inspect.TimeType,
    inspect.DateType,
    inspect.TimeDeltaType,
    inspect.UUIDType,
    inspect.DecimalType,
    inspect.EnumType,
    inspect.LiteralType,
)


class Event(Generic[T]):
    """A notification that a service emits, declared in its class: `changed = Event[Status]()`.

    Args:
        name: the notification's name without the service's prefix; the attribute's by default.
        requires: the permission that a peer needs to hear it.
    """

    def __init__(self, name: str | None = None, *, requires: str | None = None) -> None:
        self.name = name
        self.requires = requires

    def __set_name__(self, owner: type, attribute: str) -> None:
        self._attribute = attribute
        self.name = self.name or attribute

    @property
    def kind(self) -> Any:
        """The type of its values, the `T` of `Event[T]`; `Any` where that says nothing."""
        (kind,) = get_args(getattr(self, "__orig_class__", Event[Any]))
        return Any if isinstance(kind, TypeVar | ForwardRef) else kind

    @overload
    def __get__(self, instance: None, owner: type) -> "Event[T]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> "BoundEvent[T]": ...
    def __get__(self, instance: object | None, owner: type) -> "Event[T] | BoundEvent[T]":
        if instance is None:
            return self
        assert self.name is not None
        fresh: BoundEvent[T] = BoundEvent(self.name, self.kind, self.requires)
        bound: BoundEvent[T] = instance.__dict__.setdefault(self._attribute, fresh)
        return bound


class BoundEvent(Generic[T]):
    """The event of one service object, or of a device as its proxy sees it.

    Args:
        name: the notification's name without the service's prefix.
        kind: the type of its values.
        requires: the permission that a peer needs to hear it.

    Attributes:
        missed: values that came while 256 others waited in a `values` stream.
        malformed: notifications of a device that were not of the event's type.
    """

    def __init__(self, name: str, kind: Any = Any, requires: str | None = None) -> None:
        self.name = name
        self.kind = kind
        self.requires = requires
        self.missed = 0
        self.malformed = 0
        self._callbacks = Callbacks()
        self._streams: set[MemoryObjectSendStream[T]] = set()

    def emit(self, value: T) -> None:
        """Hand a value to all subscribers, which never wait.

        Any thread may call it. One that is not the event loop's waits until the loop has taken the
        value.
        """
        self._callbacks.tell(value)

    def subscribe(self, subscriber: Callable[[T], object]) -> Callable[[], None]:
        """Have a callback called with each value.

        Returns:
            A function that ends the subscription.
        """
        return self._callbacks.add(subscriber)

    @asynccontextmanager
    async def values(self) -> AsyncIterator[MemoryObjectReceiveStream[T]]:
        """All values that come while the block runs, as a stream to iterate over.

        Up to 256 wait in it; more are dropped and counted in `missed`. From a proxy the stream ends
        with the channel, unless the client reconnects.
        """
        send, receive = anyio.create_memory_object_stream[T](_WAITING_VALUES)
        loop_thread, token = threading.get_ident(), anyio.lowlevel.current_token()

        def put(value: T) -> None:
            if threading.get_ident() != loop_thread:
                anyio.from_thread.run_sync(put, value, token=token)
                return
            try:
                send.send_nowait(value)
            except anyio.WouldBlock:
                self.missed += 1
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                leave()

        with send, receive:
            self._streams.add(send)
            leave = self.subscribe(put)
            try:
                yield receive
            finally:
                leave()
                self._streams.discard(send)


def declared_events(cls: type) -> "Iterator[tuple[str, Event[Any]]]":
    """The events of a class and its bases by attribute, without those replaced in a subclass.

    Raises:
        TypeError: the type of an event has no place in a notification.
    """
    seen: set[str] = set()
    for base in cls.__mro__:
        for attribute, value in vars(base).items():
            if isinstance(value, Event) and attribute not in seen:
                seen.add(attribute)
                if getattr(cls, attribute) is value:
                    _refuse_scalar(value)
                    yield attribute, value


def _refuse_scalar(event: "Event[Any]") -> None:
    if event.kind in (None, type(None)):  # a notification without params
        return
    try:
        todo = [inspect.type_info(event.kind)]
    except TypeError:  # what msgspec does not know, it may be taught to encode
        return
    while todo:
        node = todo.pop()
        if isinstance(node, inspect.UnionType):
            todo.extend(node.types)
        elif isinstance(node, inspect.Metadata):
            todo.append(node.type)
        elif not isinstance(node, _SCALARS):
            return
    raise TypeError(
        f"event {event.name!r}: {event.kind!r} is a scalar in JSON, and params are an object or an "
        "array: use a Struct"
    )


def events(instance: object) -> "Iterator[BoundEvent[Any]]":
    """The events that a service declares, without those that a subclass put `None` in place of.

    Raises:
        TypeError: the type of an event has no place in a notification.
    """
    for attribute, _ in declared_events(type(instance)):
        event = getattr(instance, attribute)
        if isinstance(event, BoundEvent):  # an instance may remove it too
            yield event
