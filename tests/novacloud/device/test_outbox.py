"""The outbox: what it keeps, what it drops, and what it does about bad files and full disks."""

import logging
import sqlite3
import sys
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import MessageTooLarge, UsageError
from jsonrpc_iot.novacloud import Outbox, OutboxFailed
from tests.waiting import SECONDS, eventually

pytestmark = pytest.mark.anyio

BOTH = pytest.mark.parametrize("in_memory", [False, True])


def place(folder: Path, in_memory: bool) -> Path | None:
    return None if in_memory else folder / "outbox.db"


async def seqs(outbox: Outbox) -> list[int]:
    return [row.seq for row in await outbox.read(0, 1000)]


@BOTH
async def test_rows_keep_their_order_and_times(tmp_path: Path, in_memory: bool) -> None:
    async with Outbox(place(tmp_path, in_memory)) as outbox:
        assert await outbox.put("data", 1678886400, b'{"a":1}') == 1
        assert await outbox.put("status", 1.25, b'{"b":2}') == 2

        rows = await outbox.read(0)

        assert rows == [(1, "data", 1678886400, b'{"a":1}'), (2, "status", 1.25, b'{"b":2}')]
        assert type(rows[0].timestamp) is int
        assert (outbox.rows, outbox.last_seq) == (2, 2)
        assert await outbox.read(1) == rows[1:]


