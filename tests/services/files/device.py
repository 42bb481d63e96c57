"""A device with files, in memory or at the end of a link, and what is put there."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jsonrpc_iot import Client, Dispatcher, Principal
from jsonrpc_iot.services.files import FolderFiles
from jsonrpc_iot.testing import Faults, LossyLink, served

DATA = bytes(number * number % 251 for number in range(10_000))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wanted(name: str, data: bytes, **more: Any) -> dict[str, Any]:
    """The params of `begin`."""
    return {"name": name, "size": len(data), "sha256": sha256(data), **more}


def device(root: Path, **options: Any) -> Dispatcher:
    """A device whose files everybody may have."""
    dispatcher = Dispatcher()
    dispatcher.include(FolderFiles(root, **options))
    dispatcher.everybody = Principal("everybody", {"files"})
    return dispatcher


@asynccontextmanager
async def client_of(dispatcher: Dispatcher, **link: Any) -> AsyncIterator[Client]:
    """A client at the other end of a link without faults."""
    ends = LossyLink(Faults(), **{"reliable": True, **link})
    async with served(dispatcher, ends.client, ends.server) as both:
        yield both.client
