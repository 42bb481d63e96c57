"""What a device is called, which clients may ask for and change.

Source: "RPC Command: Get/Set Hostname" and "Get/Set Device Name", https://www.improv-wifi.com/ble,
from its version 2.3 on.
"""

import re
from collections.abc import Awaitable, Callable

from jsonrpc_iot import MalformedFrame
from jsonrpc_iot.protocol.improv.messages import Call, Command, ErrorState

from .errors import ImprovError

SetName = Callable[[str], Awaitable[object]]

_HOSTNAME = re.compile(r"[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?")  # RFC 1123, section 2.1


class Names:
    """The names of a device; it keeps them where they outlast a restart.

    Args:
        hostname: in the network.
        name: for people.
        set_hostname: makes it another one, or raises `ValueError` where that cannot be.
        set_name: likewise.

    Attributes:
        hostname: at present.
        name: at present.
    """

    def __init__(
        self, hostname: str, name: str, *, set_hostname: SetName, set_name: SetName
    ) -> None:
        self.hostname = hostname
        self.name = name
        self._set_hostname = set_hostname
        self._set_name = set_name

    async def answer(self, call: Call) -> str:
        """Give a name, once it is what the command says, if it says any.

        Args:
            call: `Command.HOSTNAME` or `Command.DEVICE_NAME`.

        Raises:
            ImprovError: the device does not take that.
            MalformedFrame: the name is no UTF-8.
        """
        data = call.data
        if data and data[0] == len(data) - 1:  # Home Assistant says once more how long it is
            data = data[1:]
        try:
            wanted = data.decode()
        except UnicodeDecodeError:
            raise MalformedFrame("an Improv string that is no UTF-8") from None
        if call.command == Command.HOSTNAME:
            if wanted:
                await self._change_hostname(wanted)
            return self.hostname
        if wanted:
            try:
                await self._set_name(wanted)
            except ValueError:
                raise ImprovError(ErrorState.UNKNOWN) from None
            self.name = wanted
        return self.name

    async def _change_hostname(self, wanted: str) -> None:
        try:
            if not _HOSTNAME.fullmatch(wanted):
                raise ValueError(wanted)
            await self._set_hostname(wanted)
        except ValueError:
            raise ImprovError(ErrorState.BAD_HOSTNAME) from None
        self.hostname = wanted
