"""`put`: a file of this machine becomes one of a device."""

import os

from jsonrpc_iot import Client, MalformedResponse, MessageTooLarge

from .by_position import call_by_position, full_name
from .interface import Begun, FileExists, FileInfo, Files, InUse, NoRoom, NotAllowed, TransferId
from .sending import Progress, Sending
from .source import Source

_ERRORS = (FileExists, NoRoom, NotAllowed, InUse)

PATIENCE = 60.0
"""Seconds for which a transfer goes on with nothing getting through."""


async def put(
    client: Client,
    path: str | os.PathLike[str],
    name: str | None = None,
    *,
    replace: bool = False,
    progress: Progress | None = None,
    patience: float = PATIENCE,
    prefix: str = "",
) -> FileInfo:
    """Send a file to a device that has the service `files`.

    The device keeps what has arrived: after a cut, and when either end was restarted, this goes on
    from there, also when it is called anew. Give it a client that reconnects, so that it does so
    by itself.

    Args:
        client: leads to the device.
        path: of the file.
        name: what it is called there; as here by default.
        replace: it may replace another file of that name.
        progress: is called with the bytes that are there, and those that there will be.
        patience: seconds to go on with nothing getting through.
        prefix: what the device, or a gateway, put before the service's names.

    Returns:
        The file as it is there.

    Raises:
        FilesError: the device refuses it; of the class of its code.
        RpcError: as above.
        CallTimeout: nothing has got through for too long; or as `Client.call`.
        ChannelClosed: the connection ended, of a client that does not reconnect.
        OSError: the file cannot be read.
    """
    source = Source(path)
    await source.measure()
    name = source.path.name if name is None else name
    files = client.proxy(Files, prefix=prefix)
    params = (name, source.size, source.sha256, *([True] if replace else ()))

    async def begin() -> Begun:
        try:
            return await files.begin(*params)
        except MessageTooLarge:
            method = full_name(prefix, "files.begin")
            return await call_by_position(client, method, params, Begun, errors=_ERRORS)

    async def commit(transfer: TransferId) -> None:
        committed = await files.commit(transfer)
        if committed.sha256.lower() != source.sha256:
            raise MalformedResponse(f"the device has taken a file of hash {committed.sha256}")

    sending = Sending(
        client,
        source,
        full_name(prefix, "files.write"),
        begin,
        files.write,
        progress=progress,
        patience=patience,
    )
    await sending.send(commit)
    return FileInfo(name=name, size=source.size, sha256=source.sha256)