async def test_rows_survive_and_numbers_go_on(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    async with Outbox(path) as outbox:
        id = outbox.id
        for _ in range(3):
            await outbox.put("data", 1, b"{}")
        outbox.forget(2)
    async with Outbox(path) as outbox:
        assert (outbox.id, outbox.rows, await seqs(outbox)) == (id, 1, [3])
        outbox.forget(3)
    async with Outbox(path) as outbox:
        assert outbox.rows == 0
        assert await outbox.put("data", 1, b"{}") == 4


async def test_deletions_cost_no_commits_of_their_own(tmp_path: Path) -> None:
    async with Outbox(tmp_path / "o") as outbox:
        assert outbox._file is not None
        statements: list[str] = []
        outbox._file._database.set_trace_callback(statements.append)
        for number in range(1, 21):
            await outbox.put("data", number, b"{}")
            outbox.forget(number)
            assert (outbox.rows, await seqs(outbox)) == (0, [])
        outbox._file._database.set_trace_callback(None)
        assert statements.count("COMMIT") == 20
    async with Outbox(tmp_path / "o") as outbox:
        assert outbox.rows == 0


async def test_deletions_do_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jsonrpc_iot.novacloud.device.outbox._FORGET_SECONDS", 0.01)
    async with Outbox(tmp_path / "o") as outbox:
        file = outbox._file
        assert file is not None
        for seq in (1, 2):  # the second time as well
            await outbox.put("data", 1, b"{}")
            assert file.totals.rows == 1
            outbox.forget(seq)
            await eventually(lambda: file.totals.rows == 0)


@pytest.mark.skipif(sys.platform != "linux", reason="counts of bytes are Linux's")
async def test_a_report_writes_little_to_the_disk(tmp_path: Path) -> None:
    def written() -> int:
        counts = Path("/proc/self/io").read_text(encoding="ascii")
        return int(counts.split("wchar: ")[1].split()[0])

    async with Outbox(tmp_path / "o") as outbox:
        await outbox.put("data", 1, b"{}")
        before = written()
        for seq in range(2, 52):
            await outbox.put("data", 1, 50 * b"x")
            outbox.forget(seq)
        assert written() - before < 50 * 3000


@BOTH
async def test_the_oldest_make_room(tmp_path: Path, in_memory: bool) -> None:
    async with Outbox(place(tmp_path, in_memory), max_rows=3) as outbox:
        for _ in range(5):
            await outbox.put("data", 1, b"{}")
        assert (await seqs(outbox), outbox.dropped) == ([3, 4, 5], 2)


async def test_bytes_are_bounded_too(tmp_path: Path) -> None:
    async with Outbox(tmp_path / "o", max_bytes=1000) as outbox:
        for _ in range(50):
            await outbox.put("data", 1, b'"' + 98 * b"x" + b'"')
        assert (await seqs(outbox))[-1] == 50
        assert 500 < outbox.size <= 1000
        assert outbox.dropped == 50 - outbox.rows
        with pytest.raises(MessageTooLarge):
            await outbox.put("data", 1, 1000 * b"x")


async def test_what_was_dropped_is_counted_over_restarts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for expected in (1, 3):
        async with Outbox(tmp_path / "o", max_rows=1) as outbox:
            for _ in range(2):
                await outbox.put("data", 1, b"{}")
            assert outbox.dropped == expected
    assert "dropped" in caplog.text


@BOTH
async def test_the_newest_may_be_dropped(tmp_path: Path, in_memory: bool) -> None:
    path = place(tmp_path, in_memory)
    async with Outbox(path, max_rows=2, when_full="drop_newest") as outbox:
        given = [await outbox.put("data", 1, b"{}") for _ in range(4)]
        assert given == [1, 2, None, None]
        assert (await seqs(outbox), outbox.dropped) == ([1, 2], 2)
        outbox.forget(1)
        assert await outbox.put("data", 1, b"{}") == 3


@BOTH
async def test_reports_may_wait_for_room(tmp_path: Path, in_memory: bool) -> None:
    path = place(tmp_path, in_memory)
    async with Outbox(path, max_rows=2, when_full="block") as outbox:
        given: list[int | None] = []

        async def put(number: int) -> None:
            given.append(await outbox.put("data", number, b"{}"))

        for number in range(2):
            await put(number)
        with anyio.fail_after(SECONDS):
            async with anyio.create_task_group() as tasks:
                for number in range(2, 5):
                    tasks.start_soon(put, number)
                await anyio.wait_all_tasks_blocked()
                assert given == [1, 2]
                outbox.forget(1)
                await outbox.changed(2)
                assert outbox.rows == 2
                outbox.forget(3)
        assert sorted(filter(None, given)) == [1, 2, 3, 4, 5]
        assert (await seqs(outbox), outbox.dropped) == ([4, 5], 0)


async def test_a_report_that_stops_waiting_is_not_made(tmp_path: Path) -> None:
    async with Outbox(None, max_rows=1, when_full="block") as outbox:
        await outbox.put("data", 1, b"{}")
        with anyio.move_on_after(0.02) as scope:
            await outbox.put("data", 2, b"{}")
        assert scope.cancelled_caught
        outbox.forget(1)
        assert await outbox.put("data", 3, b"{}") == 2
        assert [row.timestamp for row in await outbox.read(0)] == [3]


async def test_a_report_that_still_waits_at_the_end_fails(tmp_path: Path) -> None:
    failures: list[OutboxFailed] = []
    async with (
        anyio.create_task_group() as tasks,
        Outbox(tmp_path / "o", max_rows=1, when_full="block") as outbox,
    ):
        await outbox.put("data", 1, b"{}")

        async def put() -> None:
            try:
                await outbox.put("data", 2, b"{}")
            except OutboxFailed as error:
                failures.append(error)

        tasks.start_soon(put)
        await anyio.wait_all_tasks_blocked()
    assert len(failures) == 1
    with pytest.raises(OutboxFailed, match="closed"):
        await outbox.put("data", 2, b"{}")


async def test_many_at_once(tmp_path: Path) -> None:
    async with Outbox(tmp_path / "o") as outbox:
        given: dict[int, int | None] = {}

        async def put(number: int) -> None:
            given[number] = await outbox.put("data", number, b"{}")

        async with anyio.create_task_group() as tasks:
            for number in range(1200):
                tasks.start_soon(put, number)
        rows = {row.seq: row.timestamp for row in await outbox.read(0, 2000)}
        assert rows == {seq: number for number, seq in given.items()}
        assert len(rows) == 1200


@pytest.mark.parametrize("where", ["head", "page", "nonsense"])
async def test_a_damaged_file_is_set_aside(
    tmp_path: Path, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "outbox.db"
    async with Outbox(path) as outbox:
        old = outbox.id
        for _ in range(500):
            await outbox.put("data", 1, 50 * b"x")
    content = bytearray(path.read_bytes())
    if where == "nonsense":
        content = bytearray(b"not a database" * 100)
    else:
        start = 0 if where == "head" else 4096
        content[start : start + 200] = 200 * b"\xff"
    path.write_bytes(content)

    async with Outbox(path) as outbox:
        assert outbox.id != old  # the numbers begin again
        assert await outbox.put("data", 1, b"{}") == 1
        assert outbox.replaced == 1

    (record,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert "damaged" in record.getMessage()
    assert (tmp_path / "outbox.db.corrupt").read_bytes() == content


async def test_damage_while_it_is_open(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "outbox.db"
    async with Outbox(path) as outbox:
        id = outbox.id
        for _ in range(100):
            await outbox.put("data", 1, b"{}")
        assert outbox._file is not None
        outbox._file._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        outbox._file._database.execute("PRAGMA cache_size = 0")
        outbox._file._database.execute("PRAGMA shrink_memory")
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(8192 * b"\xff")

        given = await outbox.put("data", 2, b"{}")

        # A platform that has the old rows must not take the new one for one of them.
        assert (given, outbox.id, await seqs(outbox)) == (101, id, [101])
        assert (outbox.replaced, outbox.dropped) == (1, 100)
    assert "damaged" in caplog.text
    async with Outbox(path) as outbox:
        assert (outbox.id, await seqs(outbox)) == (id, [101])


async def test_what_is_not_committed_yet_is_not_shown(tmp_path: Path) -> None:
    async with Outbox(tmp_path / "o", max_rows=2) as outbox:
        await outbox.put("data", 1, b"{}")
        await outbox.put("data", 2, b"{}")
        shown: list[tuple[int, ...]] = []

        def look(_: str) -> None:  # before each statement, as a reader in another thread may
            shown.append((outbox.rows, outbox.size, outbox.last_seq, outbox.dropped))

        before = outbox.rows, outbox.size, outbox.last_seq, outbox.dropped
        assert outbox._file is not None
        outbox._file._database.set_trace_callback(look)
        await outbox.put("data", 3, b"[1,2,3]")
        outbox._file._database.set_trace_callback(None)
        assert len(shown) > 3
        assert set(shown) == {before}
        assert (outbox.rows, outbox.last_seq, outbox.dropped) == (2, 3, 1)


async def test_a_used_quota(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    payload = 1000 * b"x"
    async with Outbox(path, quota=1 << 16) as outbox:
        for number in range(1, 201):
            assert await outbox.put("data", number, payload) == number
        kept = await seqs(outbox)
        assert kept == list(range(201 - len(kept), 201))
        assert len(kept) == outbox.rows > 20
        assert outbox.dropped == 200 - len(kept)
        with pytest.raises(OutboxFailed, match="no space"):
            await outbox.put("data", 1, 100 * payload)  # which no row can make way for
        assert await seqs(outbox) == kept

        outbox.forget(200)
        assert await outbox.put("data", 1, payload) == 201
        assert outbox.rows == 1
    assert path.stat().st_size <= 1 << 16
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


async def test_two_cannot_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jsonrpc_iot.novacloud.device.outbox_file._LOCK_SECONDS", 0.1)
    async with Outbox(tmp_path / "o") as outbox:
        await outbox.put("data", 1, b"{}")
        with pytest.raises(OutboxFailed, match="another process"):
            async with Outbox(tmp_path / "o"):
                pass
        assert await seqs(outbox) == [1]
    assert not (tmp_path / "o.corrupt").exists()


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutboxFailed, match="cannot be opened"):
        async with Outbox(tmp_path / "none" / "o"):
            pass


def test_bounds_that_make_no_sense() -> None:
    with pytest.raises(UsageError):
        Outbox(max_rows=0)
    with pytest.raises(UsageError, match="drop_oldest"):
        Outbox(when_full="explode")  # type: ignore[arg-type]
