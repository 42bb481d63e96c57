"""Where databases like to differ: the order of texts, upper case, NUL, large and mixed numbers."""

from typing import Any

import msgspec
import pytest

from jsonrpc_iot.novacloud import Store
from jsonrpc_iot.novacloud.store.query import Query
from jsonrpc_iot.novacloud.store.registry import Audit
from jsonrpc_iot.novacloud.store.telemetry_log import Report

from .rows import A, command, make_sensor, row, values_of, write_values

pytestmark = pytest.mark.anyio

TEXTS = ["", " a", "A", "B", "Z", "_", "a", "a b", "a-b", "aB", "ab", "b", "z", "Ä", "ä", "é"]
TEXTS += ["\x00", "\x01", "\x00\x01", "\x01\x00", "\x01\x01", "\x01\x02", "\x02", "a\x00", "a\x01"]
TEXTS += ["\u2028", "\ufffd", "\U0001f600", "正"]


async def test_texts_come_back_as_they_were_in_the_order_of_their_characters(store: Store) -> None:
    for text in TEXTS:
        await store.create_device(row(f"id {text}", text))
    ordered = sorted(TEXTS)
    assert [each.name for each in await store.devices()] == ordered
    found = await store.device_page(None, 10)
    while some := await store.device_page((found[-1].name, found[-1].device_id), 10):
        found += some
    assert [each.name for each in found] == ordered
    for text in TEXTS:
        assert (await store.device(f"id {text}")).row.name == text


async def test_keys_and_tags_are_any_texts(store: Store) -> None:
    await store.create_device(msgspec.structs.replace(row(), tags=("\x01", "\x01\x01", "é")))
    reports = []
    for text in TEXTS[1:]:
        sensor = await store.define_sensor(A, text, "string", text)
        await store.define_actuator(A, text)
        reports.append(Report(A, 1.0, 1.0, [(sensor.id, text)], {text: text}, text, 5))
    assert await store.write(reports) == [True] * len(reports)
    known = await store.device(A)
    assert known.row.tags == ("\x01", "\x01\x01", "é")
    assert [each.value_key for each in known.sensors] == TEXTS[1:]
    assert [each.unit for each in known.sensors] == TEXTS[1:]
    assert [each.command_key for each in known.actuators] == sorted(TEXTS[1:])
    latest = await store.latest_page(None, 100, 1.0)
    assert [(each.value_key, each.point.value) for each in latest] == [
        (text, text) for text in sorted(TEXTS[1:])
    ]
    chosen = await store.latest_page(None, 100, 1.0, value_keys=["\x01", "a\x01"])
    assert [each.value_key for each in chosen] == ["\x01", "a\x01"]
    assert [*(await store.heads(A))] == TEXTS[-16:]
    assert len(await store.device_page(None, 5, tag="\x01")) == 1
    assert await store.device_page(None, 5, tag="\x02") == []
    (target,) = await store.targets(["\x01\x02", "\x01\x01"], tag="é")
    assert target.actuators == {"\x01\x02": None, "\x01\x01": None}


async def test_names_are_found_in_upper_and_lower_case(store: Store) -> None:
    for number, name in enumerate(["Lamp ÄÖ", "lamp äö", "LAMPE", "100%", "a_b"]):
        await store.create_device(row(f"{number}", name))

    async def found(part: str) -> list[str]:
        return [each.device_id for each in await store.device_page(None, 9, name=part)]

    assert await found("lAMP") == ["2", "0", "1"]
    assert await found("äö") == ["1"]
    assert await found("%") == ["3"]
    assert await found("_") == ["4"]
    assert await found("") == ["3", "2", "0", "4", "1"]


