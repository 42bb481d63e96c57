"""`put` and `get` over links that are good, small, bad, and cut."""

from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from jsonrpc_iot import CallTimeout, ChannelClosed, Gateway, connect, connect_sync, serve
from jsonrpc_iot.services.files import FileExists, NoSuchFile, NotAllowed, WrongHash, get, put
from jsonrpc_iot.testing import Faults, LossyLink, served
from tests.waiting import eventually

from .device import DATA, client_of, device

pytestmark = pytest.mark.anyio


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    (tmp_path / "here/file").write_bytes(DATA)
    return tmp_path / "here"


@pytest.mark.parametrize(
    "link",
    [
        {},
        {"max_message": 220, "reliable": False},
        {"max_message": 220, "reliable": False, "codec": "msgpack"},
        {"max_message": 245, "in_flight": 1, "reliable": False},
        {"max_message": 4096},
    ],
    ids=str,
)
async def test_a_file_goes_there_and_back(root: Path, here: Path, link: dict[str, Any]) -> None:
    steps: list[tuple[int, int]] = []

    def note(there: int, size: int) -> None:
        steps.append((there, size))

    async with client_of(device(root), **link) as client:
        info = await put(client, here / "file", "a/b", progress=note)
        assert (root / "a/b").read_bytes() == DATA
        assert steps == sorted(steps)
        assert steps[0] == (0, len(DATA))
        assert steps[-1] == (len(DATA), len(DATA))
        assert (info.name, info.size) == ("a/b", len(DATA))
        steps.clear()
        assert (await get(client, "a/b", here / "copy", progress=note)).sha256 == info.sha256
        assert (here / "copy").read_bytes() == DATA
        assert steps == sorted(steps)
        assert steps[-1] == (len(DATA), len(DATA))
        steps.clear()
        await put(client, here / "file", "a/b", progress=note)
        await get(client, "a/b", here / "copy", progress=note)
        assert steps == [(len(DATA), len(DATA))] * 2, "nothing was left to do"
    assert sorted(path.name for path in here.iterdir()) == ["copy", "file"]


@pytest.mark.parametrize("size", [0, 1])
async def test_small_files(root: Path, here: Path, size: int) -> None:
    (here / "file").write_bytes(DATA[:size])
    async with client_of(device(root)) as client:
        await put(client, here / "file")
        await get(client, "file", here / "copy")
        assert (here / "copy").read_bytes() == (root / "file").read_bytes() == DATA[:size]


@pytest.mark.parametrize(
    "faults",
    [
        Faults(drop=0.1, delay_seconds=0.001),
        Faults(reorder=0.3, duplicate=0.1, delay=0.2, delay_seconds=0.001),
        Faults(drop=0.2, reorder=0.1, duplicate=0.1, delay_seconds=0.001),
    ],
    ids=["lost", "overtaken", "all"],
)
async def test_a_bad_link(root: Path, here: Path, faults: Faults) -> None:
    link = LossyLink(faults, seed=5, max_message=500, retry_seconds=0.02)
    async with served(device(root), link.client, link.server) as ends:
        await put(ends.client, here / "file")
        assert (root / "file").read_bytes() == DATA
        await get(ends.client, "file", here / "copy")
        assert (here / "copy").read_bytes() == DATA


async def test_a_dead_link_is_given_up(root: Path, here: Path) -> None:
    link = LossyLink(Faults(), max_message=500, retry_seconds=0.01)
    link.freeze()
    async with connect(link.client, timeout=0.05) as client:
        with pytest.raises(CallTimeout):
            await put(client, here / "file", patience=0.2)


async def test_a_cut_ends_it_and_the_next_one_goes_on(root: Path, here: Path) -> None:
    dispatcher = device(root)

    def cut_at(half: int, link: LossyLink, there: int, size: int) -> None:
        if there >= half:
            link.cut()

    half = len(DATA) // 2
    steps: list[int] = []

    def note(there: int, size: int) -> None:
        steps.append(there)

    for run in (partial(put, path=here / "file"), partial(get, name="file", path=here / "copy")):
        steps.clear()
        link = LossyLink(Faults(), max_message=220, reliable=True, in_flight=1)
        async with served(dispatcher, link.client, link.server) as ends:
            with pytest.raises(ChannelClosed):
                await run(ends.client, progress=partial(cut_at, half, link))
        async with client_of(dispatcher, max_message=220) as client:
            await run(client, progress=note)
        assert half <= steps[0] < len(DATA)
    assert (here / "copy").read_bytes() == DATA


