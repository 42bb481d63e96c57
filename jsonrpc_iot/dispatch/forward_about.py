"""What a dispatcher says of itself that forwards: its own methods, and those of the other ends.

The other ends are asked when somebody wants to know, all at once, and what they say is kept for a
while. It is not trusted.
"""

import math
from typing import Any

import anyio

from ..channel.tasks import task_group
from ..errors import InvalidParams
from .declare.context import Context
from .declare.options import Options
from .described import NOTHING, Description
from .forward import Forward
from .handler import Handler
from .openrpc.document import document
from .openrpc.gather import Document, add
from .rpc_methods import Builtin, names_of
from .table import Entries, HandlerTable, Place
from .unknown import permitted

_SECONDS = 5.0
_AT_ONCE = 32


class ForwardAbout:
    """`rpc.methods` and `rpc.discover` of one dispatcher that forwards.

    Args:
        builtin: says what the dispatcher has of its own.
        table: what it has, and forwards.
    """

    def __init__(self, builtin: Builtin, table: HandlerTable) -> None:
        self._builtin = builtin
        self._table = table

    async def methods(self, context: Context) -> list[str]:
        """List the names that the caller may call, sorted.

        Raises:
            RpcError: this is a device's own address, and it is away or refuses to say.
        """
        names = {entry.name for entry in permitted(self._table.methods, context)}
        if "" in self._table.forwards:
            names = {name for name in names if name.startswith("rpc.")}
        pieces = await self._ask(context)
        own = self._table.forwards.get("")
        if "" in pieces and isinstance(own, Forward):
            own.check_described()
        for prefix, found in pieces.items():
            names |= {f"{prefix}{name}" for name in found.names(prefix)}
        return sorted(names)

    async def discover(
        self, context: Context, method: str | None = None, device: str | None = None
    ) -> Any:
        """Describe the methods and notifications of this peer and of its devices.

        As an OpenRPC document, in which the names of a device's begin with its own. What the caller
        may not call is left out. With `method` it holds what has that name alone, cut down to what
        fits one message.

        Args:
            context: the caller's.
            method: the name of a method or notification.
            device: the name of a device, to be described as it does it itself.

        Raises:
            InvalidParams: nothing has that name.
            RpcError: this is a device's own address, and it is away or refuses to say.
        """
        if device is not None or "" in self._table.forwards:
            return await self._describe(context, device or "", method, prefix="")
        if method is None:
            return await self._whole(context)
        name, dot, rest = method.partition(".")
        if dot and name in self._table.forwards:
            return await self._describe(context, name, rest, prefix=f"{name}.")
        return self._builtin.discover(context, method)

    async def _whole(self, context: Context) -> Any:
        found = await self._ask(context)
        contents = self._builtin.contents(context)

        def make() -> Document:
            whole = document(contents)
            for prefix, piece in found.items():
                add(whole, piece.document, prefix)
            return whole

        return self._builtin.keep(context, (*names_of(contents), *found.items()), make)

    async def _describe(
        self, context: Context, name: str, method: str | None, prefix: str
    ) -> Document:
        forward = self._table.forwards.get(name)
        if not isinstance(forward, Forward) or not context.permits(forward.options.requires):
            raise InvalidParams(data={"path": "$.device", "message": "No device has that name"})
        if method is None:
            found = (await forward.describe(_patience(context))).document
            if not name:
                forward.check_described()
        else:
            found = await forward.describe_one(method, _patience(context))
        if not prefix:
            return found
        whole = {**found, "methods": [], "x-notifications": []}
        add(whole, found, prefix)
        return whole

    async def _ask(self, context: Context) -> dict[str, Description]:
        """What the other ends say of themselves, by prefix, as far as the caller may use them."""
        wanted = {
            prefix: forward
            for prefix, forward in sorted(self._table.forwards.items())
            if isinstance(forward, Forward) and context.permits(forward.options.requires)
        }
        found = dict.fromkeys(wanted, NOTHING)
        seconds = _patience(context)
        waiting = iter(wanted.items())

        async def ask() -> None:
            for prefix, forward in waiting:
                found[prefix] = await forward.describe(seconds)

        async with task_group() as tasks:
            for _ in range(min(_AT_ONCE, len(wanted))):
                tasks.start_soon(ask)
        return {f"{prefix}." if prefix else "": piece for prefix, piece in found.items()}

    def places(self) -> list[tuple[Entries, Place]]:
        """Their places in the table."""
        options = Options(idempotent=True)
        return [
            (self._table.methods, (name, Handler(name, function, options), ()))
            for name, function in (("rpc.methods", self.methods), ("rpc.discover", self.discover))
        ]


def _patience(context: Context) -> float:
    """Seconds for an answer: half of what there is, where somebody asks who is asked himself."""
    left = math.inf if context.deadline is None else context.deadline - anyio.current_time()
    return min(_SECONDS, left / 2)
