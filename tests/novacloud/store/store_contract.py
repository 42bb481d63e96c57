"""What every `ManagedStore` has to do. A test class for a database derives from `StoreContract`."""

import abc
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import msgspec
import pytest

from jsonrpc_iot.novacloud import AlreadyExists, UnknownDevice, UnknownKey
from jsonrpc_iot.novacloud.store.managed import Audit, ManagedStore, Place
from jsonrpc_iot.novacloud.store.query import Point, Query
from jsonrpc_iot.novacloud.store.store import (
    Actuator,
    CommandRow,
    CommandStatus,
    DeviceRow,
    Report,
    Sensor,
    StatusReport,
)

A, B = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"


def row(device_id: str = A, name: str = "lamp") -> DeviceRow:
    return DeviceRow(device_id=device_id, name=name, key_hash=b"\x00\xff" * 16, created=1.5)


def command(command_id: str, **changes: Any) -> CommandRow:
    members = {"status": CommandStatus.QUEUED, "created": 1.0, "expires": 2.0, **changes}
    return CommandRow(command_id=command_id, device_id=A, command={"light": [1]}, **members)


class StoreContract(abc.ABC):
    """The tests; the store they use is empty and open."""

    @pytest.fixture
    @abc.abstractmethod
    def store(self) -> AsyncIterator[ManagedStore]:
        """An open store without rows."""

    async def sensor(self, store: ManagedStore, key: str = "t", type: Any = "number") -> Sensor:
        if not await store.devices():
            await store.create_device(row())
        return await store.define_sensor(A, key, type)

    async def write(self, store: ManagedStore, sensor: Sensor, *points: tuple[float, Any]) -> None:
        now = time.time()
        await store.write([Report(A, at, now, [(sensor.id, value)]) for at, value in points])

    async def values(
        self, store: ManagedStore, sensor: Sensor, **query: Any
    ) -> list[tuple[float, Any]]:
        points = await store.query(Query(sensor=sensor.id, **query))
        return [(point.timestamp, point.value) for point in points]

    async def test_devices(self, store: ManagedStore) -> None:
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

    async def test_sensors_and_actuators(self, store: ManagedStore) -> None:
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

    @pytest.mark.parametrize(
        "value",
        [
            0,
            -1,
            (1 << 63) - 1,
            -(1 << 63),
            0.1,
            1e300,
            "",
            "正\x00\x1b",
            True,
            False,
            [],
            {},
            {"a": [None, 1.5, "x"]},
        ],
        ids=repr,
    )
    async def test_a_value_comes_back_as_it_was(self, store: ManagedStore, value: Any) -> None:
        sensor = await self.sensor(store)
        await self.write(store, sensor, (5.25, value))
        ((at, found),) = await self.values(store, sensor)
        assert (at, found, type(found)) == (5.25, value, type(value))
        assert await store.latest(A, time.time()) == {"t": Point(5.25, value)}

    async def test_many_values_in_one_group(self, store: ManagedStore) -> None:
        sensors = [await self.sensor(store, f"t{number}") for number in range(3)]
        reports = [
            Report(A, float(at), 1e9, [(sensor.id, at) for sensor in sensors]) for at in range(1111)
        ]
        assert await store.write(reports) == [True] * 1111
        for sensor in sensors:
            found = await self.values(store, sensor, limit=2000)
            assert found == [(at, at) for at in range(1111)]

    async def test_values_of_one_time_are_all_kept_and_the_last_is_the_latest(
        self, store: ManagedStore
    ) -> None:
        sensor = await self.sensor(store)
        await self.write(store, sensor, (5, 1), (5, 2), (5, 3), (4, 9))
        assert await self.values(store, sensor) == [(4, 9), (5, 1), (5, 2), (5, 3)]
        assert (await store.latest(A, time.time()))["t"].value == 3

    async def test_a_range(self, store: ManagedStore) -> None:
        sensor = await self.sensor(store)
        await self.write(store, sensor, *((at, at) for at in range(10)))
        assert await self.values(store, sensor, start=3, end=5) == [(3, 3), (4, 4)]
        assert await self.values(store, sensor, limit=2) == [(0, 0), (1, 1)]
        assert await self.values(store, sensor, order="desc", limit=2) == [(9, 9), (8, 8)]
        assert await self.values(store, sensor, start=20) == []

    @pytest.mark.parametrize(
        ("aggregate", "expected"),
        [
            (None, [(0, 2.0), (10, 20.0)]),
            ("mean", [(0, 2.0), (10, 20.0)]),
            ("min", [(0, 1), (10, 20)]),
            ("max", [(0, 3), (10, 20)]),
            ("last", [(0, "x"), (10, 20)]),
            ("count", [(0, 3), (10, 1)]),
        ],
    )
    async def test_groups(self, store: ManagedStore, aggregate: Any, expected: object) -> None:
        sensor = await self.sensor(store)
        await self.write(store, sensor, (9, "x"), (0, 1), (5, 3), (10, 20))
        found = await self.values(store, sensor, interval=10, aggregate=aggregate)
        assert found == expected
        backwards = await self.values(store, sensor, interval=10, aggregate=aggregate, order="desc")
        assert backwards == found[::-1]

    async def test_all_values_as_one_group(self, store: ManagedStore) -> None:
        sensor = await self.sensor(store)
        assert await self.values(store, sensor, aggregate="count") == []
        await self.write(store, sensor, (7, 1), (9, 3))
        assert await self.values(store, sensor, aggregate="mean") == [(7, 2.0)]
        assert await self.values(store, sensor, aggregate="count", start=8) == [(8, 1)]

    async def test_the_future_is_flagged_and_waits(self, store: ManagedStore) -> None:
        sensor = await self.sensor(store)
        now = time.time()
        ahead = now + 1000
        await store.write([Report(A, ahead, now, [(sensor.id, 1)])])
        assert await store.latest(A, now) == {"t": Point(ahead, 1, flagged=True)}
        await self.write(store, sensor, (now, 2))
        assert (await store.latest(A, now))["t"].value == 2
        assert (await store.latest(A, ahead))["t"].value == 1

    async def test_a_sequence_number_is_stored_once(self, store: ManagedStore) -> None:
        sensor = await self.sensor(store)

        async def send(*seqs: int, box: str = "box") -> list[bool]:
            reports = [
                Report(A, seq, 1.0, [(sensor.id, seq)], outbox_id=box, seq=seq) for seq in seqs
            ]
            return await store.write(reports)

        assert await send(1, 2, 2, 1, 4) == [True, True, False, False, True]
        assert await send(3, 4, 5) == [False, False, True]
        assert await send(1, box="other") == [True]
        found = [value for _, value in await self.values(store, sensor)]
        assert found == [1, 1, 2, 4, 5]

    async def test_outboxes_without_end_are_forgotten(self, store: ManagedStore) -> None:
        await store.create_device(row())
        for number in range(100):
            assert await store.write([Report(A, 1, 1, outbox_id=f"{number}", seq=5)]) == [True]
        assert await store.write([Report(A, 1, 1, outbox_id="99", seq=5)]) == [False]

    async def test_the_newest_status_counts(self, store: ManagedStore) -> None:
        await store.create_device(row())
        assert await store.status(A) is None
        for at, received in (100.0, 100.0), (50.0, 101.0), (9e9, 102.0), (90.0, 103.0):
            await store.write([Report(A, at, received, status={"at": at})])
        assert await store.status(A) == StatusReport({"at": 9e9}, 9e9)
        await store.write([Report(A, 104.0, 104.0, status={"at": 104.0})])
        assert await store.status(A) == StatusReport({"at": 104.0}, 104.0)

    async def test_each_member_of_a_status_is_the_latest(self, store: ManagedStore) -> None:
        await store.create_device(row())
        await store.write([Report(A, 100.0, 100.0, status={"battery": 85, "cpu": 1})])
        await store.write([Report(A, 101.0, 101.0, status={"signal": -60})])
        await store.write([Report(A, 99.0, 102.0, status={"battery": 90, "uptime": 5})])
        await store.write([Report(A, 103.0, 103.0, status={"cpu": None}), Report(B, 1, 1)])
        members = {"battery": 85, "cpu": None, "signal": -60, "uptime": 5}
        assert await store.status(A) == StatusReport(members, 103.0)

    async def test_members_of_statuses_do_not_grow_without_end(self, store: ManagedStore) -> None:
        await store.create_device(row())
        for at in range(20):
            await store.write([Report(A, at, at, status={f"{at}": "x" * 6000, "last": at})])
        found = await store.status(A)
        assert found is not None
        assert found.payload["last"] == 19
        assert [name for name in found.payload if name != "last"] == [f"{n}" for n in range(12, 20)]

    async def test_statuses_as_they_came(self, store: ManagedStore) -> None:
        await store.create_device(row())
        for at in (1.0, 3.0, 2.0, 3.0):
            await store.write([Report(A, at, 9.0, status={"at": at}), Report(B, 1, 1, status={})])
        found = await store.status_history(A, None, None, 10)
        assert [each.timestamp for each in found] == [3.0, 3.0, 2.0, 1.0]
        assert await store.status_history(A, 2.0, 3.0, 10) == [StatusReport({"at": 2.0}, 2.0)]
        assert len(await store.status_history(A, None, None, 3)) == 3
        for at in range(1100):
            await store.write([Report(A, at, 9.0, status={})])
        assert len(await store.status_history(A, None, None, 2000)) == 1000

    @pytest.mark.parametrize("order", ["asc", "desc"])
    async def test_each_value_is_on_one_page(self, store: ManagedStore, order: Any) -> None:
        one, two = await self.sensor(store, "one"), await self.sensor(store, "two")
        reports = [
            Report(A, at % 3, 1.0, [(one.id, at), (two.id, [at])]) for at in map(float, range(30))
        ]
        await store.write(reports)
        after: Place | None = None
        found: list[Any] = []
        while rows := await store.value_page([two.id, one.id], after, 7, order=order):
            assert len(rows) <= 7
            found += [(place[0], value) for place, value in rows]
            after = rows[-1][0]
            if len(found) < 30:
                await self.write(store, one, (1.0, "late"), (-1.0, "late"), (9.0, "late"))
        values = [value for _, value in found if not isinstance(value, str)]
        assert sorted(values, key=str) == sorted(
            [value for each in reports for _, value in each.values], key=str
        )
        times = [at for at, _ in found]
        assert times == sorted(times, reverse=order == "desc")
        some = await store.value_page([one.id], None, 100, start=1.0, end=2.0, order=order)
        assert {place[0] for place, _ in some} == {1.0}

    async def test_the_latest_of_each_sensor_is_on_one_page(self, store: ManagedStore) -> None:
        ids = [f"00000000-0000-4000-8000-{number:012}" for number in range(7)]
        reports, expected = [], []
        for number, id in enumerate(ids):
            tags = ("odd",) if number % 2 else ()
            await store.create_device(msgspec.structs.replace(row(id, "lamp"), tags=tags))
            for key in "abcd":
                sensor = await store.define_sensor(id, key, "number")
                if key != "c":
                    reports += [Report(id, at, 9.0, [(sensor.id, at + number)]) for at in (2, 5, 1)]
                    expected.append((id, key, Point(5, 5 + number)))
        await store.write(reports)

        async def found(limit: int, **which: Any) -> list[Any]:
            found: list[Any] = []
            after = None
            while some := await store.latest_page(after, limit, 5.0, **which):
                assert len(some) <= limit
                found += [(each.device_id, each.value_key, each.point) for each in some]
                after = found[-1][:2]
            return found

        for limit in 1, 4, 1000:
            assert await found(limit) == expected
        assert await found(3, tag="odd") == [each for each in expected if each[0] in ids[1::2]]
        assert await found(3, value_keys=["b", "c"]) == expected[1::3]
        assert await found(3, value_keys=["c"]) == []

    async def test_devices_of_a_tag_in_pages(self, store: ManagedStore) -> None:
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

    async def test_the_key_before_the_last(self, store: ManagedStore) -> None:
        await store.create_device(row())
        old = row().key_hash
        await store.update_device(A, key_hash=b"n" * 32, old_key_until=5.0)
        await store.update_device(A, name="other")
        found = (await store.device(A)).row
        assert (found.key_hash, found.old_key_hash, found.old_key_until) == (b"n" * 32, old, 5.0)
        await store.update_device(A, key_hash=b"m" * 32)
        found = (await store.device(A)).row
        assert (found.key_hash, found.old_key_hash, found.old_key_until) == (b"m" * 32, None, None)

    async def test_the_audit(self, store: ManagedStore) -> None:
        for number in range(5):
            params = {"number": number}
            await store.audit(Audit(at=1.0, who="me", address="x", method="m", params=params))
        newest = await store.audit_page(None, 2)
        older = await store.audit_page(newest[-1][0], 10)
        assert [each.params["number"] for _, each in newest + older] == [4, 3, 2, 1, 0]

    async def test_the_commands_of_a_broadcast(self, store: ManagedStore) -> None:
        await store.create_device(row())
        await store.write([], [command(f"{number}", job_id="job") for number in range(5)])
        await store.write([], [command("other"), command("another", job_id="other")])
        first = await store.job_page("job", None, 2)
        rest = await store.job_page("job", first[-1].command_id, 10)
        assert [each.command_id for each in first + rest] == ["0", "1", "2", "3", "4"]
        states = await store.job_states("job")
        assert sorted(states) == [(f"{number}", CommandStatus.QUEUED) for number in range(5)]

    async def test_commands(self, store: ManagedStore) -> None:
        await store.create_device(row())
        await store.write([], [command("one"), command("two")])
        done = command("one", status=CommandStatus.SUCCESS, payload={"a": 1}, finished=3.0)
        await store.write([], [done])
        await store.write([], [command("one", status=CommandStatus.TIMEOUT, finished=4.0)])
        assert await store.command("one") == done
        assert await store.command("three") is None
        assert await store.commands() == [command("two"), done]
        assert await store.commands(A, limit=1) == [command("two")]
        assert await store.commands(B) == []
        assert await store.commands(open_only=True) == [command("two")]

    async def test_what_belongs_to_nobody_is_left_out(self, store: ManagedStore) -> None:
        sensor = await self.sensor(store)
        await self.write(store, sensor, (1, 1))
        await store.delete_sensor(A, "t")
        again = await self.sensor(store)
        await self.write(store, sensor, (2, 2))
        assert await self.values(store, again) == []
        await store.delete_device(A)
        reports = [
            Report(A, 1, 1, [(again.id, 1)]),
            Report(A, 1, 1, status={}, outbox_id="box", seq=1),
        ]
        await store.write(reports, [command("one")])
        await store.create_device(row())
        assert await store.commands() == []
        assert await store.status(A) is None
        assert await store.latest(A, time.time()) == {}

    async def test_many_at_once(self, store: ManagedStore) -> None:
        sensor = await self.sensor(store)
        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(self.write, store, sensor, (number, number))
                tasks.start_soon(store.devices)
        assert len(await self.values(store, sensor)) == 50

    async def test_a_reader_sees_all_of_a_commit_or_nothing_of_it(
        self, store: ManagedStore
    ) -> None:
        sensors = [await self.sensor(store, f"t{number}") for number in range(20)]
        over = False

        async def report() -> None:
            nonlocal over
            for at in range(200):
                await store.write([Report(A, at, 1e9, [(sensor.id, at) for sensor in sensors])])
            over = True

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(report)
            while not over:
                latest = await store.latest(A, 1e9)
                assert len(latest) in {0, len(sensors)}
                assert len({point.value for point in latest.values()}) <= 1

    async def test_a_clock_that_is_set_back_holds_no_status_back(self, store: ManagedStore) -> None:
        await store.create_device(row())

        async def report(timestamp: float, received: float, battery: int) -> Any:
            await store.write([Report(A, timestamp, received, status={"battery": battery})])
            found = await store.status(A)
            assert found is not None
            return found.payload["battery"]

        assert await report(9000.0, 9000.0, 1) == 1
        assert await report(5000.0, 5000.0, 2) == 2  # the clock was an hour fast
        assert await report(4000.0, 5001.0, 3) == 2
        assert await report(5002.0, 5002.0, 4) == 4

    async def test_a_clock_that_was_far_ahead_says_nothing_of_later_values(
        self, store: ManagedStore
    ) -> None:
        sensor = await self.sensor(store)
        day = 86_400.0
        for timestamp, received in (100 * day, 100 * day), (day, day), (2 * day, day + 1):
            await store.write([Report(A, timestamp, received, [(sensor.id, 1)])])
        points = await store.query(Query(sensor=sensor.id))
        assert [(point.timestamp / day, point.flagged) for point in points] == [
            (1, False),
            (2, True),
            (100, False),
        ]

    async def test_the_outbox_of_a_device_is_known_however_the_clock_is_set(
        self, store: ManagedStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.create_device(row())

        async def write(outbox: str, seq: int) -> bool:
            (is_new,) = await store.write([Report(A, 1.0, 1.0, outbox_id=outbox, seq=seq)])
            return is_new

        for number in range(20):
            assert await write(f"old {number}", 1)
        for name in "time", "time_ns":
            monkeypatch.setattr(time, name, lambda: 1)
        assert await write("present", 7)
        assert await write("another", 1)
        assert not await write("present", 7)
