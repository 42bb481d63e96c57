"""A device that takes and gives files, and a caller."""

import tempfile
from pathlib import Path

import anyio

from jsonrpc_iot import Dispatcher, Principal, connect, serve
from jsonrpc_iot.services.files import FolderFiles, get, put


def show(there: int, size: int) -> None:
    print(f"{there} of {size} bytes")


async def main(folder: Path) -> None:
    (folder / "device").mkdir()
    (folder / "note.txt").write_text("Water the plants.")

    device = Dispatcher()
    device.include(FolderFiles(folder / "device"))
    device.everybody = Principal("everybody", {"files"})  # or serve(…, keyring=…)

    async with serve(device, "udp://127.0.0.1:0") as server, connect(server.urls[0]) as client:
        await put(client, folder / "note.txt", "notes/today.txt", progress=show)
        info = await get(client, "notes/today.txt", folder / "copy.txt")
        print(info.name, info.size, (folder / "copy.txt").read_text())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        anyio.run(main, Path(name))
