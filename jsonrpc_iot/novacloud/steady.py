"""Work that goes on as long as the program, whatever comes in between."""

import logging
from collections.abc import Awaitable, Callable

import anyio

logger = logging.getLogger("jsonrpc_iot.novacloud")

_PAUSE_SECONDS = 1.0


async def keep_running(run: Callable[[], Awaitable[object]], pause: float = _PAUSE_SECONDS) -> None:
    """Do something until it is done; after an error that nobody has thought of, once more.

    A fault in one part of a platform is not to end all others: devices cannot do without them.

    Args:
        run: may be called again when it has failed, and goes on where it was.
        pause: seconds until then.
    """
    while True:
        try:
            await run()
        except Exception:
            logger.exception("a fault of the program; what it was at begins anew")
            await anyio.sleep(pause)
        else:
            return
