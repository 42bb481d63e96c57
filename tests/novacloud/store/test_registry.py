"""What every `Registry` has to do."""

import msgspec
import pytest

from jsonrpc_iot.novacloud import AlreadyExists, Store, UnknownDevice, UnknownKey
from jsonrpc_iot.novacloud.store.registry import Actuator, Audit

from .rows import A, B, row

pytestmark = pytest.mark.anyio


async def test_devices(store: Store) -> None:
    await store.create_device(row(B, "b"))
    await store.create_device(row(A, "a"))
    with pytest.raises(AlreadyExists):
        await store.create_device(row(A, "again"))
    assert await store.devices() == [row(A, "a"), row(B, "b")]
    await store.update_device(A, name="new", enabled=False, key_hash=b"k" * 32)
    await store.update_device(A)
    await store.seen([(A, 7.5), ("nobody", 1.0)])
    found = (await store.device(A)).row
    assert (found.name, found.enabled, found.key_hash) == ("new", False, b"k" * 32)
    assert found.last_seen == 7.5
    await store.delete_device(A)
    for lost in (store.device(A), store.delete_device(A), store.update_device(A, name="x")):
        with pytest.raises(UnknownDevice):
            await lost


async def test_sensors_and_actuators(store: Store) -> None:
    await store.create_device(row())
    first = await store.define_sensor(A, "t", "number", "\u00b0C")
    second = await store.define_sensor(A, "s", "string")
    await store.define_actuator(A, "z")
    await store.define_actuator(A, "light", "boolean")
    known = await store.device(A)
    assert list(known.sensors) == [first, second]
    assert list(known.actuators) == [Actuator("light", "boolean"), Actuator("z")]
    with pytest.raises(AlreadyExists):
        await store.define_sensor(A, "t", "string")
    with pytest.raises(AlreadyExists):
        await store.define_actuator(A, "light")
    for lost in (store.define_sensor(B, "t", "number"), store.define_actuator(B, "t")):
        with pytest.raises(UnknownDevice):
            await lost
    await store.delete_actuator(A, "z")
    await store.delete_sensor(A, "t")
    for gone in (store.delete_actuator(A, "z"), store.delete_sensor(A, "t")):
        with pytest.raises(UnknownKey):
            await gone


async def test_devices_of_a_tag_in_pages(store: Store) -> None:
    ids = [f"00000000-0000-4000-8000-{number:012}" for number in range(9)]
    for number, id in enumerate(ids):
        tags = ("odd",) if number % 2 else ("even", "all")
        made = msgspec.structs.replace(row(id, f"Lamp {number // 3}"), tags=tags)
        await store.create_device(made)
        assert (await store.device(id)).row == made
    found = await store.device_page(None, 5)
    found += await store.device_page((found[-1].name, found[-1].device_id), 5)
    assert [each.device_id for each in found] == ids
    odd = await store.device_page(None, 10, tag="odd")
    assert [each.device_id for each in odd] == ids[1::2]
    assert len(await store.device_page(None, 10, name="LAMP 1")) == 3
    await store.define_actuator(ids[1], "light", "boolean")
    targets = await store.targets(["light", "other"], tag="odd", device_ids=ids[:2])
    assert [(each.device_id, each.actuators) for each in targets] == [
        (ids[1], {"light": "boolean"})
    ]
    assert len(await store.targets([])) == 9


async def test_the_key_before_the_last(store: Store) -> None:
    await store.create_device(row())
    old = row().key_hash
    await store.update_device(A, key_hash=b"n" * 32, old_key_until=5.0)
    await store.update_device(A, name="other")
    found = (await store.device(A)).row
    assert (found.key_hash, found.old_key_hash, found.old_key_until) == (b"n" * 32, old, 5.0)
    await store.update_device(A, key_hash=b"m" * 32)
    found = (await store.device(A)).row
    assert (found.key_hash, found.old_key_hash, found.old_key_until) == (b"m" * 32, None, None)


async def test_the_audit(store: Store) -> None:
    for number in range(5):
        params = {"number": number}
        await store.audit(Audit(at=1.0, who="me", address="x", method="m", params=params))
    newest = await store.audit_page(None, 2)
    older = await store.audit_page(newest[-1][0], 10)
    assert [each.params["number"] for _, each in newest + older] == [4, 3, 2, 1, 0]
