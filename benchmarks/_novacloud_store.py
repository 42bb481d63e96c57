"""What the store of the platform takes, measured without a platform, in processes of their own.

`python -m benchmarks._novacloud_store TASK FILE AMOUNT…` prints figures, for one of these tasks:

- `disk`: store so many groups of a second; bytes written for a value, where each of 5,000 sensors
  has one in each group, and where 25,000 take turns.
- `fill`: store so many values of one sensor, and texts of 50 kB; seconds of queries over them.
- `month`: days of values, with retention that cleans so many times a day; the largest size of the
  file from the tenth day on over the smallest.
"""

import random
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from time import perf_counter

import anyio

from jsonrpc_iot.novacloud import SqliteStore
from jsonrpc_iot.novacloud.errors import UnknownDevice
from jsonrpc_iot.novacloud.store.query import Query
from jsonrpc_iot.novacloud.store.registry import DeviceRow
from jsonrpc_iot.novacloud.store.telemetry_log import Report, Retention

from ._novacloud import device_id

SENSORS = 5000
BIG, TEXT = "big", "text"
"""The sensors that `fill` has values for."""

BEGIN = 1_790_000_000.0
TEXTS = 3000
_TEXT = "x" * 50_000
_DAY = 86_400
_REST_SECONDS = 2.0


def in_store(task: str, db: Path, *amounts: int) -> list[float]:
    """Run a task in a process of its own; returns its figures."""
    command = [sys.executable, "-m", "benchmarks._novacloud_store", task, str(db)]
    command += map(str, amounts)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [float(figure) for figure in done.stdout.split()]


async def _disk(db: Path, groups: int) -> list[float]:
    figures = []
    many = min(SENSORS, 20 * groups)
    for turns in (1, 5):
        async with SqliteStore(db.with_name(f"{turns}.db")) as store:
            ids = await _sensors(store, many * turns)
            before = _written()
            for group in range(groups):
                await store.write(_reports(ids[group % turns :: turns], BEGIN + group, 1.0))
            await store.keeper.merge()
            figures.append((_written() - before) / groups / many)
    return figures


async def _fill(db: Path, rows: int) -> list[float]:
    async with SqliteStore(db, durable=False) as store:
        big = (await store.define_sensor(device_id(0), BIG, "number")).id
        text = (await store.define_sensor(device_id(0), TEXT, "json")).id
        for first in range(0, rows, 10_000):
            await store.write(_reports([big] * min(10_000, rows - first), BEGIN + first, 10_000.0))
        for first in range(0, max(1, TEXTS * rows // 2_000_000), 50):
            times = [BEGIN + first + number for number in range(50)]
            await store.write([Report(device_id(0), at, at, [(text, [_TEXT])]) for at in times])
        await store.keeper.merge()
        await anyio.sleep(_REST_SECONDS)  # for what is still being done in the background
        starts = [BEGIN + random.randrange(max(1, rows - 1000)) for _ in range(100)]
        thousand = [await _seconds(store, Query(sensor=big, start=at)) for at in starts]
        hourly = Query(sensor=big, limit=100_000, interval=3600.0)
        return [median(thousand), median([await _seconds(store, hourly) for _ in range(3)])]


async def _month(db: Path, days: int, cleanings: int) -> list[float]:
    clock = [BEGIN]
    sizes = []
    async with SqliteStore(db, durable=False, clock=lambda: clock[0]) as store:
        ids = await _sensors(store, 500)
        await store.set_retention(Retention(7.0))
        for day in range(days):
            for hour in range(0, 24, 24 // cleanings):
                clock[0] = BEGIN + day * _DAY + hour * 3600
                some = random.sample(ids, random.randrange(100, 500))  # not all days are alike
                for part in range(5):
                    await store.write(_reports(some, clock[0] + 600 * part, 600.0))
                await store.keeper.merge()
                await store.keeper.clean()
            sizes.append(_pages(db))
    return [max(sizes[10:]) / min(sizes[10:])]


def _pages(db: Path) -> int:
    """How long the file is, once its log has been moved into it."""
    with closing(sqlite3.connect(db)) as reader:
        (count,) = reader.execute("PRAGMA page_count").fetchone()
    return int(count)


def _reports(sensors: Sequence[int], begin: float, seconds: float) -> list[Report]:
    """Values spread over some seconds, late by up to 50 ms."""
    step = seconds / len(sensors)
    return [
        Report(
            device_id(0), at, at + 0.05 * random.random(), [(sensor, random.randrange(9999) / 8)]
        )
        for number, sensor in enumerate(sensors)
        for at in (begin + number * step,)
    ]


async def _sensors(store: SqliteStore, count: int) -> list[int]:
    try:
        await store.device(device_id(0))
    except UnknownDevice:
        row = DeviceRow(device_id=device_id(0), name="many", key_hash=bytes(32))
        await store.create_device(row)
    ids: list[int] = []

    async def define(number: int) -> None:
        ids.append((await store.define_sensor(device_id(0), f"v{number}", "number")).id)

    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(define, number)
    return sorted(ids)


async def _seconds(store: SqliteStore, query: Query) -> float:
    start = perf_counter()
    count = 0
    async for _ in store.points(query):
        count += 1
    taken = perf_counter() - start
    if not count:
        raise AssertionError("no points")
    return taken


def _written() -> int:
    """Bytes that this process has had written to disks; 0 where that is not counted."""
    path = Path("/proc/self/io")
    if not path.exists():
        return 0
    lines = dict(line.split(": ") for line in path.read_text().splitlines())
    return int(lines["write_bytes"])


def _main(task: str, db: str, *amounts: str) -> None:
    tasks: dict[str, Callable[..., Awaitable[Iterable[float]]]] = {
        "disk": _disk,
        "fill": _fill,
        "month": _month,
    }
    print(*anyio.run(tasks[task], Path(db), *map(int, amounts)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
