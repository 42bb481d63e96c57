"""`mqtt://[USER@]HOST[:1883]/path/to/rpc` and `mqtts://…`: one message in one MQTT message.

Requests go to the topic that is the URL's path, answers and pushes to that topic with `/response`
behind it. `_link` is paho as async code, `_broker` the connection to a broker, `_client` and
`_server` are the two ends of the protocol. It needs the extra `mqtt` (paho-mqtt), and asyncio.

Source: the RPC protocol document, "RPC over MQTT".
"""

import asyncio
from importlib.util import find_spec

from ...channel.contract import Channel, Listener
from ...channel.url import Url
from ...errors import MissingExtra, UsageError
from ...protocol.limits import Limits
from ._options import MqttOptions, read_options

__all__ = ["connect", "listen"]


def read_url(url: Url) -> MqttOptions:
    """What a URL to connect to says; raises `InvalidUrl`."""
    return read_options(url)


async def connect(url: Url, limits: Limits) -> Channel:
    """Connect to a broker, and be ready for answers from a server behind it.

    Raises:
        ConnectFailed: there is no broker, it refuses us, or the device says that it is offline.
        InvalidUrl: the URL makes no sense.
        MissingExtra: the extra `mqtt` is not installed.
        UsageError: the event loop is not asyncio's.
    """
    options = read_url(url)
    check_machine(url)
    from ._client import open_channel

    return await open_channel(url, options, limits)


async def listen(url: Url, limits: Limits) -> Listener:
    """Connect to a broker, and subscribe to a topic there.

    Raises:
        BindFailed: there is no broker, or it refuses us.
        InvalidUrl: the URL makes no sense.
        MissingExtra: the extra `mqtt` is not installed.
        UsageError: the event loop is not asyncio's.
    """
    options = read_options(url)
    options.check_share(url)
    check_machine(url)
    from ._server import open_listener

    return await open_listener(url, options, limits)


def check_machine(url: Url) -> None:
    """Refuse to go on where MQTT cannot be had; raises `MissingExtra` or `UsageError`."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise UsageError(f"{url}: MQTT works on asyncio, not on trio") from None
    if type(loop).__name__ == "ProactorEventLoop":  # which cannot wait for a socket
        raise UsageError(f"{url}: MQTT needs asyncio's SelectorEventLoop on Windows")
    if find_spec("paho") is None:
        raise MissingExtra(f"{url}: MQTT needs: pip install 'jsonrpc-iot[mqtt]'")
