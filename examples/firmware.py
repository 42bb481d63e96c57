"""A device that is updated over UDP, restarts, and confirms nothing by itself."""

import tempfile
from pathlib import Path

import anyio

from jsonrpc_iot import Dispatcher, Principal, connect, serve
from jsonrpc_iot.services.firmware import DirectoryTarget, FirmwareUpdates, update


async def main(folder: Path) -> None:
    (folder / "lamp.img").write_bytes(b"\x7fELF" * 1000)

    target = DirectoryTarget(folder / "images", version="1.0.0")
    target.boot()  # whenever the device starts; gives the image to run
    # key="device.pem" demands signatures, model="lamp-2" refuses images for other devices.
    updates = FirmwareUpdates(target, folder / "incoming", restart=target.boot)

    device = Dispatcher()
    device.include(updates)
    device.everybody = Principal("everybody", {"firmware"})  # or serve(…, keyring=…)

    async with (
        serve(device, "udp://127.0.0.1:0") as server,
        updates,  # restarts the device when it is time to
        connect(server.urls[0]) as client,
    ):
        status = await update(client, folder / "lamp.img", "1.1.0", confirm=True)
        print(status.version, status.state, "before:", status.previous)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        anyio.run(main, Path(name))
