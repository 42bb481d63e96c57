"""The methods of `files` as a caller without our `put` and `get` sees them."""

import errno
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec import Struct

from jsonrpc_iot import Client, Dispatcher, InvalidParams, RpcError, Unauthorized, UsageError
from jsonrpc_iot.services.files import Disk, FolderFiles
from jsonrpc_iot.services.files.interface import InUse
from jsonrpc_iot.services.files.transfer import Wanted
from jsonrpc_iot.services.files.transfers import Transfers

from .device import DATA, client_of, device, sha256, wanted

pytestmark = pytest.mark.anyio


class Failed(Struct):
    """An error of a call."""

    code: int = 0
    data: object = None


async def refusal(client: Client, method: str, params: Mapping[str, object]) -> Failed:
    with pytest.raises(RpcError) as refused:
        await client.call(method, params)
    return Failed(refused.value.code, refused.value.data)


async def test_a_file_comes_and_goes(tmp_path: Path) -> None:
    async with client_of(device(tmp_path)) as client:
        begun = await client.call("files.begin", wanted("a/b.bin", DATA))
        assert begun["offset"] == 0
        assert begun["chunk"] == 128 << 10
        assert begun["window"] == 8
        half = {"transfer": begun["transfer"], "offset": 0, "data": DATA[:6000]}
        assert await client.call("files.write", half) == {"offset": 6000}
        assert await client.call("files.write", half) == {"offset": 6000}, "it came twice"
        ahead = {"transfer": begun["transfer"], "offset": 9000, "data": DATA[9000:]}
        assert await client.call("files.write", ahead) == {"offset": 6000}, "it came too early"
        assert await client.call("files.begin", wanted("a/b.bin", DATA)) == begun | {"offset": 6000}
        early = await refusal(client, "files.commit", {"transfer": begun["transfer"]})
        assert early.code == InvalidParams.code
        assert early.data["offset"] == 6000  # type: ignore[index]
        assert not (tmp_path / "a").exists()

        rest = {"transfer": begun["transfer"], "offset": 6000, "data": DATA[6000:]}
        assert await client.call("files.write", rest) == {"offset": 10_000}
        done = {"sha256": sha256(DATA)}
        assert await client.call("files.commit", {"transfer": begun["transfer"]}) == done
        assert await client.call("files.commit", {"transfer": begun["transfer"]}) == done
        assert (tmp_path / "a/b.bin").read_bytes() == DATA
        nothing_to_do = {"transfer": None, "offset": 10_000}
        assert await client.call("files.begin", wanted("a/b.bin", DATA)) == nothing_to_do

        info = await client.call("files.stat", {"name": "a/b.bin"})
        modified = int((tmp_path / "a/b.bin").stat().st_mtime)
        assert info == {"name": "a/b.bin", "size": 10_000, "modified": modified} | done
        assert await client.call("files.list") == [info]
        piece = await client.call("files.read", {"name": "a/b.bin", "offset": 9000, "length": 9999})
        assert len(piece.pop("data")) == 4 * 334
        assert piece == {"size": 10_000} | done
        assert await client.call("files.delete", {"name": "a/b.bin"}) is None
        assert await client.call("files.list") == []


async def test_a_list_has_files_alone(tmp_path: Path) -> None:
    (tmp_path / "b/c").mkdir(parents=True)
    for name in ("b/c/3", "b/2", "1", ".hidden", "b/CON"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "out").symlink_to(tmp_path.parent)
    os.mkfifo(tmp_path / "pipe")
    async with client_of(device(tmp_path)) as client:
        assert [each["name"] for each in await client.call("files.list")] == ["1", "b/2", "b/c/3"]
        found = [each["name"] async for each in client.stream("files.list", {"path": "b/c"})]
        assert found == ["b/c/3"]
        assert await client.call("files.list", {"path": "nowhere"}) == []
        assert (await refusal(client, "files.list", {"path": ".."})).code == 3004
        assert (await refusal(client, "files.stat", {"name": "pipe"})).code == 3001
        assert (await refusal(client, "files.begin", wanted("b", DATA))).code == 3004


