"""How much of a disk an outbox takes, and what it does on one that others have filled."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from jsonrpc_iot.novacloud import Outbox
from tests._system import require_command

from .full_disk import BEFORE, WHILE

pytestmark = pytest.mark.anyio

_SMALL = 100_000
_LOG = 256 << 10


def taken(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


async def test_many_small_commits_do_not_make_the_log_long(tmp_path: Path) -> None:
    async with Outbox(tmp_path / "o", max_bytes=_SMALL, max_rows=100) as outbox:
        most = 0
        for _ in range(400):
            seq = await outbox.put("data", 1, b'{"n":1}')
            assert seq is not None
            outbox.forget(seq)
            most = max(most, taken(tmp_path))
        assert most < 2 * _SMALL + _LOG


async def test_large_rows_at_once_are_not_all_in_the_file_before_some_are_dropped(
    tmp_path: Path,
) -> None:
    async with Outbox(tmp_path / "o", max_bytes=_SMALL) as outbox:
        given: list[int | None] = []

        async def put() -> None:
            given.append(await outbox.put("data", 1, 20_000 * b"x"))

        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(put)
        assert sorted(filter(None, given)) == [*range(1, 101)]
        assert (outbox.rows, outbox.dropped) == (4, 96)
        assert taken(tmp_path) < 3 * _SMALL + _LOG


async def test_what_waits_at_the_end_is_committed_in_as_many_groups_as_it_takes(
    tmp_path: Path,
) -> None:
    async with anyio.create_task_group() as tasks:
        async with Outbox(tmp_path / "o", max_bytes=_SMALL) as outbox:
            for _ in range(10):
                tasks.start_soon(outbox.put, "data", 1, 30_000 * b"x")
            await anyio.wait_all_tasks_blocked()
        assert outbox.last_seq == 10


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a test mount a small disk")
@pytest.mark.parametrize("when_full", ["drop_oldest", "drop_newest", "block"])
async def test_a_disk_that_others_fill(when_full: str) -> None:
    seen = await _on_a_full_disk(when_full)

    first, last = [*range(BEFORE)], [*range(BEFORE + WHILE)][-BEFORE:]
    assert seen["full"] == (last if when_full == "drop_oldest" else first)
    assert seen["dropped"] == (0 if when_full == "block" else WHILE)
    left = [*seen["full"][-2:], 1000]
    assert seen["drained"] == seen["reopened"] == left  # what is sent makes room for more
    assert [number for number in seen["freed"] if number != 1001] == [*left, *range(2000, 2010)]


async def _on_a_full_disk(when_full: str) -> dict[str, Any]:
    unshare = require_command("unshare")
    arguments = [sys.executable, "-m", "tests.novacloud.device.full_disk", when_full]
    if (await anyio.run_process([unshare, "-rm", "true"], check=False)).returncode:
        pytest.skip("this system lets nobody but root mount a disk")
    done = await anyio.run_process(
        [unshare, "-rm", *arguments], check=False, stderr=subprocess.STDOUT
    )
    output = done.stdout.decode()
    assert done.returncode == 0, output
    seen: dict[str, Any] = json.loads(output.splitlines()[-1])
    return seen
