"""Export and import: what a platform knows, as lines of JSON."""

import io
import json
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot import UsageError
from jsonrpc_iot.novacloud import StoreFailed
from jsonrpc_iot.novacloud.errors import StoreInUse
from jsonrpc_iot.novacloud.store.sqlite.schema import upgrade
from jsonrpc_iot.novacloud.store.sqlite.sole import hold
from jsonrpc_iot.novacloud.transfer.exporting import export
from jsonrpc_iot.novacloud.transfer.importing import Importer, Outcome, importing
from jsonrpc_iot.novacloud.transfer.lines import Line, encode
from tests.novacloud.rig import Rig, running

ID = "0b6f8f2e-5e0c-4d8e-9f6a-2f4c8d1f7a11"
DEVICE = {"kind": "device", "device_id": ID, "name": "lamp", "key_hash": "0" * 64}
SENSOR = {"kind": "sensor", "device_id": ID, "value_key": "t", "type": "number"}
VALUES = {"kind": "values", "device_id": ID, "value_key": "t", "points": [[5.0, 0, 1]]}


def lines_of(db: Path, *, telemetry: bool = True) -> list[bytes]:
    return [encode(line) for line in export(db, telemetry=telemetry)]


def take(db: Path, lines: list[Any], told: list[str] | None = None) -> Outcome:
    texts = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in lines]
    notes = [] if told is None else told
    with importing(db, notes.append) as importer:
        importer.run(io.BytesIO(b"\n".join(texts)), lambda outcome: None)
    return importer.outcome


async def fill(rig: Rig) -> dict[str, str]:
    """Devices with all that an export has; returns one that has reported."""
    info = await rig.create("läm\x1bp \u202e", t="number", s="string", b="boolean", j="json")
    id = {"device_id": info["device_id"]}
    await rig.call("device.update", **id, tags=["cellar", "ü"])
    await rig.call("retention.set", days=30)
    thin = {"interval": 60, "after_days": 7}
    await rig.call("retention.set", days=90, **id, value_key="t", downsample=thin)
    rotated = await rig.call("device.create", name="rotated")
    await rig.call("device.rotate_key", device_id=rotated["device_id"], grace=3600)
    disabled = await rig.call("device.create", name="disabled")
    await rig.call("device.update", device_id=disabled["device_id"], enabled=False)
    now = time.time()
    async with rig.device(info) as device:
        for number in range(30):
            await device.data(now - number % 7, t=number * 1.5, s=f"\x07 {number} \u2028")
        await device.data(now + 3600, t=-(1 << 62), b=True, j={"a": [1, None, 2.5], "b": "é"})
        await device.data(b=False, j=[1, 2.0], t=2.0)
        await rig.until_stat("values", 66)
    return info


@pytest.mark.anyio
async def test_a_round_trip_is_equal(tmp_path: Path) -> None:
    there, here = tmp_path / "nova.db", tmp_path / "other" / "nova.db"
    here.parent.mkdir()
    async with running(tmp_path) as rig:
        info = await fill(rig)
        id = {"device_id": info["device_id"]}
        running_lines = lines_of(there)
        latest = await rig.call("telemetry.latest", **id)
    lines = lines_of(there)
    assert [len(lines), *lines[-3:]] == [len(running_lines), *running_lines[-3:]]
    outcome = take(here, lines)
    assert outcome.values.added == 66
    assert lines_of(here) == lines
    async with running(here.parent) as rig:
        assert await rig.call("telemetry.latest", **id) == latest
        assert (await rig.call("device.get", **id))["tags"] == ["cellar", "ü"]
        assert len(await rig.call("retention.list")) == 2
        async with rig.device(info) as device:
            await device.data(t=77)
            assert (await rig.push("telemetry"))["values"] == {"t": 77}


@pytest.mark.anyio
async def test_the_same_lines_again_change_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await fill(rig)
    db = tmp_path / "nova.db"
    lines, told = lines_of(db), list[str]()
    outcome = take(db, lines, told)
    for tally in (outcome.devices, outcome.sensors, outcome.retention, outcome.values):
        assert (tally.added, tally.different) == (0, 0)
        assert tally.existing
    assert not told
    assert lines_of(db) == lines