@pytest.mark.parametrize("method", ["stat", "delete", "read", "begin"])
async def test_names_lead_nowhere_else(tmp_path: Path, method: str) -> None:
    (tmp_path / "secret").write_text("s")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    more: dict[str, dict[str, object]] = {
        "read": {"offset": 0, "length": 9},
        "begin": {"size": 1, "sha256": sha256(b"1")},
    }
    async with client_of(device(root)) as client:
        for name in ("../secret", "/etc/passwd", "link/secret", "a\0", "NUL", ""):
            params = {"name": name, **more.get(method, {})}
            assert (await refusal(client, f"files.{method}", params)).code == 3004
    assert (tmp_path / "secret").read_text() == "s"


async def test_another_file_is_replaced_where_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    async with client_of(device(tmp_path)) as client:
        assert (await refusal(client, "files.begin", wanted("a", b"new"))).code == 3002
        params = {"name": "b", "offset": 0, "length": 1}
        assert (await refusal(client, "files.read", params)).code == 3001
        begun = await client.call("files.begin", wanted("a", b"new", replace=True))
        params = {"transfer": begun["transfer"], "offset": 0, "data": b"new"}
        await client.call("files.write", params)
        assert (tmp_path / "a").read_bytes() == b"old"
        await client.call("files.commit", {"transfer": begun["transfer"]})
        assert (tmp_path / "a").read_bytes() == b"new"


async def test_a_file_that_came_meanwhile_stays(tmp_path: Path) -> None:
    async with client_of(device(tmp_path)) as client:
        begun = await client.call("files.begin", wanted("a", b"mine"))
        await client.call(
            "files.write", {"transfer": begun["transfer"], "offset": 0, "data": b"mine"}
        )
        (tmp_path / "a").write_bytes(b"another")
        assert (await refusal(client, "files.commit", {"transfer": begun["transfer"]})).code == 3002
        assert (tmp_path / "a").read_bytes() == b"another"


async def test_what_is_wrong_is_refused_and_forgotten(tmp_path: Path) -> None:
    async with client_of(device(tmp_path)) as client:
        begun = await client.call("files.begin", wanted("a", b"right"))
        params = {"transfer": begun["transfer"], "offset": 0, "data": b"right and more"}
        assert (await refusal(client, "files.write", params)).code == InvalidParams.code
        await client.call("files.write", params | {"data": b"wrong"})
        commit = {"transfer": begun["transfer"]}
        assert (await refusal(client, "files.commit", commit)).code == 3101
        assert (await refusal(client, "files.commit", commit)).code == InvalidParams.code
        assert (await client.call("files.begin", wanted("a", b"right")))["offset"] == 0
        upper = wanted("a", b"right") | {"sha256": sha256(b"right").upper()}
        assert (await client.call("files.begin", upper))["offset"] == 0
        for bad in ({"sha256": "0" * 63}, {"sha256": "G" * 64}, {"size": -1}, {"size": 1 << 60}):
            params = wanted("b", b"x") | bad
            assert (await refusal(client, "files.begin", params)).code == InvalidParams.code


async def test_one_writes_a_name_and_few_write_at_once(tmp_path: Path) -> None:
    async with client_of(device(tmp_path, most=3)) as client:
        first = await client.call("files.begin", wanted("a", b"one"))
        busy = await refusal(client, "files.begin", wanted("a", b"two"))
        assert (busy.code, busy.data) == (3005, {"retry_after": 30})
        assert await client.call("files.begin", wanted("a", b"one")) == first
        codes = {0}
        for number in range(2000):
            try:
                await client.call("files.begin", wanted(f"{number}", b"x"))
            except RpcError as error:
                codes.add(error.code)
        assert codes == {0, 3005}
        assert len([*(tmp_path / ".jsonrpc-iot").iterdir()]) == 3
        await client.call("files.abort", {"transfer": first["transfer"]})
        await client.call("files.abort", {"transfer": "gone"})
        assert await client.call("files.begin", wanted("a", b"two"))
    assert [*tmp_path.iterdir()] == [tmp_path / ".jsonrpc-iot"], "which is theirs"


