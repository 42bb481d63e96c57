"""Files and images for a device in MicroPython, put and got with what this package has for that."""

import hashlib
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from jsonrpc_iot import Client, InvalidParams, RpcError, connect
from jsonrpc_iot.services.files import get, put
from jsonrpc_iot.services.firmware import update
from jsonrpc_iot.services.firmware.signing import signed_text
from jsonrpc_iot.services.firmware.target import Image
from jsonrpc_iot.testing import virtual_serial_pair
from tests.ports import free_port
from tests.waiting import SECONDS

from .interpreter import PROGRAMS, command, output_of, started
from .lamp import WAYS, Way

pytestmark = [pytest.mark.firmware, pytest.mark.anyio]

KEY = "a key that both ends know"


class Board:
    """A device that is started again when it ends."""

    def __init__(self, way: Way, place: str, folder: Path, *key: str) -> None:
        command("micropython")  # without which the test is skipped, here and in no other thread
        self._arguments = (way, place, str(folder), *key)
        self.runs: list[str] = []
        """Which images it has run."""
        self._process: Any = None
        self._is_over = False

    @contextmanager
    def on(self) -> Iterator["Board"]:
        """Be on once, while the block runs."""
        with started(PROGRAMS / "storage.py", *self._arguments) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("runs "), line
            self.runs.append(line.removeprefix("runs ").strip())
            self._process = process
            yield self

    def cut(self) -> None:
        """Take its power away."""
        self._process.kill()

    def stay_on(self) -> None:
        """Be on again and again, until `end`."""
        while not self._is_over:
            with self.on():
                self._process.wait()

    def end(self) -> None:
        """End what `stay_on` does."""
        self._is_over = True
        self.cut()


@asynccontextmanager
async def place_for(way: Way) -> AsyncIterator[tuple[str, str]]:
    """Where a device is to be, and the URL of it."""
    if way == "uart":
        async with virtual_serial_pair(paths=True) as line:
            yield line.second, f"uart://{line.first}"
    else:
        port = str(free_port())
        yield port, f"{way}://127.0.0.1:{port}"


