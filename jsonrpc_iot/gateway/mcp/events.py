"""The notifications of devices: the latest of each name, and who wants to know of new ones."""

import threading
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

import anyio
import msgspec
from msgspec import Raw, Struct

from ...channel.changes import Change
from ...dispatch.openrpc.gather import Document, entries_of
from ...trust.principal import Principal
from .pages import PAGE

_PLACE = "jsonrpc-iot://notifications/"
_MOST_NAMES = 1024
_LARGEST = 64 << 10  # bytes of params that are kept
_PAUSE_SECONDS = 0.25  # in which what changes often is told once


class Latest(Struct, frozen=True):
    """The latest notification of a name.

    Args:
        params: as JSON; `None` where they are too large.
        at: when it came, in Unix time.
        count: how many have come.
        requires: the permission to hear it.
    """

    params: Raw | None
    at: float
    count: int
    requires: str | None


class _Told(Struct):
    """What an assistant reads of a notification."""

    notification: str
    params: Raw | None
    at: str | None
    count: int
    note: str | None = None


def uri_of(shown: str) -> str:
    """The resource that has the latest notification of a name, as assistants know it."""
    return f"{_PLACE}{quote(shown, safe='')}"


def shown_in(uri: str) -> str | None:
    """The name that assistants know in the URI of a resource, `None` where it is another one."""
    if not uri.startswith(_PLACE):
        return None
    return unquote(uri.removeprefix(_PLACE), errors="replace")


def declared(document: Document) -> list[str]:
    """The names of the notifications that a description says are emitted."""
    names = [
        each.get("name")
        for each in entries_of(document, "x-notifications")
        if each.get("direction") == "emitted"
    ]
    return [name for name in names if isinstance(name, str) and name][:_MOST_NAMES]


class Events:
    """Hears what a dispatcher emits. To be made within the event loop.

    Args:
        only: the device whose name is left out of those of its notifications.
    """

    def __init__(self, only: str | None) -> None:
        self._only = "" if only is None else f"{only}."
        self._latest: dict[str, Latest] = {}
        self._new: dict[str, None] = {}
        self._changed = Change()
        self._thread = threading.get_ident()
        self._token = anyio.lowlevel.current_token()

    def shown(self, name: str) -> str:
        """A notification's name, as assistants know it."""
        return name.removeprefix(self._only)

    def hear(self, method: str, params: Any = None, *, requires: str | None = None) -> None:
        """Note a notification, from any thread; see `Dispatcher.on_emit`."""
        if threading.get_ident() != self._thread:
            note = partial(self.hear, method, params, requires=requires)
            anyio.from_thread.run_sync(note, token=self._token)
            return
        method = self.shown(method)
        before = self._latest.get(method)
        if before is None and len(self._latest) >= _MOST_NAMES:
            return
        encoded = msgspec.json.encode(params)
        kept = Raw(encoded) if len(encoded) <= _LARGEST else None
        count = 1 if before is None else before.count + 1
        self._latest[method] = Latest(kept, time.time(), count, requires)
        self._new[method] = None
        self._changed.notify()

    def names(self, principal: Principal | None) -> list[str]:
        """The names that have been heard, as far as somebody may hear them."""
        return [name for name in self._latest if self.may_hear(name, principal)]

    def may_hear(self, name: str, principal: Principal | None) -> bool:
        """Whether somebody may hear what has come under a name."""
        latest = self._latest.get(name)
        if latest is None or latest.requires is None:
            return True
        return principal is not None and principal.permits(latest.requires)

    def read(self, name: str, principal: Principal | None) -> str:
        """The latest notification of a name as JSON, or that there was none yet."""
        latest = self._latest.get(name)
        if latest is None or not self.may_hear(name, principal):
            told = _Told(name, None, None, 0, "None has come yet since this server began.")
        else:
            at = datetime.fromtimestamp(latest.at, UTC).isoformat(timespec="milliseconds")
            told = _Told(name, latest.params, at, latest.count)
            if latest.params is None or len(bytes(latest.params)) > PAGE:
                told.params, told.note = None, "Its params are too large to be shown."
        return msgspec.json.encode(told).decode()

    async def news(self) -> AsyncIterator[list[str]]:
        """The names of what has come, each once in a while however often that is."""
        while True:
            while not self._new:
                await self._changed.wait()
            names, self._new = list(self._new), {}
            yield names
            await anyio.sleep(_PAUSE_SECONDS)
