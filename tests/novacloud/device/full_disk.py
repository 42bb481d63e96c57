"""An outbox on a disk that others fill: `python -m tests.novacloud.device.full_disk WHEN_FULL`.

It mounts a small disk, so it needs a mount namespace of its own, as `unshare -rm` makes one. What
became of the rows is printed as JSON.
"""

import json
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio

from jsonrpc_iot.novacloud import Outbox, OutboxFailed

BEFORE = 30
WHILE = 150
_ROW = 5000 * b"x"


async def numbers(outbox: Outbox) -> list[float]:
    """The timestamps of all rows."""
    found: list[float] = []
    after = 0
    while rows := await outbox.read(after, 1000):
        found += [row.timestamp for row in rows]
        after = rows[-1].seq
    return found


def fill(hog: Path) -> None:
    """Take all that is left of the disk."""
    with hog.open("wb", buffering=0) as file:
        for size in (1 << 14, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))


async def scenario(folder: Path, when_full: Any) -> dict[str, Any]:
    """Put rows before, while and after the disk is full."""
    path, hog = folder / "outbox.db", folder / "hog"
    async with Outbox(path, when_full=when_full) as outbox:
        for number in range(BEFORE):
            await outbox.put("data", number, _ROW)
        fill(hog)
        for number in range(BEFORE, BEFORE + WHILE):
            with anyio.move_on_after(0.5) as patience:
                await outbox.put("data", number, _ROW)
            if patience.cancelled_caught:  # it waits for room
                break
        full, dropped = await numbers(outbox), outbox.dropped
        outbox.forget(outbox.last_seq - 2)
        with anyio.fail_after(10):
            await outbox.put("data", 1000, _ROW)
        drained = await numbers(outbox)
    async with Outbox(path, when_full=when_full) as outbox:
        reopened = await numbers(outbox)
        with suppress(OutboxFailed):
            fill(hog.with_name("more"))
            with anyio.move_on_after(0.5):
                await outbox.put("data", 1001, _ROW)
        hog.unlink()
        with anyio.fail_after(10):
            for number in range(2000, 2010):
                await outbox.put("data", number, _ROW)
        freed = await numbers(outbox)
    return {
        "full": full,
        "dropped": dropped,
        "drained": drained,
        "reopened": reopened,
        "freed": freed,
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=True)
        try:
            sys.stdout.write(json.dumps(anyio.run(scenario, Path(place), sys.argv[1])))
        finally:
            subprocess.run(["umount", place], check=True)
