"""What another end says of itself, asked when somebody wants to know, and kept for a while.

It is not trusted, and of what it says only that is told which may be used.
"""

import math
from contextlib import suppress

import anyio
from msgspec import Struct

from ..channel.clock import now
from ..errors import (
    DeviceOffline,
    InvalidParams,
    JsonRpcIotError,
    MalformedResponse,
    RpcError,
    Unauthorized,
)
from .declare.target import Target
from .openrpc.gather import Document, entries_of, gather, is_idempotent, only

_FRESH_SECONDS = 60.0
_ASKING_SECONDS = 10.0
_MOST_ENTRIES = 4096
_MOST_DOTS = 8  # where ends forward to each other, names would grow without end
_ABOUT_IT = ("rpc.discover", "rpc.methods", "rpc.ping")
"""What may be asked of the other end by name; all else under `rpc.` is between it and us."""


class Description(Struct, frozen=True, eq=False):
    """What another end says of itself; a new one each time.

    Args:
        document: the OpenRPC document, of which nothing is certain but that names are texts.
    """

    document: Document

    def names(self, prefix: str) -> list[str]:
        """The names of the methods, without those of the protocol where a prefix is to come."""
        names: list[str] = [each["name"] for each in entries_of(self.document, "methods")]
        return [name for name in names if not (prefix and name.startswith("rpc."))]


NOTHING = Description({"openrpc": "1.3.2", "info": {"title": "", "version": ""}, "methods": []})
"""The description of who says nothing."""


class Described:
    """The other end behind a prefix, as far as it has methods.

    Args:
        target: reaches it, if that is open already.

    Attributes:
        target: as above.
    """

    def __init__(self, target: Target | None) -> None:
        self.target = target
        self._description = NOTHING
        self._described_at = -math.inf
        self._refused: DeviceOffline | Unauthorized | None = None
        self._describing = anyio.Lock()
        self._entries: dict[str, Document] = {}
        self._entries_at = -math.inf

    def offers(self, method: str) -> bool:
        """Whether a method or notification may be used, by its name at the other end."""
        if method.startswith("rpc."):
            return method in _ABOUT_IT
        return method.count(".") < _MOST_DOTS

    async def describe(self, seconds: float) -> Description:
        """What the other end says of itself, or has said before if it cannot be had in time.

        Args:
            seconds: to wait for it.
        """
        with anyio.move_on_after(seconds):
            async with self._describing:
                if self.target is not None and not self.is_described:
                    self._refused = None
                    try:
                        document = await gather(self.target, "", min(seconds, _ASKING_SECONDS))
                        self._description = Description(only(document, self._shows))
                        methods = entries_of(self._description.document, "methods")
                        self._entries = {each["name"]: each for each in methods}
                        self._entries_at = now()
                    except (DeviceOffline, Unauthorized) as refused:
                        self._refused = refused
                    except JsonRpcIotError:
                        pass
                    if not isinstance(self._refused, DeviceOffline):  # which comes back unheard
                        self._described_at = now()
        return self._description

    async def describe_one(self, method: str, seconds: float) -> Document:
        """What the other end says of a method or notification, by its name there.

        Args:
            method: the name.
            seconds: to wait for it.

        Raises:
            InvalidParams: nothing has that name.
        """
        found: Document = {}
        if self.target is not None and self._shows(method):
            try:
                found = await self.target.call(
                    "rpc.discover",
                    {"method": method},
                    result=Document,
                    timeout=seconds,
                    idempotent=True,
                )
            except (InvalidParams, MalformedResponse):
                pass
            except JsonRpcIotError:  # it knows itself as a whole, or not at all
                found = (await self.describe(seconds)).document
        found = only(found, lambda name: name == method)
        if not (found["methods"] or found.get("x-notifications")):
            raise InvalidParams(data={"path": "$.method", "message": "Nothing has that name"})
        return found

    def idempotence(self, method: str) -> bool | None:
        """Whether it does no harm to call a method twice; `None` where that is not known."""
        if method in _ABOUT_IT:
            return True
        entry = self._entries.get(method)
        return None if entry is None else is_idempotent(entry)

    async def learn(self, method: str, seconds: float) -> Document:
        """What the other end says of a method in its list of methods; empty where it says nothing.

        Args:
            method: the name there.
            seconds: to wait for that.
        """
        found: Document = {}
        with anyio.move_on_after(seconds), suppress(JsonRpcIotError):
            async with self._describing:  # what many want to know is asked once
                if len(self._entries) > _MOST_ENTRIES or now() - self._entries_at > _FRESH_SECONDS:
                    self._entries, self._entries_at = {}, now()
                if method in self._entries:
                    return self._entries[method]
                if self.target is None:
                    return found
                with suppress(RpcError, MalformedResponse):
                    piece = await self.target.call(
                        "rpc.discover", {"method": method}, result=Document, timeout=seconds
                    )
                    entries = entries_of(piece, "methods", method)
                    found = entries[0] if entries else found
                self._entries[method] = found
        return found

    def _shows(self, method: str) -> bool:
        """Whether what the other end says of a method or notification is told."""
        return method.startswith("rpc.") or self.offers(method)

    @property
    def is_described(self) -> bool:
        """Whether the other end has been asked not long ago what it is."""
        return now() - self._described_at < _FRESH_SECONDS

    def forget_description(self) -> None:
        """Ask anew for what the other end says of itself: it may be another one now."""
        self._described_at = -math.inf
        self._entries = {}


def texts_among(entry: Document) -> list[str]:
    """The names of a method's params that are texts and nothing else."""
    return [
        str(param.get("name"))
        for param in entries_of(entry, "params")
        if isinstance(schema := param.get("schema"), dict) and schema.get("type") == "string"
    ]