async def test_there_is_room_or_there_is_not(tmp_path: Path) -> None:
    full = FullDisk()
    async with client_of(device(tmp_path, most_bytes=1000, disk=full)) as client:
        busy = await refusal(client, "files.begin", wanted("a", bytes(1001)))
        assert (busy.code, busy.data) == (3003, {"free": 1000})
        begun = await client.call("files.begin", wanted("a", bytes(600)))
        busy = await refusal(client, "files.begin", wanted("b", bytes(401)))
        assert (busy.code, busy.data) == (3003, {"free": 400})
        params = {"transfer": begun["transfer"], "offset": 0, "data": bytes(600)}
        full.is_full = True
        assert (await refusal(client, "files.begin", wanted("b", b""))).code == 3003
        assert await client.call("files.write", params) == {"offset": 600}, "in memory"
        commit = {"transfer": begun["transfer"]}
        assert (await refusal(client, "files.commit", commit)).code == 3003
        full.is_full = False
        await client.call("files.commit", {"transfer": begun["transfer"]})
    more = {"size": (1 << 53) - 1}
    async with client_of(device(tmp_path)) as client:
        assert (await refusal(client, "files.begin", wanted("c", b"") | more)).code == 3003


async def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(DATA)
    async with client_of(device(tmp_path, disk=ReadOnlyDisk())) as client:
        assert [each["name"] for each in await client.call("files.list")] == ["f"]
        assert (await refusal(client, "files.begin", wanted("a", b"x"))).code == 3004
        assert (await refusal(client, "files.delete", {"name": "f"})).code == 3004
    assert [*tmp_path.iterdir()] == [tmp_path / "f"]


class ReadOnlyDisk(Disk):
    """A disk that nobody may write."""

    def make_folder(self, path: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    remove = make_folder


class FullDisk(Disk):
    """A disk that takes half of what is written when it is full."""

    is_full = False

    def write(self, path: Path, offset: int, data: bytes) -> None:
        super().write(path, offset, data[: len(data) // 2] if self.is_full else data)
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")


async def test_the_permission_is_needed(tmp_path: Path) -> None:
    dispatcher = Dispatcher()
    dispatcher.include(FolderFiles(tmp_path))
    async with client_of(dispatcher) as client:
        for method in await client.call("rpc.methods"):
            assert not method.startswith("files.")
        with pytest.raises(Unauthorized):
            await client.call("files.list")


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize("limit", [180, 220, 245, 1024, 4096])
async def test_pieces_fit_the_link(tmp_path: Path, limit: int, codec: str) -> None:
    (tmp_path / "f").write_bytes(DATA)
    link = {"max_message": limit, "codec": codec}
    async with client_of(device(tmp_path), **link) as client:
        begun = await client.call("files.begin", wanted("g", DATA))
        params = {"transfer": begun["transfer"], "offset": 0, "data": DATA[: begun["chunk"]]}
        assert await client.call("files.write", params) == {"offset": begun["chunk"]}
        for offset in (0, 9000):
            params = {"name": "f", "offset": offset, "length": 9999}
            piece = await client.call("files.read", params)
            assert len(piece["data"]) > 0
            assert ("sha256" in piece) == (offset == 0 or limit >= 1024)


def test_transfers_survive_and_expire(tmp_path: Path) -> None:
    now = 1000.0
    first = Wanted(name="a", size=4, sha256=sha256(b"abcd"))
    transfers = Transfers(tmp_path, clock=lambda: now, sync_seconds=0)
    id = transfers.begin(first).id
    transfers.write(id, 0, b"ab")
    for name in ("00000000.part", "00000001.json", "00000002.json.new", "theirs"):
        (tmp_path / name).write_bytes(b"{")

    now = 1.0
    transfers = Transfers(tmp_path, clock=lambda: now)
    there = sorted(path.name for path in tmp_path.iterdir())
    assert there == [f"{id}.json", f"{id}.part", "theirs"]
    assert transfers.begin(first).offset == 2
    now += 29
    with pytest.raises(InUse):
        transfers.begin(Wanted(name="a", size=1, sha256=sha256(b"e")))
    now += 3570
    assert transfers.write(id, 2, b"c") == 3
    now += 3601
    with pytest.raises(InvalidParams):
        transfers.write(id, 3, b"d")
    assert [*tmp_path.iterdir()] == [tmp_path / "theirs"]


def test_other_content_is_let_in_when_the_first_rests(tmp_path: Path) -> None:
    now = 1000.0
    transfers = Transfers(tmp_path, clock=lambda: now)
    first = transfers.begin(Wanted(name="a", size=4, sha256=sha256(b"abcd")))
    now += 31
    other = transfers.begin(Wanted(name="a", size=1, sha256=sha256(b"e")))
    with pytest.raises(InvalidParams):
        transfers.write(first.id, 0, b"ab")
    assert transfers.write(other.id, 0, b"e") == 1


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        FolderFiles(tmp_path / "nowhere")
