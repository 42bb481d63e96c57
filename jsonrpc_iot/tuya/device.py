"""A Tuya device whose DataPoints have names: methods, events and values instead of ids.

The line and who is on it are `TuyaModule`'s affair. What of a device the table does not name is
left alone.
"""

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

import anyio
from anyio.abc import ByteStream

from ..channel.changes import Change
from ..channel.contract import Channel
from ..channel.info import ChannelInfo
from ..channel.tasks import task_group
from ..channel.url import Url
from ..channel.url import mask as mask_secrets
from ..dispatch.declare.options import Options
from ..dispatch.dispatcher import Dispatcher
from ..dispatch.handler import Handler
from ..dispatch.table import Entries, Place
from ..errors import (
    ConnectFailed,
    DeadlineExceeded,
    DeviceOffline,
    InvalidParams,
    MalformedFrame,
    UsageError,
)
from ..protocol.about import about
from ..protocol.tuya.datapoints import DataPoint, Value
from ..protocol.tuya.frame import Command, Frame
from ..protocol.tuya.role import Product
from ..server.serving import serve
from ..transports.packets.memory import memory_pair
from ..transports.serial.tuya_dp import TuyaDpOptions
from ..transports.serial.uart import UartOptions
from ._methods import event_of, methods_of
from .module import TuyaModule
from .points import Point, read_points

logger = logging.getLogger("jsonrpc_iot.tuya")

_SCHEMES = ("tuya-dp", "uart")
_ANSWER_SECONDS = 5.0
_FIRST_REPORTS_SECONDS = 3.0
_REPORT_SECONDS = 3.0


class _Line(TuyaModule):
    """A module on the port of any URL of a serial line."""

    def __init__(self, url: Url) -> None:
        super().__init__(str(url))
        self._url = url

    async def _open(self) -> ByteStream:
        kind = TuyaDpOptions if self._url.scheme == "tuya-dp" else UartOptions
        options = self._url.read_options(kind)
        self._options = UartOptions(baudrate=options.baudrate, frame_gap=options.frame_gap)
        self._name = str(self._url)
        return await options.open(self._url)


