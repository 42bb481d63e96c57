"""What a value costs on the disk, and how long a backup takes.

`python -m benchmarks._novacloud_store FILE GROUPS` stores groups of one value of each of 5,000
sensors, as fast as it can, and prints the bytes written for each value and the seconds of a backup.
"""

import sys
from pathlib import Path
from time import perf_counter

import anyio

from jsonrpc_iot.novacloud import SqliteStore
from jsonrpc_iot.novacloud.store.store import DeviceRow, Report

SENSORS = 5000
_DEVICE = "00000000-0000-4000-8000-000000000001"
_BEGIN = 1_790_000_000.0


async def _measure(db: Path, groups: int) -> None:
    async with SqliteStore(db) as store:
        await store.create_device(DeviceRow(device_id=_DEVICE, name="many", key_hash=bytes(32)))
        sensors: list[int] = []

        async def define(number: int) -> None:
            sensors.append((await store.define_sensor(_DEVICE, f"v{number}", "number")).id)

        async with anyio.create_task_group() as tasks:
            for number in range(SENSORS):
                tasks.start_soon(define, number)
        before = _written()
        for group in range(groups):
            await store.write(
                [
                    Report(_DEVICE, at, at + 0.05, [(sensor, group + 0.1)])
                    for number, sensor in enumerate(sensors)
                    for at in (_BEGIN + group + number / SENSORS,)
                ]
            )
        await store.keeper.merge()
        copied = _written()
        start = perf_counter()
        await store.backup(f"{db}.copy")
        seconds = perf_counter() - start
        copied = _written() - copied
    print((_written() - copied - before) / groups / SENSORS, seconds)


def _written() -> int:
    """Bytes that this process has had written to disks; 0 where that is not counted."""
    path = Path("/proc/self/io")
    if not path.exists():
        return 0
    lines = dict(line.split(": ") for line in path.read_text().splitlines())
    return int(lines["write_bytes"])


if __name__ == "__main__":
    anyio.run(_measure, Path(sys.argv[1]), int(sys.argv[2]))