async def test_the_device_restarts_in_the_middle(root: Path, here: Path) -> None:
    steps: list[int] = []
    async with anyio.create_task_group() as tasks:
        half_done = anyio.Event()

        def note(there: int, size: int) -> None:
            steps.append(there)
            if there > size // 2:
                half_done.set()

        async with serve(device(root, sync_seconds=0), "tcp://127.0.0.1:0?max=500") as server:
            (url,) = server.urls

            async def send() -> None:
                async with connect([url], timeout=5) as client:
                    await put(client, here / "file", progress=note)

            tasks.start_soon(send)
            with anyio.fail_after(20):
                await half_done.wait()
        before = steps[-1]
        async with serve(device(root), url):
            await eventually((root / "file").exists)
    assert steps.count(0) == 1
    assert before > len(DATA) // 2
    assert (root / "file").read_bytes() == DATA


async def test_a_file_that_changes_while_it_is_sent(root: Path, here: Path) -> None:
    def change(there: int, size: int) -> None:
        if there == 0:
            (here / "file").write_bytes(DATA[::-1])

    async with client_of(device(root)) as client:
        with pytest.raises(WrongHash):
            await put(client, here / "file", progress=change)
    assert not (root / "file").exists()


async def test_a_file_that_gets_shorter_while_it_is_sent(root: Path, here: Path) -> None:
    def change(there: int, size: int) -> None:
        if there == 0:
            (here / "file").write_bytes(DATA[:100])

    async with client_of(device(root), max_message=500) as client:
        with pytest.raises(OSError, match="shorter"):
            await put(client, here / "file", progress=change)


async def test_a_file_that_changes_while_it_is_fetched(root: Path, here: Path) -> None:
    data = DATA * 250  # more than what is read of it at once
    (root / "file").write_bytes(data)
    changes = [data[::-1]]

    def change(there: int, size: int) -> None:
        if there > size // 8 and changes:
            (root / "file").write_bytes(changes.pop())

    async with client_of(device(root), max_message=20_000) as client:
        await get(client, "file", here / "copy", progress=change)
    assert (here / "copy").read_bytes() == data[::-1]


async def test_a_file_that_changed_since_it_was_fetched(root: Path, here: Path) -> None:
    async with client_of(device(root), max_message=500) as client:
        for data in (DATA, DATA[::-1], DATA[:100], DATA):
            (root / "file").write_bytes(data)
            await get(client, "file", here / "copy", replace=True)
            assert (here / "copy").read_bytes() == data


async def test_behind_a_gateway(root: Path, here: Path) -> None:
    gateway = Gateway()
    async with (
        serve(device(root), "memory://behind"),
        gateway,
        serve(gateway, "memory://before"),
        connect("memory://before") as client,
    ):
        gateway.add("lamp", "memory://behind")
        await put(client, here / "file", prefix="lamp")
        assert (root / "file").read_bytes() == DATA
        await get(client, "file", here / "copy", prefix="lamp")
    assert (here / "copy").read_bytes() == DATA


async def test_what_is_in_the_way(root: Path, here: Path) -> None:
    (root / "file").write_bytes(b"another")
    async with client_of(device(root)) as client:
        with pytest.raises(FileExists):
            await put(client, here / "file")
        with pytest.raises(FileExists):
            await get(client, "file", here / "file")
        assert (here / "file").read_bytes() == DATA
        await get(client, "file", here / "file", replace=True)
        assert (here / "file").read_bytes() == b"another"
        (here / "file").write_bytes(DATA)
        await put(client, here / "file", replace=True)
        assert (root / "file").read_bytes() == DATA
        with pytest.raises(NoSuchFile):
            await get(client, "nothing", here / "nothing")
        with pytest.raises(NotAllowed):
            await get(client, "../nothing")


def test_without_async(root: Path, here: Path) -> None:
    serving = serve(device(root), "tcp://127.0.0.1:0", grace=0)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serving) as server,
        connect_sync(server.urls[0]) as client,
    ):
        info = client.run(put, here / "file", replace=True)
        assert (info.name, info.size) == ("file", len(DATA))
        client.run(get, "file", here / "copy")
        with pytest.raises(NoSuchFile):
            client.run(get, "nothing")
    assert (here / "copy").read_bytes() == DATA