@pytest.mark.anyio
async def test_without_telemetry_there_are_no_values(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await fill(rig)
    lines = lines_of(tmp_path / "nova.db", telemetry=False)
    assert not any(b'"values"' in line for line in lines)
    assert take(tmp_path / "other.db", lines).devices.added == 3
    assert lines_of(tmp_path / "other.db") == lines


def test_half_an_export_is_known_and_can_be_gone_on_with(tmp_path: Path) -> None:
    db = tmp_path / "all.db"
    points = [[float(number), number, number] for number in range(3000)]
    many = [{**VALUES, "points": points[each : each + 1000]} for each in range(0, 3000, 1000)]
    take(db, [DEVICE, SENSOR, *many])
    lines = lines_of(db)
    text = b"\n".join(lines)
    half = tmp_path / "half.db"
    for cut, complaint in (
        (len(text) - 5, "line 7"),  # within `end`
        (text.index(lines[-1]) - 1, "line 6 is the last one, and no end"),
        (text.index(lines[4]) + 100, "line 5"),
    ):
        with pytest.raises(UsageError, match=complaint):
            take(half, [text[:cut]])
        with sqlite3.connect(half) as file:
            assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        file.close()
    take(half, lines)
    assert lines_of(half) == lines


def test_many_values_are_sorted_into_parts(tmp_path: Path) -> None:
    db = tmp_path / "nova.db"
    each = [{**VALUES, "points": [[float(n % 50), n, n]]} for n in range(600)]
    take(db, [DEVICE, SENSOR, *each])
    with sqlite3.connect(db) as file:
        parts = file.execute("SELECT count(*), sum(count) FROM parts WHERE level > 0").fetchone()
    file.close()
    assert parts[0] >= 1
    found = [point for line in lines_of(db) for point in json.loads(line).get("points", [])]
    assert found == sorted([float(n % 50), n, n] for n in range(600))
    assert take(db, [DEVICE, SENSOR, *each]).values.existing == 600


def test_what_is_there_stays(tmp_path: Path) -> None:
    db, told = tmp_path / "nova.db", list[str]()
    rule = {"kind": "retention", "days": 5}
    actuator = {"kind": "actuator", "device_id": ID, "command_key": "light"}
    before = [DEVICE, SENSOR, actuator, VALUES, rule]
    take(db, before)
    lines = lines_of(db)
    changed = [
        {**DEVICE, "key_hash": "1" * 64, "name": "other"},
        {**SENSOR, "type": "string"},
        {**actuator, "type": "number"},
        {**VALUES, "points": [[5.0, 0, "x"], [6.0, 0, "y"]]},
        {**rule, "days": 6},
    ]
    outcome = take(db, changed, told)
    assert [each.partition(": ")[0] for each in told] == ["line 1", "line 2", "line 3", "line 5"]
    assert "name, key_hash" in told[0]
    assert outcome.devices.different == outcome.sensors.different == 1
    assert outcome.actuators.different == outcome.retention.different == 1
    assert (outcome.values.existing, outcome.refused_values) == (1, 1)
    assert lines_of(db) == lines


def test_sensors_are_added_to_a_device_that_is_there(tmp_path: Path) -> None:
    db = tmp_path / "nova.db"
    take(db, [DEVICE])
    outcome = take(db, [{**DEVICE, "device_id": ID.upper()}, {**SENSOR, "device_id": ID.upper()}])
    assert (outcome.devices.existing, outcome.sensors.added) == (1, 1)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"nonsense", "JSON is malformed"),
        (b'{"kind":"lamp"}', "lamp"),
        (b"[]", "Expected `object`"),
        ({**DEVICE, "device_id": "x"}, "no UUID"),
        ({**DEVICE, "key_hash": "abc"}, "key_hash"),
        ({**DEVICE, "enabeld": True}, "enabeld"),
        ({**SENSOR, "type": "colour"}, "colour"),
        ({**SENSOR, "device_id": "1" + ID[1:]}, "no device 1b6f"),
        ({**VALUES, "value_key": "u"}, "no sensor 'u'"),
        ({**VALUES, "points": [[1e15, 0, 1]]}, "points"),
        ({**VALUES, "points": [[1.0, 1 << 63, 1]]}, "points"),
        ({**VALUES, "points": [[1.0, 0]]}, "points"),
        ({"kind": "retention", "days": 0}, "days"),
        ({"kind": "nova-export", "version": 99}, "version 99; this program knows 1"),
        (b'{"kind":"device","name":"' + b"x" * (1 << 22), "longer than 4 MiB"),
        (b'{"kind":"values","points":' + b"[" * 5000, ""),
        (b'{"kind":"device","name":"\xff"}', ""),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, line: Any, complaint: str) -> None:
    db = tmp_path / "nova.db"
    with pytest.raises(UsageError, match="line 4: ") as caught:
        take(db, [DEVICE, b"", SENSOR, line, VALUES])
    assert complaint in str(caught.value)
    assert len(str(caught.value)) < 500
    assert len(lines_of(db)) == 4  # the device and its sensor between beginning and end


