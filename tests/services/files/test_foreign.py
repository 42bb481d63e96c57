"""`put` and `get` with devices that are not ours: as little as the protocol asks of them."""

from pathlib import Path
from typing import Any

import pytest

from jsonrpc_iot import Dispatcher, InvalidParams, MalformedResponse, RpcError, TooLarge
from jsonrpc_iot.services.files import NoRoom, NoSuchFile, get, put

from .device import DATA, client_of, sha256

pytestmark = pytest.mark.anyio


class Small:
    """A device with one file in memory, numbers for transfers, and 100 bytes for a write."""

    def __init__(self) -> None:
        self.dispatcher = Dispatcher()
        self.file = b""
        self.coming = bytearray()
        self.wanted = ""
        self.number = 0
        self.forgets_at = len(DATA) // 2
        for name in ("begin", "write", "commit", "read", "stat"):
            self.dispatcher.method(f"files.{name}")(getattr(self, name))

    def begin(self, name: str, size: int, sha256: str) -> dict[str, Any]:
        if size > 20_000:
            raise RpcError(3003, "no room")
        if sha256 != self.wanted:
            self.coming.clear()
            self.wanted = sha256
        self.number += 1
        return {"transfer": self.number, "offset": len(self.coming)}

    def write(self, transfer: int, offset: int, data: bytes) -> dict[str, int]:
        if len(data) > 100:
            raise TooLarge
        if transfer != self.number:
            raise RpcError(-32602, "no such transfer")
        if self.forgets_at and offset >= self.forgets_at:  # it was switched off and on
            self.forgets_at = self.number = 0
            self.wanted = ""
            raise InvalidParams
        if offset == len(self.coming):
            self.coming += data
        return {"offset": len(self.coming)}

    def commit(self, transfer: int) -> dict[str, str]:
        self.file = bytes(self.coming)
        return {"sha256": sha256(self.file)}

    def stat(self, name: str) -> dict[str, Any]:
        if not self.file:
            raise RpcError(3001, "no such file")
        return {"name": name, "size": len(self.file)}

    def read(self, name: str, offset: int, length: int) -> dict[str, Any]:
        data = self.file[offset : offset + min(length, 50)]
        return {"data": data, "size": len(self.file), "sha256": sha256(self.file)}


async def test_a_small_device(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    (tmp_path / "large").write_bytes(DATA * 3)
    small = Small()
    async with client_of(small.dispatcher) as client:
        with pytest.raises(NoSuchFile):
            await get(client, "file", tmp_path / "copy")
        with pytest.raises(NoRoom):
            await put(client, tmp_path / "large")
        await put(client, tmp_path / "file", "name")
        assert small.file == DATA
        assert small.forgets_at == 0
        await get(client, "name", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == DATA


async def test_a_device_that_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jsonrpc_iot.services.files.stretch._MOST_IDLE_TURNS", 1)
    (tmp_path / "file").write_bytes(DATA)
    dispatcher = Dispatcher()
    dispatcher.method("files.begin")(lambda name, size, sha256: {"transfer": 1, "offset": 0})
    dispatcher.method("files.write")(lambda transfer, offset, data: {"offset": 0})
    async with client_of(dispatcher) as client:
        with pytest.raises(MalformedResponse, match="takes no more"):
            await put(client, tmp_path / "file")


async def test_a_device_that_forgets_again_and_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    dispatcher = Dispatcher()
    dispatcher.method("files.begin")(lambda name, size, sha256: {"transfer": 1, "offset": 0})

    @dispatcher.method("files.write")
    def write(transfer: int, offset: int, data: bytes) -> None:
        raise InvalidParams

    async with client_of(dispatcher) as client:
        with pytest.raises(InvalidParams):
            await put(client, tmp_path / "file")


@pytest.mark.parametrize("offset", [-1, 10_001, 1 << 70, "x", len(DATA)])
async def test_a_device_that_answers_nonsense(tmp_path: Path, offset: object) -> None:
    (tmp_path / "file").write_bytes(DATA)
    dispatcher = Dispatcher()
    dispatcher.method("files.begin")(lambda name, size, sha256: {"transfer": 1, "offset": offset})
    dispatcher.method("files.commit")(lambda transfer: {"sha256": "0" * 64})
    async with client_of(dispatcher) as client:
        with pytest.raises(MalformedResponse):
            await put(client, tmp_path / "file")