@asynccontextmanager
async def connected(way: Way, folder: Path) -> AsyncIterator[tuple[Client, Board]]:
    with anyio.fail_after(2 * SECONDS):
        async with place_for(way) as (place, url):
            with Board(way, place, folder).on() as board:
                async with connect(url, timeout=SECONDS) as client:
                    yield client, board


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of this machine."""
    path = tmp_path / "source.bin"
    path.write_bytes(random.Random(1).randbytes(20_000))
    return path


@pytest.mark.parametrize("way", WAYS)
async def test_a_file_there_and_back(way: Way, tmp_path: Path, source: Path) -> None:
    copy = tmp_path / "copy.bin"
    async with connected(way, tmp_path) as (client, _):
        info = await put(client, source, "pictures/logo.bin")
        files = [each async for each in client.stream("files.list")]
        assert files == [{"name": "pictures/logo.bin", "size": info.size}]
        assert await client.call("files.stat", ["pictures/logo.bin"]) == {
            "name": "pictures/logo.bin",
            "size": info.size,
            "sha256": info.sha256,
        }
        await get(client, "pictures/logo.bin", copy)
        assert copy.read_bytes() == source.read_bytes()
        assert (tmp_path / "files" / "pictures" / "logo.bin").read_bytes() == copy.read_bytes()
        await client.call("files.delete", ["pictures/logo.bin"])
        assert [each async for each in client.stream("files.list")] == []


async def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    async with connected("udp", tmp_path) as (client, _):
        await put(client, tmp_path / "empty")
        await get(client, "empty", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == b""


async def test_another_file_of_the_name_is_replaced_on_request(
    tmp_path: Path, source: Path
) -> None:
    (tmp_path / "other").write_bytes(b"other")
    async with connected("tcp", tmp_path) as (client, _):
        await put(client, source, "name")
        await put(client, source, "name")
        with pytest.raises(RpcError) as refused:
            await put(client, tmp_path / "other", "name")
        assert refused.value.code == 3002
        await put(client, tmp_path / "other", "name", replace=True)
        assert (tmp_path / "files" / "name").read_bytes() == b"other"


def begin(name: str, size: int = 1, sha256: str = "0" * 64) -> dict[str, object]:
    return {"name": name, "size": size, "sha256": sha256}


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("files.stat", ["no"], 3001),
        ("files.read", ["no", 0, 1], 3001),
        ("files.delete", ["no"], 3001),
        ("files.list", ["no"], 3001),
        ("files.begin", begin("../up"), 3004),
        ("files.begin", begin("/root"), 3004),
        ("files.begin", begin(".jsonrpc-iot/x"), 3004),
        ("files.begin", begin("a//b"), 3004),
        ("files.begin", begin("a:b"), 3004),
        ("files.begin", begin("a\0b"), 3004),
        ("files.begin", begin(""), 3004),
        ("files.begin", begin("x" * 500), 3004),
        ("files.begin", begin("there/below"), 3004),
        ("files.begin", begin("folder"), 3004),
        ("files.begin", begin("big", 1 << 50), 3003),
        ("files.begin", begin("x", -1), -32602),
        ("files.begin", begin("x", 1, "0"), -32602),
        ("files.write", ["none", 0, ""], -32602),
        ("files.write", [5, 0, ""], -32602),
        ("files.commit", ["none"], -32602),
        ("files.read", ["there", -1, 5], -32602),
        ("files.list", ["there"], 3001),
        ("files.list", ["none"], 3001),
    ],
)
async def test_what_is_refused(
    method: str, params: Any, code: int, tmp_path: Path, board_with_files: Client
) -> None:
    with pytest.raises(RpcError) as refused:
        await board_with_files.call(method, params)
    assert refused.value.code == code


@pytest.fixture(scope="module")
async def board_with_files(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    folder = tmp_path_factory.mktemp("board")
    (folder / "files" / "folder").mkdir(parents=True)
    (folder / "files" / "there").write_bytes(b"0123456789")
    async with place_for("udp") as (place, url):
        with Board("udp", place, folder).on():
            async with connect(url, timeout=SECONDS) as client:
                yield client


async def test_values_that_are_out_of_reach(board_with_files: Client) -> None:
    transfers: list[object] = [[1], {}, None, 5, "no"]
    for transfer in transfers:
        assert await board_with_files.call("files.abort", [transfer]) is None
    piece = await board_with_files.call("files.read", ["there", 1 << 70, 1 << 70])
    assert (piece["data"], piece["size"]) == ("", 10)
    piece = await board_with_files.call("files.read", ["there", 0, 1 << 70])
    assert piece["data"] == "MDEyMzQ1Njc4OQ=="


@pytest.mark.parametrize("offset", [10, (1 << 53) - 1, 1 << 62, 1 << 70])
async def test_nothing_is_beyond_the_end(offset: int, board_with_files: Client) -> None:
    piece = await board_with_files.call("files.read", ["there", offset, 5])
    assert piece["data"] == ""


async def test_steps_that_come_twice_or_too_early(board_with_files: Client) -> None:
    call = board_with_files.call
    data = b"0123456789"
    sha256 = hashlib.sha256(data).hexdigest()
    begun = await call("files.begin", begin("steps", 10, sha256))
    transfer = begun["transfer"]
    assert begun["offset"] == 0
    assert begun["chunk"] > 500
    assert await call("files.write", [transfer, 5, "NTY3ODk="]) == {"offset": 0}
    for _ in range(2):
        assert await call("files.write", [transfer, 0, "MDEyMzQ="]) == {"offset": 5}
    with pytest.raises(RpcError) as refused:
        await call("files.commit", [transfer])
    assert refused.value.data == {
        "path": "$.transfer",
        "message": "bytes are missing",
        "offset": 5,
        "size": 10,
    }
    assert await call("files.begin", begin("steps", 10, sha256)) == {**begun, "offset": 5}
    with pytest.raises(RpcError) as refused:
        await call("files.begin", begin("steps", 11))
    assert refused.value.code == 3005
    with pytest.raises(RpcError) as refused:
        await call("files.write", [transfer, 5, "NTY3ODlh"])
    assert refused.value.code == -32602
    with pytest.raises(RpcError) as refused:
        await call("files.write", [transfer, 5, "N"])
    assert refused.value.code == -32602
    assert await call("files.write", [transfer, 5, "NTY3ODk="]) == {"offset": 10}
    for _ in range(2):
        assert await call("files.commit", [transfer]) == {"sha256": sha256}
    assert await call("files.read", ["steps", 3, 4]) == {
        "data": "MzQ1Ng==",
        "size": 10,
        "sha256": sha256,
    }
    assert (await call("files.read", ["steps", 10, 4]))["data"] == ""
    done = await call("files.begin", begin("steps", 10, sha256))
    assert done == {"transfer": None, "offset": 10}


async def test_what_is_not_as_announced_is_forgotten(board_with_files: Client) -> None:
    call = board_with_files.call
    begun = await call("files.begin", begin("wrong", 1))
    await call("files.write", [begun["transfer"], 0, "MA=="])
    with pytest.raises(RpcError) as refused:
        await call("files.commit", [begun["transfer"]])
    assert refused.value.code == 3101
    assert (await call("files.begin", begin("wrong", 1)))["offset"] == 0


@pytest.mark.parametrize("way", ["udp", "uart"])
async def test_a_file_goes_on_after_the_power_was_away(
    way: Way, tmp_path: Path, source: Path
) -> None:
    cuts, heard = [0.3, 0.7], list[int]()
    with anyio.fail_after(2 * SECONDS):
        async with place_for(way) as (place, url), anyio.create_task_group() as tasks:
            board = Board(way, place, tmp_path)

            def note(there: int, size: int) -> None:
                heard.append(there)
                if cuts and there > cuts[0] * size:
                    del cuts[0]
                    board.cut()

            tasks.start_soon(anyio.to_thread.run_sync, board.stay_on)
            try:
                async with connect(url, timeout=2, reconnect=True, extensions=True) as client:
                    await put(client, source, "logo.bin", progress=note)
            finally:
                board.end()
    assert len(board.runs) == 3
    assert heard == sorted(heard)
    assert (tmp_path / "files" / "logo.bin").read_bytes() == source.read_bytes()


# ---- Images


@asynccontextmanager
async def updated(folder: Path, *key: str) -> AsyncIterator[tuple[Client, Board]]:
    """A device that restarts when it wants to."""
    with anyio.fail_after(2 * SECONDS):
        async with place_for("udp") as (place, url), anyio.create_task_group() as tasks:
            board = Board("udp", place, folder, *key)
            tasks.start_soon(anyio.to_thread.run_sync, board.stay_on)
            try:
                async with connect(url, timeout=2, reconnect=True, extensions=True) as client:
                    yield client, board
            finally:
                board.end()


def image_of(source: Path, version: str) -> Image:
    data = source.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    return Image(version=version, target="lamp-2", size=len(data), sha256=sha256)


async def test_an_image_that_is_confirmed_stays(tmp_path: Path, source: Path) -> None:
    signature = hashlib.sha256(KEY.encode() + signed_text(image_of(source, "1.1.0"))).digest() * 2
    async with updated(tmp_path, KEY) as (client, board):
        status = await update(
            client, source, "1.1.0", target="lamp-2", signature=signature, confirm=True
        )
    assert (status.version, status.state, status.previous) == ("1.1.0", "confirmed", "1.0.0")
    assert board.runs[0] == "None"
    assert Path(board.runs[1]).read_bytes() == source.read_bytes()


async def test_an_image_that_nobody_confirms_goes(tmp_path: Path, source: Path) -> None:
    async with updated(tmp_path) as (client, board):
        await update(client, source, "1.1.0")
        states = list[tuple[str, str]]()
        while states[-1:] != [("1.0.0", "confirmed")]:
            await anyio.sleep(0.05)
            try:
                status = await client.call("firmware.status", timeout=0.5)
            except TimeoutError:
                continue
            if states[-1:] != [(status["version"], status["state"])]:
                states.append((status["version"], status["state"]))
    assert states[-2:] == [("1.1.0", "testing"), ("1.0.0", "confirmed")]
    assert [run != "None" for run in board.runs] == [False, True, False]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"target": "lamp-1", "signature": b"s" * 64}, 3103),
        ({"signature": b"s" * 64}, 3102),
        ({}, 3102),
    ],
)
async def test_images_that_are_refused(
    options: dict[str, Any], code: int, tmp_path: Path, source: Path
) -> None:
    async with updated(tmp_path, KEY) as (client, _):
        with pytest.raises(RpcError) as refused:
            await update(client, source, "1.1.0", **options)
        assert refused.value.code == code
        with pytest.raises(InvalidParams):
            await client.call("firmware.begin", {"size": 0, "sha256": "0" * 64, "version": "2"})


async def test_an_image_that_is_too_large(tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(100_001))
    async with updated(tmp_path) as (client, _):
        with pytest.raises(RpcError) as refused:
            await update(client, large, "1.1.0")
        assert refused.value.code == 3003


def test_the_power_goes_at_every_step(tmp_path: Path) -> None:
    """The old file or image is there, or the new one, never half of one; and the rest works out."""
    steps = [int(line) for line in output_of(PROGRAMS / "cuts.py", str(tmp_path)).split()]
    files, images = steps
    assert files >= 9
    assert images >= 20
