"""Messages in a string DataPoint, and other DataPoints as notifications.

Source: the RPC protocol document, "RPC over Tuya DP".
"""

import logging
import math
from collections.abc import Mapping
from typing import Any, Literal, final

import anyio
import msgspec
from msgspec import UNSET, Struct, UnsetType

from ...channel.contract import Channel
from ...channel.info import ChannelInfo
from ...errors import MalformedFrame, Unencodable
from ...protocol.about import about
from ...protocol.tuya.datapoints import DataPoint, DataPointType, Unit, encode_datapoints
from ...protocol.tuya.module import Module
from ...protocol.tuya.role import Mcu
from .frame_channel import LineChannel
from .line import TuyaLine

logger = logging.getLogger("jsonrpc_iot.transports")

METHOD = "tuya.datapoint"
"""The notification that stands for any other DataPoint than that of the messages."""

_METHOD_IN_JSON = f'"{METHOD}"'.encode()


class _Params(Struct, frozen=True):
    """Params of a `tuya.datapoint`. Raw bytes are Base64."""

    id: int
    type: Literal["raw", "bool", "value", "string", "enum", "bitmap"]
    value: bool | int | str

    @classmethod
    def of(cls, point: DataPoint) -> "_Params":
        name: Any = point.type.name.lower()
        return cls(point.id, name, msgspec.to_builtins(point.value))

    def datapoint(self) -> DataPoint:
        type_ = DataPointType[self.type.upper()]
        if type_ is DataPointType.RAW:
            return DataPoint(self.id, type_, msgspec.convert(self.value, bytes))
        return DataPoint(self.id, type_, self.value)


class _Notification(Struct, frozen=True, omit_defaults=True):
    method: str
    params: _Params
    jsonrpc: str | None = None


class _Envelope(Struct, frozen=True):
    """As much of a message as says whether it is a `tuya.datapoint`."""

    method: str
    params: msgspec.Raw = msgspec.Raw(b"{}")
    id: UnsetType | msgspec.Raw = UNSET


@final
class DataPointChannel(LineChannel):
    """One message in one string DataPoint.

    Other DataPoints that nobody takes come as notifications `tuya.datapoint`, and notifications of
    that name leave as DataPoints.

    Tuya's cloud passes no value on that is equal to the last one, so a message that is sent twice
    in a row gets a space behind it; and it wants pauses between reports.

    Args:
        line: its role says which commands carry DataPoints.
        info: the facts about the channel.
        baudrate: of the line, in bits per second.
        dpid: which DataPoint carries the messages.
        gap: seconds from the end of one send to the next one, at least.
        sync: have the module confirm each report, of an MCU.
        owns_line: close the line with the channel.

    Attributes:
        stale: messages that the other end had sent before, and sent again because it was asked for
            all its DataPoints.
        unconfirmed: reports that the module did not take.
    """

    def __init__(
        self,
        line: TuyaLine,
        info: ChannelInfo,
        baudrate: int | None,
        *,
        dpid: int,
        gap: float,
        sync: bool = False,
        owns_line: bool = True,
    ) -> None:
        super().__init__(line, info, baudrate, owns_line=owns_line)
        assert line.role is not None
        self.stale = 0
        self.unconfirmed = 0
        self._role = line.role
        self._dpid = dpid
        self._gap = gap
        self._sync = sync
        self._free_at = -math.inf
        self._last_sent = b""
        self._last_arrived = b""

    @property
    def drops(self) -> Mapping[str, int]:
        """See `Channel.drops`."""
        return {**super().drops, "stale": self.stale, "unconfirmed": self.unconfirmed}

    def follow(self, previous: Channel) -> None:
        """See `Channel.follow`: the ends of a line outlive an adapter that is unplugged.

        An MCU has what it has reported, a module knows what the MCU has, and the cloud what it
        heard last.
        """
        if not isinstance(previous, DataPointChannel):
            return
        match self._role, previous._role:
            case Mcu(), Mcu():
                self.line.role = self._role = previous._role
            case Module(), Module():
                self._role.inventory = previous._role.inventory
        self._last_sent, self._last_arrived = previous._last_sent, previous._last_arrived
        self._free_at = previous._free_at

    def is_for(self, unit: Unit) -> bool:
        """See `TakesFrames`."""
        return unit.id == self._dpid

    def take_unit(self, unit: Unit) -> bool:
        """See `TakesFrames`."""
        if unit.id == self._dpid:
            self._take_message(unit)
        elif any(each is not self and each.is_for(unit) for each in self.line.takers):
            return False
        else:
            try:
                params = _Params.of(unit.decode())
            except MalformedFrame as error:
                self.line.count_malformed(error)
            else:
                spoken = "2.0" if b'"jsonrpc"' in self._last_arrived else None
                note = _Notification(METHOD, params, spoken)
                self._arrive(msgspec.json.encode(note))
        return True

    def _take_message(self, unit: Unit) -> None:
        if unit.type != DataPointType.STRING:
            self.line.count_malformed(
                MalformedFrame(f"DataPoint {unit.id} of type {unit.type}: a message is a STRING")
            )
        elif self._is_stale(unit.data):
            self.stale += 1
        else:
            self._last_arrived = unit.data
            self._arrive(unit.data)

    def _is_stale(self, text: bytes) -> bool:
        return (
            text == self._last_arrived
            and isinstance(self._role, Module)
            and self._role.is_replaying(anyio.current_time())
        )

    def check(self, message: bytes) -> None:
        """See `Channel.check`: a `tuya.datapoint` may be none."""
        try:
            self._datapoint(message)
        except ValueError as error:
            raise Unencodable(f"{METHOD}: {error}") from None

    async def _send(self, item: bytes) -> None:
        try:
            point = self._datapoint(item)
        except ValueError as error:
            logger.warning(
                "%s: a %s that is none: %s",
                self._info.peer,
                METHOD,
                error,
                extra=about(self._info.peer),
            )
            return
        if point is None:
            units = self._message(item)
        else:
            units = encode_datapoints([point])
            if isinstance(self._role, Mcu):
                self._role.datapoints[point.id] = point
        await self.line.pause(self._free_at, lambda: self._closed)
        if self._closed:
            raise anyio.ClosedResourceError
        try:
            if not self._sync:
                await self.line.send(self._role.sends, units)
            elif not await self.line.report_and_confirm(units):
                self.unconfirmed += 1
        finally:
            self._free_at = anyio.current_time() + self._gap

    def _message(self, item: bytes) -> bytes:
        if item == self._last_sent and self._info.fits(item + b" "):
            item += b" "
        self._last_sent = item
        return Unit(self._dpid, DataPointType.STRING, item).encode()

    def _datapoint(self, item: bytes) -> DataPoint | None:
        """What a notification stands for; `None` for itself.

        Raises:
            ValueError: for a DataPoint, but there is no such.
        """
        if _METHOD_IN_JSON not in item:
            return None
        try:
            note = msgspec.json.decode(item, type=_Envelope)
        except ValueError:  # a response or a batch that names it
            return None
        if note.method != METHOD or note.id is not UNSET:
            return None
        point = msgspec.json.decode(note.params, type=_Params).datapoint()
        if point.id == self._dpid:
            raise ValueError(f"DataPoint {self._dpid} is for messages")
        return point
