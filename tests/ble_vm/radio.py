"""`python -m tests.ble_vm.radio ADAPTERS SOCKET`: a radio in the machine.

The kernel gets that many adapters on it, and a host on bumble gets one for each connection to the
socket.
"""

import asyncio
import sys

from bumble.hci import LeFeatureMask
from bumble.transport import open_transport

from jsonrpc_iot.testing._controllers import VirtualController, VirtualLink, VirtualPort

# What the kernel would use, and the controllers of bumble (0.0.236) lack or do in another way.
_LACKS = LeFeatureMask.LL_PRIVACY | LeFeatureMask.LE_EXTENDED_ADVERTISING
_PACKET_BYTES = 251


async def main(adapters: int, path: str) -> None:
    """Run until killed; says `ready` when all adapters are there."""
    link = VirtualLink()
    kept = []
    for number in range(adapters):
        host = await open_transport("vhci")
        address = f"00:BB:00:00:AA:{number:02X}"
        controller = VirtualController(f"hci{number}", host.sink, link, address)
        controller.le_features &= ~_LACKS
        controller.le_acl_data_packet_length = _PACKET_BYTES
        controller.acl_data_packet_length = _PACKET_BYTES
        host.source.set_packet_sink(controller)
        kept.append((host, controller))
    await asyncio.get_running_loop().create_unix_server(lambda: VirtualPort(link), path)
    print("ready", flush=True)  # noqa: T201
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
