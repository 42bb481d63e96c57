"""The console of one device: an address on this machine at which a browser finds it.

What the page asks is handed on to the device, and what that says comes back as it is.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ..asgi.console.session import OneTimeKey
from ..channel.tasks import task_group
from ..dispatch.dispatcher import Dispatcher
from ..errors import DeviceOffline, Forbidden
from ..server.serving import serve
from .device import Device
from .face import Face
from .state import DeviceState
from .ways import Where, ways_to

if TYPE_CHECKING:
    from ..trust.keyring import Keyring

_HOST = "127.0.0.1"
_NAME = "device"
_ASKING_SECONDS = 10.0


@asynccontextmanager
async def console_of(
    where: Where | Sequence[Where],
    *,
    port: int = 0,
    keyring: "Keyring | None" = None,
    on_change: Callable[[DeviceState], object] = lambda state: None,
    on_refused: Callable[[str], object] = lambda why: None,
) -> AsyncIterator[str]:
    """Offer a device to a browser on this machine while the block runs.

    The device may be away, and come later. A page that is open when it goes loses its connection,
    as it would if it had one to the device itself.

    Args:
        where: the ways to it, the best one first.
        port: where the page is, 0 for a free one.
        keyring: whose tokens open the page as well, beside the key in the address.
        on_change: is called when the device comes or goes.
        on_refused: is called with the reason when it comes and does not say what it can do.

    Yields:
        The address, with a key that opens it once.

    Raises:
        InvalidUrl: a URL makes no sense.
        BindFailed: the port is taken.
        MissingExtra: the extra `http` is not installed.
    """
    answers = Dispatcher()
    token = secrets.token_hex(8)
    device = Device(
        _NAME,
        ways_to(where, answers.limits),
        answers,
        wait=0.0,
        allow=(),
        deny=(),
        timeout=None,
        requires=None,
        token=token,
    )
    face = Face(device, token, asks_device=True)
    key = OneTimeKey()
    urls = [f"{scheme}://{_HOST}:{port}/" for scheme in ("http", "ws")]
    async with (
        serve(
            face,
            *urls,
            authenticate=key.authenticate,
            keyring=keyring,
            strangers=False,
            console=key,
        ) as server,
        task_group() as tasks,
    ):

        def tell() -> None:
            if device.target is None:
                for peer in server.peers:
                    peer.leave(0.0)
            else:
                tasks.start_soon(_ask, device, on_refused)
            on_change(device.state)

        device.on_change = tell
        device.on_notification = face.emit
        tasks.start_soon(device.run, tasks)
        try:
            yield f"{server.urls[0]}#{key.text}"
        finally:
            device.is_watched = False
            tasks.cancel_scope.cancel()


async def _ask(device: Device, on_refused: Callable[[str], object]) -> None:
    """See whether a device says what it can do."""
    await device.describe(_ASKING_SECONDS)
    try:
        device.check_described()
    except Forbidden as refused:
        on_refused(refused.message)
    except DeviceOffline:
        pass
