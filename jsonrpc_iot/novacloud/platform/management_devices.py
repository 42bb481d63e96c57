"""The part of the management that says who may connect, and shows who does."""

import secrets
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from functools import reduce
from typing import Any

from msgspec import Struct, structs

from jsonrpc_iot import InvalidParams, TooLarge, method

from ..errors import AlreadyExists, StoreFailed, UnknownDevice
from ..store.nodes import Served
from ..store.registry import DeviceRow
from ..store.telemetry_log import StatusReport
from .admission import canonical_id, hash_key
from .counts import DeviceRecord, Heard
from .management_base import (
    Count,
    Cursor,
    DeviceDetails,
    DeviceInfo,
    GivenKey,
    Name,
    NewDevice,
    NewKey,
    Part,
    Tags,
    Wait,
    canonical,
    printable,
)
from .pages import Page, decode_cursor, fitting
from .permissions import ADMIN, READ

_READ_AT_ONCE = 500


class DevicePage(Struct, frozen=True):
    """Some devices, and where the next ones begin; `None` at the end."""

    devices: list[DeviceInfo]
    next: str | None


class DeviceMethods(Part):
    """Who may connect."""

    @method("device.create", requires=ADMIN, effect="change", errors=(AlreadyExists, StoreFailed))
    async def device_create(
        self,
        name: Name,
        device_id: str | None = None,
        device_key: GivenKey | None = None,
        tags: Tags | None = None,
    ) -> NewDevice:
        """Add a device. Its key is in the answer and nowhere else.

        Args:
            name: for people.
            device_id: a UUID; made when left out.
            device_key: 16 to 128 printable characters; made when left out.
            tags: to group it by.
        """
        chosen = str(uuid.uuid4()) if device_id is None else canonical_id(device_id)
        if chosen is None:
            raise InvalidParams(data={"path": "$.device_id", "message": "Expected a UUID"})
        key = secrets.token_hex(16) if device_key is None else printable(device_key)
        row = DeviceRow(
            device_id=chosen,
            name=name,
            key_hash=hash_key(key),
            created=self._platform.time.now(),
            tags=_plain(tags or ()),
        )
        await self._store.create_device(row)
        await self._changed(chosen)
        return NewDevice(chosen, key, name)

    @method(
        "device.get",
        requires=READ,
        idempotent=True,
        effect="read",
        errors=(UnknownDevice, StoreFailed),
    )
    async def device_get(self, device_id: str) -> DeviceDetails:
        """A device, whether it is there, and what went wrong with it, at all nodes."""
        row = (await self._known(device_id)).row
        status = await self._store.status(row.device_id)
        served = await self._served([row])
        session = self._presence.sessions.get(row.device_id)
        address = None if session is None else session.connection.peer
        since = None if session is None else session.since
        if (elsewhere := served.get(row.device_id)) is not None:
            address, since = elsewhere.address, elsewhere.since
        others = await self._platform.cluster.questions.ask("device", row.device_id, Heard)
        heard = [self._platform.heard(row.device_id), *others.parts]
        records = [each.record for each in heard if each.record is not None]
        record = reduce(DeviceRecord.with_that, records) if records else None
        info = structs.asdict(self._info(row, served))
        info["last_seen"] = _latest(info["last_seen"], *(each.last_seen for each in heard))
        return DeviceDetails(
            **info,
            address=address,
            connected_since=since,
            outbox_pending=_member(status, "outbox_pending", int),
            firmware_version=_member(status, "firmware_version", str),
            refused=None if record is None else record.refused,
            counts=None if record is None else structs.replace(record, refused=None),
        )

    @method(
        "device.list", requires=READ, idempotent=True, effect="read", errors=(TooLarge, StoreFailed)
    )
    async def device_list(self) -> AsyncIterator[DeviceInfo]:
        """All devices by name; streamed on request. `device.page` has them in pieces that fit.

        Raises:
            TooLarge: they do not fit the channel.
        """
        async with aclosing(fitting(self._context, self._infos(None), "device.page")) as infos:
            async for info in infos:
                yield info

    @method(
        "device.page", requires=READ, idempotent=True, effect="read", errors=(TooLarge, StoreFailed)
    )
    async def device_page(
        self,
        cursor: Cursor | None = None,
        limit: Count = 100,
        online: bool | None = None,
        tag: str | None = None,
        name: str | None = None,
    ) -> DevicePage:
        """Some devices by name.

        Args:
            cursor: `next` of the page before.
            limit: how many at most; fewer where they would not fit the channel.
            online: whether they are there.
            tag: that they have.
            name: a part of their names.
        """
        page: Page[DeviceInfo] = Page(self._context, limit)
        after = decode_cursor(cursor, tuple[str, str])
        async with aclosing(self._infos(after, tag, name)) as infos:
            async for info in infos:
                is_wanted = online is None or info.online is online
                if is_wanted and not page.add(info, (info.name, info.device_id)):
                    break
        return DevicePage(page.rows, page.next)

    @method(
        "device.update",
        requires=ADMIN,
        idempotent=True,
        effect="change",
        errors=(UnknownDevice, StoreFailed),
    )
    async def device_update(
        self,
        device_id: str,
        name: Name | None = None,
        enabled: bool | None = None,
        tags: Tags | None = None,
    ) -> DeviceInfo:
        """Change what is given; to disable a device ends its connection."""
        chosen = canonical(device_id)
        new_tags = None if tags is None else _plain(tags)
        await self._store.update_device(chosen, name=name, enabled=enabled, tags=new_tags)
        await self._changed(chosen, "disabled" if enabled is False else "")
        row = (await self._known(chosen)).row
        return self._info(row, await self._served([row]))

    @method("device.delete", requires=ADMIN, effect="danger", errors=(UnknownDevice, StoreFailed))
    async def device_delete(self, device_id: str) -> None:
        """Delete a device with its sensors, actuators, values and commands."""
        chosen = canonical(device_id)
        await self._store.delete_device(chosen)
        await self._changed(chosen, "deleted")
        self._platform.commands.forget(chosen)
        self._platform.counts.devices.pop(chosen, None)

    @method(
        "device.rotate_key", requires=ADMIN, effect="danger", errors=(UnknownDevice, StoreFailed)
    )
    async def device_rotate_key(
        self, device_id: str, device_key: GivenKey | None = None, grace: Wait = 0.0
    ) -> NewKey:
        """Give a device a new key.

        Args:
            device_id: whose.
            device_key: the new key; made when left out.
            grace: seconds that the old one holds too, so that the device can be told the new one.
                Without them its connection ends.
        """
        chosen = canonical(device_id)
        key = secrets.token_hex(16) if device_key is None else printable(device_key)
        until = self._platform.time.now() + grace if grace else None
        await self._store.update_device(chosen, key_hash=hash_key(key), old_key_until=until)
        await self._changed(chosen, "" if grace else "its key was changed")
        return NewKey(chosen, key)

    async def _infos(
        self, after: tuple[str, str] | None, tag: str | None = None, name: str | None = None
    ) -> AsyncGenerator[DeviceInfo, None]:
        """Devices by name, of which only some are in memory."""
        while True:
            rows = await self._store.device_page(after, _READ_AT_ONCE, tag=tag, name=name)
            served = await self._served(rows)
            for row in rows:
                yield self._info(row, served)
            if len(rows) < _READ_AT_ONCE:
                return
            after = rows[-1].name, rows[-1].device_id

    async def _served(self, rows: Sequence[DeviceRow]) -> Mapping[str, Served]:
        """By whom devices are served that are not connected to this node."""
        sessions = self._presence.sessions
        ids = [row.device_id for row in rows if row.device_id not in sessions]
        served = await self._store.nodes.served(ids) if ids else {}
        number = self._platform.cluster.membership.lease.number  # whose devices leave before they
        return {id: each for id, each in served.items() if each.number != number}  # are given back

    def _info(self, row: DeviceRow, served: Mapping[str, Served]) -> DeviceInfo:
        elsewhere = served.get(row.device_id)
        here = self._presence.online(row.device_id) is not None
        times = [self._presence.last_seen(row.device_id), row.last_seen]
        if elsewhere is not None:
            times.append(elsewhere.since)
        return DeviceInfo(
            device_id=row.device_id,
            name=row.name,
            enabled=row.enabled,
            online=here if elsewhere is None else elsewhere.online,
            last_seen=_latest(*times),
            created=row.created,
            tags=row.tags,
        )


def _plain(tags: Sequence[str]) -> tuple[str, ...]:
    """Each tag once."""
    return tuple(dict.fromkeys(tags))


def _latest(*times: float | None) -> float | None:
    return max((at for at in times if at is not None), default=None)


def _member(status: StatusReport | None, name: str, kind: type[Any]) -> Any:
    """What a device says of itself, `None` where that is nothing of the kind."""
    value = None if status is None else status.payload.get(name)
    return value if type(value) is kind else None
