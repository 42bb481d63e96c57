"""This project's own peers in other languages, held against the protocol as strangers are."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Final

from tests.firmware.c.lamp import WAYS, Way, build_lamp, served

from .peer import Peer, Serve

_METHODS = (("lamp.get", ""), ("echo", '["x"]'), ("lamp.history", ""), ("lamp.set", "[5]"))
_LINKS: Final[dict[Way, str]] = {
    "uart": "a serial line",
    "dp": "Tuya's DataPoint 232",
    "tcp": "TCP",
    "udp": "UDP",
}


@cache
def _lamp() -> Path:
    folder = tempfile.mkdtemp(prefix="lamp-")
    return build_lamp(Path(folder))


def _serve(way: Way) -> Serve:
    @asynccontextmanager
    async def serve() -> AsyncIterator[str]:
        async with served(_lamp(), way) as (url, _):
            yield url

    return serve


OWN: Final = tuple(
    Peer(
        name=f"firmware/c, {_LINKS[way]}",
        version="",
        link="firmware.md",
        about="its example `host.c`, on this machine",
        serve=_serve(way),
        methods=_METHODS,
    )
    for way in WAYS
)
