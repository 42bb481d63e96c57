"""A device whose Wi-Fi is its only link, and a client on it: two networks of their own.

`unshare --net --map-root-user python -m tests.services.cut SCHEME` is the client, and prints what
its calls gave. The device is a child in a network of its own, joined by a pair of interfaces; its
radio takes that link down when it leaves a network, and up when it is on another one or back.
"""

import subprocess
import sys

import anyio
import msgspec

from jsonrpc_iot import CallTimeout, Client, Dispatcher, RpcError, TransportError, connect, serve
from jsonrpc_iot.services.wifi import (
    SimulatedNetwork,
    SimulatedWifi,
    Wifi,
    WifiState,
    WifiStatus,
)

HOME, AWAY = "198.51.100.2", "203.0.113.2"
"""The device's addresses, the second in the network `garden`."""
CLIENT = ("198.51.100.1/24", "203.0.113.1/24")
PORT = 8805
KEY = "correct horse"
NETWORKS = [
    SimulatedNetwork(name, f"02:00:00:00:00:0{number}", 1, -40, "wpa2", KEY)
    for number, name in enumerate(("home", "cellar", "garden"))
]


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


class OnlyLink(SimulatedWifi):
    """A radio that the device's link goes over.

    As NetworkManager does, it returns to the network that it was on where another does not let it
    in.
    """

    def __init__(self) -> None:
        super().__init__(networks=NETWORKS, scan_time=0.05, connect_time=0.5)
        self.cuts = 0
        self._address = HOME
        self.status_changed.subscribe(self._follow)

    def _follow(self, status: WifiStatus) -> None:
        if status.state is WifiState.CONNECTING:
            self.cuts += 1
            ip("link", "set", "wlan", "down")
        elif status.state in {WifiState.CONNECTED, WifiState.FAILED}:
            wanted = AWAY if status.ssid == "garden" else HOME
            if wanted != self._address:
                ip("addr", "del", f"{self._address}/24", "dev", "wlan")
                ip("addr", "add", f"{wanted}/24", "dev", "wlan")
                self._address = wanted
            ip("link", "set", "wlan", "up")


async def be_device(scheme: str) -> None:
    sys.stdin.readline()  # the link is there
    ip("link", "set", "lo", "up")
    ip("addr", "add", f"{HOME}/24", "dev", "wlan")
    ip("link", "set", "wlan", "up")
    wifi = OnlyLink()
    await wifi.connect("home", KEY)
    dispatcher = Dispatcher()
    dispatcher.include(wifi)
    dispatcher.method("cuts")(lambda: wifi.cuts)
    async with serve(dispatcher, f"{scheme}://0.0.0.0:{PORT}"):
        print("ready", flush=True)  # noqa: T201
        await anyio.sleep_forever()


async def join(client: Client, ssid: str, key: str = KEY, timeout: float = 10) -> object:
    """What `wifi.connect` gives."""
    try:
        await client.call("wifi.connect", {"ssid": ssid, "psk": key}, timeout=timeout)
    except RpcError as error:
        return error.code
    except (CallTimeout, TransportError) as error:
        return type(error).__name__
    return "joined"


async def be_client(scheme: str) -> dict[str, object]:
    told: dict[str, object] = {}
    async with connect(f"{scheme}://{HOME}:{PORT}") as client:
        before = await client.call("cuts")
        told["not there"] = await join(client, "nowhere")
        told["cuts for that"] = await client.call("cuts") - before
        told["same address"] = await join(client, "cellar")
        told["wrong key"] = await join(client, "home", "another key")
        told["cuts"] = await client.call("cuts") - before
        told["other address"] = await join(client, "garden", timeout=1.5)
    async with connect(f"{scheme}://{AWAY}:{PORT}") as client:
        status = await client.proxy(Wifi).status()
        told["status there"] = [status.ssid, status.state]
    return told


async def main(scheme: str) -> None:
    ip("link", "set", "lo", "up")
    command = ["unshare", "--net", sys.executable, "-m", "tests.services.cut", scheme, "device"]
    pipe = subprocess.PIPE
    async with await anyio.open_process(command, stdin=pipe, stdout=pipe, stderr=None) as device:
        try:
            while not _is_apart(device.pid):  # noqa: ASYNC110  # nothing tells
                await anyio.sleep(0.01)
            ip(
                "link",
                "add",
                "air",
                "type",
                "veth",
                "peer",
                "name",
                "wlan",
                "netns",
                str(device.pid),
            )
            for address in CLIENT:
                ip("addr", "add", address, "dev", "air")
            ip("link", "set", "air", "up")
            assert device.stdin
            assert device.stdout
            await device.stdin.send(b"go\n")
            assert (await device.stdout.receive()).startswith(b"ready")
            sys.stdout.buffer.write(msgspec.json.encode(await be_client(scheme)))
        finally:
            device.kill()


def _is_apart(pid: int) -> bool:
    """Whether a process has a network of its own."""
    from pathlib import Path

    return Path(f"/proc/{pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()


if __name__ == "__main__":
    _, protocol, *role = sys.argv
    anyio.run(be_device if role else main, protocol)