class TuyaDevice(Dispatcher, anyio.AsyncContextManagerMixin):
    """The MCU of a Tuya device, by the names of its DataPoints.

    It has the methods `get()`, which gives all values that are known, and `set(switch=True)`, which
    has the device take some, and one of the name of each DataPoint, which gives its value or sets
    it. What the device reports is emitted as `NAME.changed`, an object with the value under the
    name. Values are kept, and asked for with each connection alone.

    Give it to a `Gateway`, which connects again by itself; or enter it, and serve it. Then a line
    that is lost ends the block with `ChannelClosed`.

    Args:
        url: `tuya-dp://` or `uart://`, the port that the MCU is on, with the options of the port.
        points: by the ids of the DataPoints their names, or `Point` where there is more to say.
        title: what its description calls it.

    Attributes:
        url: as above.
        points: the table.

    Raises:
        InvalidUrl: the URL is no serial line's.
        UsageError: the table makes no sense; or on entering the block: a gateway has the port.
        RuntimeError: on entering the block: it is entered already.
    """

    def __init__(
        self, url: str, points: Mapping[int, str | Point], *, title: str = "Tuya device"
    ) -> None:
        super().__init__(title=title, version="unknown")
        parsed = Url.parse(url)
        if parsed.scheme not in _SCHEMES:
            raise parsed.error("a Tuya device is at tuya-dp:// or uart://")
        parsed.read_options(TuyaDpOptions if parsed.scheme == "tuya-dp" else UartOptions)
        self.url = mask_secrets(url)
        self.points = read_points(points)
        self._where = parsed
        self._values: dict[str, Value] = {}
        self._reports: dict[int, int] = dict.fromkeys(self.points, 0)
        self._complaints: set[str] = set()
        self._changed = Change()
        self._module: TuyaModule | None = None
        self._since = time.time()
        self._table.add(self._places())
        self._declare_events()

    def get(self) -> dict[str, bool | int | str | bytes]:
        """Give the values that are known, by the names of the DataPoints.

        Raises:
            DeviceOffline: the device is away.
        """
        self._check_online()
        return dict(self._values)

    async def set(self, **values: Any) -> dict[str, Any]:
        """Have the device take values, all at once.

        Args:
            values: by the names of the DataPoints.

        Returns:
            What the device reports then, which may be something else.

        Raises:
            DeadlineExceeded: it reports nothing within 3 s.
            DeviceOffline: the device is away.
            InvalidParams: a value is out of its range or of a wrong type, there is none, or there
                is no such DataPoint, or it is read-only.
        """
        module = self._check_online()
        ids = {point.name: id for id, point in self.points.items() if not point.read_only}
        units: list[DataPoint] = []
        for name, value in values.items():
            if name not in ids:
                raise InvalidParams(data={"path": f"$.{name}", "message": "There is no such point"})
            units.append(self.points[ids[name]].encode(ids[name], value))
        if not units:
            raise InvalidParams(data={"path": "$", "message": f"Expected any of {', '.join(ids)}"})
        before = dict(self._reports)
        await module.set(*units)
        silent = {ids[name]: name for name in values}
        with anyio.move_on_after(_REPORT_SECONDS):
            while silent and module.is_online:
                await self._changed.wait()
                silent = {
                    id: each for id, each in silent.items() if self._reports[id] == before[id]
                }
        self._check_online()
        # A device need not report what it was set to before already.
        if silent := {
            id: name for id, name in silent.items() if self._values.get(name) != values[name]
        }:
            raise DeadlineExceeded(f"The device has not reported {', '.join(silent.values())}")
        return {name: self._values[name] for name in values}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Channel]:
        """Open a channel to the device, as a gateway does, which is used while the block runs.

        It ends when the device does not answer heartbeats any more.

        Raises:
            ConnectFailed: there is no such port, or nobody answers there.
            ChannelClosed: in the end: the port is gone.
        """
        async with self._attached() as module:
            with anyio.move_on_after(_ANSWER_SECONDS):
                await module.wait_online()
            if not module.is_online:
                raise ConnectFailed(f"{self.url}: no MCU answers there")
            with anyio.move_on_after(_FIRST_REPORTS_SECONDS):
                while not all(self._reports.values()):
                    await self._changed.wait()
            info = ChannelInfo(transport="tuya-dp", local=self.url, peer=self.url)
            here, there = memory_pair(info, info)
            async with serve(self, there), task_group() as tasks:

                async def leave() -> None:
                    while module.is_online:
                        await self._changed.wait()
                    await there.aclose()

                tasks.start_soon(leave)
                yield here
                tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self, None]:
        """Open the port, and keep it until the block ends."""
        async with self._attached():
            yield self

    @asynccontextmanager
    async def _attached(self) -> AsyncIterator[TuyaModule]:
        if self._module is not None:
            raise UsageError(f"{self.url} is open already")
        self._module = module = _Line(self._where)
        self._values = {}
        self._reports = dict.fromkeys(self.points, 0)
        for id in self.points:
            module.on_datapoint(id)(self._take)
        module.on_online(self._note_online)
        module.on_command(Command.PRODUCT)(self._take_product)
        self._since = time.time()
        try:
            async with module:
                yield module
        finally:
            self._module = None
            self._since = time.time()
            self._changed.notify()

    def _note_online(self, is_online: bool) -> None:
        self._since = time.time()
        self._changed.notify()

    def _check_online(self) -> TuyaModule:
        module = self._module
        if module is None or not module.is_online:
            raise DeviceOffline(data={"since": self._since})
        return module

    def _take_product(self, frame: Frame) -> None:
        """Describe the device with the version of the MCU's program."""
        self._builtin.tell_version(Product.decode(frame.data).version or "unknown")

    def _take(self, unit: DataPoint) -> None:
        """Take what the device reports."""
        point = self.points[unit.id]
        try:
            value = point.decode(unit)
        except MalformedFrame as error:
            self._complain(str(error))
            return
        if point.kind is None:
            self.points[unit.id] = point = point.as_reported(unit.type)
            self._table.replace(self._places())
            self._declare_events()
        self._values[point.name] = value
        self._reports[unit.id] += 1
        self._changed.notify()
        self.emit(event_of(point)[0], {point.name: value})

    def _places(self) -> list[tuple[Entries, Place]]:
        methods = methods_of(self.points.values(), self.get, self.set)
        entities = {point.name: point.entity for point in self.points.values()}
        reading = {"get", *(point.name for point in self.points.values() if point.read_only)}
        return [
            (self._table.methods, (name, Handler(name, function, options), ()))
            for name, function in methods
            for effect in ("read" if name in reading else "change",)
            for options in (Options(idempotent=True, effect=effect, entity=entities.get(name)),)
        ]

    def _declare_events(self) -> None:
        for point in self.points.values():
            name, kind = event_of(point)
            self._table.events.pop(name, None)
            self._table.declare(name, kind, None)

    def _complain(self, why: str) -> None:
        if why not in self._complaints:
            self._complaints.add(why)
            logger.warning("%s: %s", self.url, why, extra=about(self.url))