def test_values_that_no_sensor_has_are_left_out(tmp_path: Path) -> None:
    db = tmp_path / "nova.db"
    points = [[1.0, 0, None], [2.0, 0, 1 << 70], [3.0, 0, "text"]]
    outcome = take(db, [DEVICE, SENSOR, {**VALUES, "points": points}])
    assert (outcome.values.added, outcome.refused_values) == (2, 1)
    outcome = take(db, [{**VALUES, "points": [[4.0, 0, "text"], [5.0, 0, True], [6.0, 0, 7]]}])
    assert (outcome.values.added, outcome.refused_values) == (1, 2)


line = st.sampled_from([DEVICE, SENSOR, VALUES]).map(lambda each: json.dumps(each).encode())


@given(st.lists(line | st.binary(max_size=40), max_size=6), st.integers(0, 400))
def test_any_bytes_are_taken_or_told(texts: list[bytes], cut: int) -> None:
    """Any bytes give an outcome or a UsageError, nothing else."""
    with sqlite3.connect(":memory:", isolation_level=None) as db:
        upgrade(db)
        importer = Importer(db, lambda told: None)
        with suppress(UsageError):
            importer.run(io.BytesIO(b"\n".join(texts)[: cut or None]), lambda outcome: None)
    db.close()


def test_a_database_that_a_platform_has_open_is_refused(tmp_path: Path) -> None:
    db = tmp_path / "nova.db"
    take(db, [DEVICE])
    with hold(db), pytest.raises(StoreInUse):
        take(db, [DEVICE])
    assert len(lines_of(db)) == 3


def broken(folder: Path, kind: str) -> Path:
    path = folder / "nova.db"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("nonsense " * 1000)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "foreign":
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE places (name TEXT)")
        db.close()
    elif kind in ("newer", "older"):
        take(path, [DEVICE])
        with sqlite3.connect(path) as db:
            db.execute(f"PRAGMA user_version = {99 if kind == 'newer' else 1}")
        db.close()
    return path


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("none", "No such file or directory"),
        ("folder", "Is a directory"),
        ("text", "file is not a database"),
        ("empty", "no platform's database"),
        ("foreign", "another program's database"),
        ("newer", "version 99; this program knows"),
        ("older", "older version 1"),
    ],
)
def test_what_cannot_be_exported(tmp_path: Path, kind: str, complaint: str) -> None:
    path = broken(tmp_path, kind)
    with pytest.raises(StoreFailed) as caught:
        lines_of(path)
    assert complaint in caught.value.message


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("folder", "Is a directory"),
        ("text", "not a database"),
        ("newer", "version 99"),
        ("foreign", "another program's database"),
    ],
)
def test_what_cannot_be_imported_into(tmp_path: Path, kind: str, complaint: str) -> None:
    path = broken(tmp_path, kind)
    with pytest.raises(StoreFailed) as caught:
        take(path, [DEVICE])
    assert complaint in caught.value.message


def test_an_export_holds_nothing_but_a_line(tmp_path: Path) -> None:
    db = tmp_path / "nova.db"
    take(db, [DEVICE, SENSOR, VALUES])
    lines = export(db, telemetry=True)
    kinds = [type(next(lines)).__name__ for _ in range(2)]
    more: dict[str, Any] = {**DEVICE, "device_id": "f" + ID[1:]}
    take(db, [more])  # between two lines nobody is kept from writing
    rest: list[Line] = list(lines)
    assert kinds == ["Header", "DeviceLine"]
    assert len(rest) == 4
