"""Who calls over the network that the device leaves, through the air: over UDP and TCP."""

import subprocess
import sys

import anyio
import msgspec
import pytest

from jsonrpc_iot import Client, Dispatcher, RpcError, connect, serve
from jsonrpc_iot.services.wifi import Wifi
from jsonrpc_iot.services.wifi.networkmanager import NetworkManagerWifi
from tests.places import ROOT
from tests.services._wifi import HOME, KEY, pushes_of

from .air import PATIENCE, address_of
from .radio import World

pytestmark = [pytest.mark.anyio, pytest.mark.wifi]

OFFICE, OFFICE_KEY = "office-mesh", "meeting room 4"
ATTEMPTS = {
    "elsewhere": (OFFICE, OFFICE_KEY),
    "wrong key": (HOME, "a wrong key"),
    "not there": ("nowhere", KEY),
    "there already": (OFFICE, OFFICE_KEY),
}


async def ask(client: Client, ssid: str, psk: str) -> list[object]:
    """What `wifi.connect` gives, and, once the device is on a network, `wifi.status`."""
    told: object = "joined"
    try:
        await client.call("wifi.connect", {"ssid": ssid, "psk": psk}, timeout=PATIENCE)
    except RpcError as error:
        told = error.code
    wifi = client.proxy(Wifi, timeout=PATIENCE)
    while (status := await wifi.status()).state != 3:  # noqa: ASYNC110
        await anyio.sleep(0.2)  # a push may be lost
    return [told, status.ssid]


async def be_client(url: str) -> None:
    """Among the access points; prints what it has been told."""
    async with connect(url, connect_timeout=PATIENCE) as client:
        told = {name: await ask(client, *attempt) for name, attempt in ATTEMPTS.items()}
    sys.stdout.buffer.write(msgspec.json.encode(told))


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
async def test_the_link_that_asked_is_cut(everything: World, scheme: str) -> None:
    with everything.manager.running():
        async with NetworkManagerWifi() as wifi:
            await wifi.connect(HOME, KEY)
            pushes = pushes_of(wifi)
            device = Dispatcher()
            device.include(wifi)
            async with serve(device, f"{scheme}://0.0.0.0:0") as server:
                port = server.urls[0].rpartition(":")[2]
                url = f"{scheme}://{address_of('wlan0')}:{port}"
                program = [sys.executable, "-m", "tests.wifi_vm.test_link", url]
                done = await anyio.run_process(
                    everything.air.beside(*program), cwd=ROOT, check=False, stderr=subprocess.PIPE
                )
    print(pushes)  # noqa: T201
    assert done.returncode == 0, done.stderr.decode()
    assert msgspec.json.decode(done.stdout) == {
        "elsewhere": ["joined", OFFICE],
        "wrong key": [1002, OFFICE],  # it has returned
        "not there": [1001, OFFICE],
        "there already": ["joined", OFFICE],
    }
    assert [each.ssid for each in pushes if each.state == 3] == [OFFICE, OFFICE]  # two cuts


if __name__ == "__main__":
    anyio.run(be_client, sys.argv[1])