async def test_the_audit_says_what_it_was_told(store: Store) -> None:
    told = Audit(at=1.0, who="\x00 é", address="\x01", method="m", params={"\x00": "\x01\x00"})
    await store.audit(told)
    assert [each for _, each in await store.audit_page(None, 5)] == [told]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2.5, True, False, "9", None], {"mean": 1.125, "sum": 4.5, "min": 0, "max": 2.5}),
        ([(1 << 53) + 1, 1 << 53], {"min": 1 << 53, "max": (1 << 53) + 1}),
        ([(1 << 63) - 1, 0.5], {"min": 0.5, "max": (1 << 63) - 1}),
        ([1e308, 1e308, -5e-324], {"mean": None, "sum": None, "max": 1e308, "min": -5e-324}),
        ([1e300, -1e300, 1.0], {"sum": 1.0, "mean": 1 / 3}),
        (["true", "false", [True], "1"], {"mean": ..., "sum": ..., "max": ...}),
        ([{"a": 1}, "x", 3], {"first": {"a": 1}, "last": 3, "count": 3, "sum": 3.0}),
    ],
    ids=["mixed", "beyond floats", "integer and float", "too large", "cancelled", "texts", "ends"],
)
async def test_aggregates_of_all_kinds(
    store: Store, values: list[Any], expected: dict[Any, Any]
) -> None:
    sensor = await make_sensor(store)
    await write_values(store, sensor, *((float(at), value) for at, value in enumerate(values)))
    for aggregate, value in expected.items():
        for options in {}, {"interval": 100.0}:
            found = await values_of(store, sensor, aggregate=aggregate, **options)
            assert found == ([] if value is ... else [(0, value)]), aggregate
            assert not found or type(found[0][1]) is type(value)


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("aggregate", ["count", "last"])
async def test_groups_of_a_long_time(store: Store, order: Any, aggregate: Any) -> None:
    sensor = await make_sensor(store)
    times = [0.5, 59.9, 60.0, 61.0, 7200.0, 1e6, 1e6 + 59, 1.7e9, 1.7e9 + 1]
    await write_values(store, sensor, *((at, at) for at in times))
    groups: dict[float, float] = {}
    for at in times:
        begin = (at + 30) // 60 * 60 - 30
        groups[begin] = groups.get(begin, 0) + 1 if aggregate == "count" else at
    expected = sorted(groups.items(), reverse=order == "desc")
    asked = {"interval": 60.0, "offset": 30.0, "aggregate": aggregate, "order": order}
    assert await values_of(store, sensor, **asked) == expected
    assert await values_of(store, sensor, **asked, limit=3) == expected[:3]
    some = await values_of(store, sensor, **asked, start=60.0, end=1e6 + 1)
    assert [at for at, _ in some] == [at for at, _ in expected if 30 <= at <= 1e6]


async def test_long_values_are_read_a_few_at_a_time(store: Store) -> None:
    sensor = await make_sensor(store, type="string")
    texts = [f"{number}" + "x" * 60_000 for number in range(12)]
    await write_values(store, sensor, *((float(at), text) for at, text in enumerate(texts)))
    points = [point.value async for point in store.points(Query(sensor=sensor.id))]
    assert points == texts
    page = await store.value_page([sensor.id], None, 100)
    assert 1 <= len(page) < len(texts)
    found = [value for _, value in page]
    while page := await store.value_page([sensor.id], page[-1][0], 100):
        found += [value for _, value in page]
    assert found == texts
    lasts = await values_of(store, sensor, interval=1.0, aggregate="last", order="desc")
    assert [value for _, value in lasts] == texts[::-1]


async def test_texts_in_lists_are_any_texts(store: Store) -> None:
    tags = ("a\x00b", "\x01\x01", '","', "")
    await store.create_device(msgspec.structs.replace(row(), tags=tags))
    await store.create_device(msgspec.structs.replace(row("\x00", "other"), tags=("a",)))
    for key in TEXTS:
        await store.define_sensor(A, key, "number")
        await store.define_actuator(A, key)
    known = (await store.device(A)).sensors
    await store.write([Report(A, 1.0, 1.0, [(sensor.id, 1) for sensor in known])])
    for tag, expected in (*((tag, [A]) for tag in tags), ("a", ["\x00"]), ("b", []), ("\x00", [])):
        assert [each.device_id for each in await store.device_page(None, 5, tag=tag)] == expected
        assert [each.device_id for each in await store.targets([], tag=tag)] == expected
        latest = await store.latest_page(None, 100, 1.0, tag=tag)
        assert {each.device_id for each in latest} == {*expected} - {"\x00"}
    for text in TEXTS:
        latest = await store.latest_page(None, 5, 1.0, value_keys=[text, "not there"])
        assert [each.value_key for each in latest] == [text]
        (target,) = await store.targets([text, "not there"], device_ids=[A, "", "a"])
        assert target.actuators == {text: None}
    (target,) = await store.targets(TEXTS, device_ids=["\x00", ""])
    assert target.device_id == "\x00"
    assert await store.targets(TEXTS, device_ids=[]) == []


async def test_commands_have_any_ids(store: Store) -> None:
    await store.create_device(row())
    await store.create_device(row("\x00"))
    rows = [command(text, device_id="\x00") for text in TEXTS]
    assert await store.add([*rows, command("A of A")], 100) == [True] * (len(TEXTS) + 1)
    for text in TEXTS:
        assert [each.command_id for each in await store.commands_by_id([text])] == [text]
    found = await store.open_commands(["\x00", ""])
    assert [each.command_id for each in found] == TEXTS
    assert await store.open_commands([]) == []
