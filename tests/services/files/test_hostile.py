"""Callers and devices that mean harm, and folders in which others work at the same time."""

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from jsonrpc_iot import Dispatcher, InvalidParams, MalformedResponse, RpcError
from jsonrpc_iot.services.files import NotAllowed, get, put
from jsonrpc_iot.services.files import folder as folder_module
from jsonrpc_iot.services.files.known import Hashes
from jsonrpc_iot.services.files.names import place_of

from .device import DATA, client_of, device, sha256, wanted

pytestmark = pytest.mark.anyio


async def code_of(call: Any) -> int:
    with pytest.raises(RpcError) as refused:
        await call
    return refused.value.code


@pytest.mark.parametrize("name", ["log.txt/a", "log.txt/a/b"])
async def test_no_file_comes_below_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "log.txt").write_bytes(b"x")
    async with client_of(device(tmp_path)) as client:
        assert await code_of(client.call("files.begin", wanted(name, DATA))) == NotAllowed.code


async def test_a_file_came_meanwhile_where_a_folder_is_wanted(tmp_path: Path) -> None:
    async with client_of(device(tmp_path)) as client:
        begun = await client.call("files.begin", wanted("a/b", b""))
        (tmp_path / "a").write_bytes(b"x")
        commit = client.call("files.commit", {"transfer": begun["transfer"]})
        assert await code_of(commit) == NotAllowed.code


async def test_offsets_beyond_what_a_disk_has(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    async with client_of(device(tmp_path)) as client:
        params = {"name": "a", "offset": (1 << 53) - 1, "length": 1}
        piece = await client.call("files.read", params)
        assert piece == {"data": "", "size": 1, "sha256": sha256(b"x")}


@pytest.mark.parametrize("end", ["\n", "\r"])
async def test_a_hash_has_no_line_feed(tmp_path: Path, end: str) -> None:
    async with client_of(device(tmp_path)) as client:
        params = wanted("a", DATA) | {"sha256": sha256(DATA) + end}
        assert await code_of(client.call("files.begin", params)) == InvalidParams.code


async def test_a_file_that_goes_while_it_is_listed(tmp_path: Path, monkeypatch: Any) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(b"x")
    real = folder_module._entries

    def going(folder: Path) -> Any:
        for entry in real(folder):
            if entry.name == "b":
                os.unlink(entry.path)
            yield entry

    monkeypatch.setattr(folder_module, "_entries", going)
    async with client_of(device(tmp_path)) as client:
        assert [each["name"] for each in await client.call("files.list")] == ["a", "c"]


async def test_what_may_not_be_read_hides_nothing_else(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").write_bytes(b"x")
    scandir: Any = os.scandir
    path_open: Any = Path.open

    def guarded(path: Path) -> Any:  # tests may run as root, who may all
        if path.name == "lost+found":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    def guarded_open(path: Path, *mode: str) -> Any:
        if path.name == "b":
            raise PermissionError(13, "Permission denied")
        return path_open(path, *mode)

    monkeypatch.setattr(os, "scandir", guarded)
    monkeypatch.setattr(Path, "open", guarded_open)
    async with client_of(device(tmp_path)) as client:
        assert [each["name"] for each in await client.call("files.list")] == ["a", "b"]
        assert await code_of(client.call("files.stat", {"name": "b"})) == NotAllowed.code
        piece = {"name": "b", "offset": 0, "length": 1}
        assert await code_of(client.call("files.read", piece)) == NotAllowed.code


async def test_links_do_not_lead_to_what_is_hidden(tmp_path: Path) -> None:
    (tmp_path / ".secret").mkdir()
    (tmp_path / ".secret/key").write_bytes(b"x")
    (tmp_path / "SECRET~1").symlink_to(".secret")  # as Windows has it, for each hidden folder
    with pytest.raises(NotAllowed):
        place_of(tmp_path.resolve(), "SECRET~1/key")


async def test_hashes_of_large_files_take_no_threads_from_others(
    tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "large").write_bytes(b"x")
    go = threading.Event()

    def of(_: Hashes, path: Path) -> str:
        assert go.wait(10)
        return sha256(path.read_bytes())

    monkeypatch.setattr(Hashes, "of", of)
    threads = anyio.to_thread.current_default_thread_limiter()
    async with client_of(device(tmp_path)) as client, anyio.create_task_group() as tasks:
        for _ in range(int(threads.total_tokens) + 5):
            tasks.start_soon(client.call, "files.stat", {"name": "large"})
        await client.call("rpc.ping")  # it has them all
        await anyio.wait_all_tasks_blocked()
        assert threads.borrowed_tokens == 0
        go.set()


class Lying:
    """A device that says what it likes."""

    def __init__(self, info: Mapping[str, object], begun: Mapping[str, object]) -> None:
        self.dispatcher = Dispatcher()
        self.info = info
        self.begun = begun
        for name in ("begin", "write", "commit", "read", "stat"):
            self.dispatcher.method(f"files.{name}")(getattr(self, name))

    def stat(self, name: str) -> Mapping[str, object]:
        return {"name": name, **self.info}

    def read(self, name: str, offset: int, length: int) -> dict[str, Any]:
        return {"data": b"x" * min(length, 1)}

    def begin(self, name: str, size: int, sha256: str) -> dict[str, Any]:
        return {"transfer": 1, "offset": 0, **self.begun}

    def write(self, transfer: int, offset: int, data: bytes) -> dict[str, int]:
        return {"offset": offset + len(data)}

    def commit(self, transfer: int) -> dict[str, str]:
        return {"sha256": sha256(DATA)}


@pytest.mark.parametrize(
    "info",
    [
        {"size": -1, "sha256": sha256(b"")},
        {"size": 1, "sha256": "../../../../etc/passwd"},
        {"size": 1, "sha256": "a\0b"},
        {"size": 1, "sha256": "\u202e"},
        {"size": 1 << 70, "sha256": sha256(b"")},
    ],
    ids=str,
)
async def test_what_a_device_says_of_a_file(tmp_path: Path, info: Mapping[str, object]) -> None:
    async with client_of(Lying(info, {}).dispatcher) as client:
        with anyio.fail_after(10), pytest.raises(MalformedResponse):
            await get(client, "a", tmp_path / "a")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("begun", [{"chunk": -5}, {"window": -1}, {"offset": -1}], ids=str)
async def test_how_a_device_wants_to_be_written(
    tmp_path: Path, begun: Mapping[str, object]
) -> None:
    (tmp_path / "a").write_bytes(DATA)
    async with client_of(Lying({}, begun).dispatcher) as client:
        with anyio.fail_after(10), pytest.raises(MalformedResponse):
            await put(client, tmp_path / "a")
