"""This project's own peers in other languages, held against the protocol as strangers are."""

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache, partial
from pathlib import Path
from typing import Final

from jsonrpc_iot.testing import VirtualSerial
from tests.firmware.c import lamp as in_c
from tests.firmware.micropython import lamp as in_micropython

from .peer import Peer

Served = AbstractAsyncContextManager[tuple[str, VirtualSerial[str] | None]]

_METHODS = (("lamp.get", ""), ("lamp.history", ""), ("lamp.set", "[5]"))
_LINKS: Final = {
    "uart": "a serial line",
    "dp": "Tuya's DataPoint 232",
    "tcp": "TCP",
    "udp": "UDP",
}


@cache
def _built() -> Path:
    return in_c.build_lamp(Path(tempfile.mkdtemp(prefix="lamp-")))


def _run_c(way: in_c.Way) -> Served:
    return in_c.served(_built(), way)


def _run_micropython(way: in_micropython.Way) -> Served:
    return in_micropython.served(way)


@asynccontextmanager
async def _place(served: Callable[[], Served]) -> AsyncIterator[str]:
    async with served() as (url, _):
        yield url


def _peer(name: str, way: str, link: str, about: str, served: Callable[[], Served]) -> Peer:
    return Peer(
        name=f"{name}, {_LINKS[way]}",
        version="",
        link=link,
        about=about,
        serve=partial(_place, served),
        methods=_METHODS,
    )


_C: Final = ("firmware.md", "its example for this machine, in C")
_MICROPYTHON: Final = ("micropython.md", "its example for this machine, in MicroPython")

OWN: Final = (
    *(_peer("firmware/c", way, *_C, partial(_run_c, way)) for way in in_c.WAYS),
    *(
        _peer("firmware/micropython", way, *_MICROPYTHON, partial(_run_micropython, way))
        for way in in_micropython.WAYS
    ),
)
