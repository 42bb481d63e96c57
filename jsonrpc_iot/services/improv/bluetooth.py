"""`Improv` over Bluetooth LE: the service of a device, where a URL says."""

import anyio
from anyio.abc import TaskStatus

from jsonrpc_iot import Trace, Url
from jsonrpc_iot.transports.gatt.served import attribute_server

from .characteristics import Characteristics
from .device import Improv


async def serve_bluetooth(
    improv: Improv,
    url: str,
    trace: Trace | None = None,
    *,
    task_status: TaskStatus[str] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; `task_group.start` gives the URL for clients.

    Args:
        improv: the device; its block has been entered.
        url: `gatt://?name=NAME` by BlueZ, `gatt+bumble://TRANSPORT?name=NAME` by bumble.
        trace: is shown commands and what is notified, without keys.
        task_status: of `task_group.start`.

    Raises:
        BindFailed: there is no such Bluetooth; the text says what to do.
        InvalidUrl: the URL makes no sense.
        MissingExtra: the extra `gatt` or `bumble` is not installed.
        UsageError: this is not asyncio, or for BlueZ not Linux.
    """
    server = attribute_server(Url.parse(url))
    service = Characteristics(improv, server.publish, server.advertise, trace)
    await server.serve(service, task_status=task_status)
