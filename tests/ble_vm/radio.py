"""`python -m tests.ble_vm.radio ADAPTERS SOCKET`: a radio in the machine.

The kernel gets that many adapters on it, and a host on bumble gets one for each connection to the
socket.
"""

import asyncio
import os
import sys

from bumble.hci import LeFeatureMask

from jsonrpc_iot.testing._controllers import VirtualController, VirtualLink, VirtualPort

# What the kernel would use, and the controllers of bumble (0.0.236) lack or do in another way.
_LACKS = LeFeatureMask.LL_PRIVACY | LeFeatureMask.LE_EXTENDED_ADVERTISING
_PACKET_BYTES = 251
_VENDOR_PACKET = 0xFF


class Adapter:
    """One of the kernel's; its host is the kernel.

    Args:
        number: of those on the radio.
        link: the radio.
    """

    def __init__(self, number: int, link: VirtualLink) -> None:
        address = f"00:BB:00:00:AA:{number:02X}"
        self._controller = VirtualController(f"hci{number}", self, link, address)
        self._controller.le_features &= ~_LACKS
        self._controller.le_acl_data_packet_length = _PACKET_BYTES
        self._controller.acl_data_packet_length = _PACKET_BYTES
        self._file = os.open("/dev/vhci", os.O_RDWR | os.O_NONBLOCK)
        os.write(self._file, bytes([_VENDOR_PACKET, 0]))  # one more adapter
        asyncio.get_running_loop().add_reader(self._file, self._read)

    def on_packet(self, packet: bytes) -> None:
        """Hand what the controller says to the kernel, which takes nothing once it is off."""
        try:
            os.write(self._file, packet)
        except OSError:
            self._controller.fall_silent()
            self._controller.le_connections.clear()

    def _read(self) -> None:
        packet = os.read(self._file, 4096)
        if packet[0] != _VENDOR_PACKET:
            self._controller.on_packet(packet)


async def main(adapters: int, path: str) -> None:
    """Run until killed; says `ready` when all adapters are there."""
    link = VirtualLink()
    kept = [Adapter(number, link) for number in range(adapters)]
    server = await asyncio.get_running_loop().create_unix_server(lambda: VirtualPort(link), path)
    print("ready", len(kept), flush=True)  # noqa: T201
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
