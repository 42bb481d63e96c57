"""Setting up a new device from beginning to end: first its key, where it is ours, then a network.

The key comes first, on a link that nobody else is on: the device's window for pairing is shut again
before others on its new network can reach it, and a device that is not the user's learns no Wi-Fi
key.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from jsonrpc_iot import (
    CallTimeout,
    Channel,
    ConnectFailed,
    Limits,
    RpcError,
    Trace,
    Url,
    connect,
    pair,
)
from jsonrpc_iot.protocol.improv.messages import State
from jsonrpc_iot.transports.packets.segmented import segmented
from jsonrpc_iot.transports.serial import uart

from .client import PROVISION_SECONDS, ImprovClient, is_bluetooth, open_client
from .port import open_line, read_url

PRESS_BUTTON = "press the device's button"
"""The one step that somebody else has to take."""

_NO_RPC = "no RPC is answered here, so there is no pairing; without a code it only gets a network"
_RPC_SECONDS = 5.0  # that a device which has RPC needs at most to say anything


async def set_up(
    url: str,
    ssid: str,
    key: str = "",
    *,
    code: str | None = None,
    name: str = "app",
    on_key: Callable[[bytes], object] = lambda key: None,
    on_step: Callable[[str], object] = lambda text: None,
    timeout: float = PROVISION_SECONDS,
    trace: Trace | None = None,
) -> list[str]:
    """Get a new device onto a network, and before that get its key by the code on it.

    Args:
        url: of the device; see `open_client`.
        ssid: the network's name, 1 to 32 bytes in UTF-8.
        key: the network's, 8 to 63 bytes in UTF-8 or 64 hexadecimal digits; empty for an open one.
        code: the device's, at least 8 digits; `None` asks for no key of it.
        name: what to be called in the device's keyring.
        on_key: gets the device's key as soon as there is one; it holds whatever comes after it.
        on_step: is told what goes on, in words for people.
        timeout: seconds to look for the device, and then to wait for the network.
        trace: is shown what is said, without the network's key.

    Returns:
        Where the device is reached on the network, as it says; that may be nowhere.

    Raises:
        ImprovError: the device cannot join the network, or does not let this program.
        CallTimeout: it does not answer; with a code also where it has no RPC.
        ConnectFailed: there is no such port or device.
        ChannelClosed: the link is gone.
        RpcError: it does not pair; it was told of no network then. See `pair`.
        UsageError: a name, a key or the code makes no sense.
    """
    task = _Task(ssid, key, code, name, on_key, on_step, timeout, trace)
    parsed = Url.parse(url)
    on_step("looking for the device")
    if not is_bluetooth(parsed):
        parsed, options = read_url(url)
        async with open_line(parsed, options) as line:
            improv = ImprovClient(line, trace)
            await improv.find(timeout)
            if code is not None:
                channel = uart.open_channel(line, str(parsed), options, owns_line=False)
                await task.pair(segmented(channel, Limits()) if options.segment else channel)
            return await task.join(improv)
    if code is not None:
        try:
            await task.pair(url)
        except ConnectFailed as error:
            raise ConnectFailed(f"{error}; {_NO_RPC}") from error
    async with open_client(url, trace) as improv:
        return await task.join(improv)


class _Task(NamedTuple):
    """What is to be done; see `set_up`."""

    ssid: str
    key: str
    code: str | None
    name: str
    on_key: Callable[[bytes], object]
    on_step: Callable[[str], object]
    timeout: float
    trace: Trace | None

    async def pair(self, where: str | Channel) -> None:
        """Get the key of the device that is there."""
        assert self.code is not None
        timeout = self.timeout
        async with connect(
            where, timeout=timeout, connect_timeout=timeout, trace=self.trace
        ) as client:
            self.on_step("pairing")
            try:
                with suppress(RpcError):  # it answers
                    await client.call("rpc.ping", timeout=min(_RPC_SECONDS, timeout))
            except CallTimeout:
                raise CallTimeout(_NO_RPC) from None
            self.on_key(await pair(client, self.code, self.name))

    async def join(self, improv: ImprovClient) -> list[str]:
        """Have the device join the network."""
        state, _ = await improv.find(self.timeout)
        if state is State.AUTHORIZATION_REQUIRED:
            self.on_step(PRESS_BUTTON)
            await improv.authorized(self.timeout)
        self.on_step(f"joining {self.ssid}")
        return await improv.provision(self.ssid, self.key, self.timeout)
