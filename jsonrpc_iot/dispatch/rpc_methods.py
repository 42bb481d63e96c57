"""The methods under `rpc.` that every dispatcher has."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

from msgspec import UNSET, Raw, Struct, structs
from msgspec.json import encode

from ..errors import InvalidParams
from ..protocol.codec.codec import DECODE_ERRORS, Codec
from ..protocol.codec.floats import has_nan
from ..protocol.messages import Id
from ..protocol.patterns import MAX_PATTERNS, Patterns
from .declare.context import Context
from .declare.service import Mark, declared, method, notification, service
from .handler import Handler
from .openrpc.document import Contents, Event, Info, document, document_of_one
from .openrpc.shrink import Document
from .run.context import CallContext
from .table import Entry, HandlerTable, Place
from .unknown import permitted

_KEPT_DOCUMENTS = 256
_LONG_ID = 16  # bytes
_ENVELOPE_BYTES = len('{"jsonrpc":"2.0","id":,"result":}')


class About(Struct, frozen=True):
    """What a dispatcher is, to be described.

    Args:
        title: what it is called.
        version: that of its software; this package's own by default.
        description: more about it.
    """

    title: str = "JSON-RPC"
    version: str | None = None
    description: str | None = None


@service("rpc")
class _Protocol:
    """The methods of the protocol itself, which are the same for all dispatchers."""

    @method(idempotent=True)
    def ping(self) -> bool:
        """Answer `true`: this peer is there, and knows the protocol's extensions."""
        return True

    @method(idempotent=True)
    def subscribe(self, context: CallContext, patterns: list[str]) -> None:
        """Send the caller only the notifications that match: names, or beginnings as in `door.*`.

        Args:
            context: the caller's.
            patterns: at most 64 of them; by position they may be the params themselves.
        """
        if len(patterns) > MAX_PATTERNS:
            problem = f"Expected at most {MAX_PATTERNS} patterns"
            raise InvalidParams(data={"path": "$.patterns", "message": problem})
        context.subscribe(Patterns(patterns))

    @method(idempotent=True)
    def unsubscribe(self, context: CallContext) -> None:
        """Send the caller all notifications again."""
        context.subscribe(None)

    @method(idempotent=True)
    async def authenticate(self, context: CallContext, token: str) -> bool:
        """Prove who the caller is, for as long as its connection lives.

        What it sends before it has the answer may be judged as if it came before.

        Args:
            context: the caller's.
            token: a bearer token.
        """
        await context.prove(token)
        return True

    @notification
    def more(
        self, context: CallContext, id: Id, upto: int = 0, missing: list[int] | None = None
    ) -> None:
        """Let a streamed call send its items below `upto`, and send missing ones again."""
        context.more(id, upto, missing or ())

    @notification
    def cancel(self, id: Id, context: CallContext) -> None:
        """Cancel the caller's running call of that id, which then answers -32003."""
        context.cancel(id)


@service("rpc")
class Builtin:
    """The methods of one dispatcher that tell what it has.

    Args:
        about: what the dispatcher is.
        table: what it has.
    """

    def __init__(self, about: About, table: HandlerTable) -> None:
        self._about = about
        self._table = table
        self._documents: dict[tuple[object, ...], Any] = {}  # by what they show, and to whom
        table.on_change(self._documents.clear)

    def tell_version(self, version: str) -> None:
        """Have the description say another version of the software."""
        self._about = structs.replace(self._about, version=version)
        self._documents.clear()

    @method(idempotent=True)
    def methods(self, context: Context) -> list[str]:
        """List the names that the caller may call, sorted."""
        return [entry.name for entry in permitted(self._table.methods, context)]

    @method(idempotent=True)
    def discover(self, context: Context, method: str | None = None) -> dict[str, Any]:
        """Describe the methods and notifications of this peer, as an OpenRPC document.

        What the caller may not call is left out. With `method` it holds what has that name alone,
        cut down to what fits one message.

        Args:
            context: the caller's.
            method: the name of a method or notification.
        """
        contents = self.contents(context)
        if method is None:
            whole: Document = self.keep(context, names_of(contents), lambda: document(contents))
            return whole
        contents = _only(contents, method)
        if not (contents.methods or contents.notifications or contents.events):
            raise InvalidParams(data={"path": "$.method", "message": "Nothing has that name"})
        if context.id is UNSET:  # a notification, which nobody answers
            return {}
        limit = None if context.info is None else context.info.max_message
        room = None if limit is None else limit - _ENVELOPE_BYTES - _room_of_id(context.id)
        key = method, room, *names_of(contents)
        one: Document = self.keep(context, key, lambda: document_of_one(contents, room))
        return one

    def contents(self, context: Context) -> Contents:
        """What there is for a caller."""
        return Contents(
            Info(self._about.title, self._about.version or _version(), self._about.description),
            permitted(self._table.methods, context),
            [each for each in permitted(self._table.notifications, context) if not _is_ours(each)],
            self._audible(context),
        )

    def keep(self, context: Context, key: tuple[object, ...], make: Callable[[], Document]) -> Any:
        """A document, which takes long enough to make and write that callers must not flood us.

        Args:
            context: the caller's.
            key: what the document depends on.
            make: makes it.
        """
        is_json = context.info is None or context.info.codec == "json"
        key = is_json, *key
        if key not in self._documents:
            if len(self._documents) >= _KEPT_DOCUMENTS:
                self._documents.clear()
            made = make()
            self._documents[key] = _written(made) if is_json else made
        return self._documents[key]

    def _audible(self, context: Context) -> dict[str, Event]:
        """The events that the caller may hear."""
        requires = self._table.requires.get
        return {
            name: Event(kind, requires(name))
            for name, kind in sorted(self._table.events.items())
            if context.permits(requires(name))
        }


def _written(made: Document) -> Any:
    """A document as it is sent, or as it is if it cannot be, which is said where it is tried."""
    with suppress(TypeError, ValueError):
        return made if has_nan(made) else Raw(encode(made))
    return made


def names_of(contents: Contents) -> tuple[str, ...]:
    """The names of all that a document describes."""
    entries = (*contents.methods, *contents.notifications)
    return (*(each.name for each in entries), *contents.events)


def _room_of_id(id: object) -> int:
    """Bytes that an id takes; long ones so many that no caller gets a document for each length."""
    size = len(encode(id))
    return size if size <= _LONG_ID else -(-size // _LONG_ID) * _LONG_ID


class _Subscribing(Handler):
    """The handler of `rpc.subscribe`, whose params may be the patterns themselves."""

    def parse(self, raw: bytes, codec: Codec) -> Struct:
        """Decode params; see `Handler.parse`."""
        with suppress(*DECODE_ERRORS):
            return self.params(patterns=codec.decode_value(raw, list[str]))
        return super().parse(raw, codec)


@cache
def protocol_places() -> Sequence[tuple[Mark, Place]]:
    """The methods and notifications of the protocol itself, made once for all dispatchers."""
    made: list[tuple[Mark, Place]] = []
    for each in declared(_Protocol()):
        name = f"rpc.{each.mark.name}"
        kind = _Subscribing if name == "rpc.subscribe" else Handler
        made.append((each.mark, (name, kind(name, each.function, each.mark.options), ())))
    return made


def _is_ours(entry: Entry) -> bool:
    """Whether it belongs to the protocol, so that no document need say what it is."""
    return entry.name.startswith("rpc.")


def _only(contents: Contents, name: str) -> Contents:
    """What has that name."""
    return Contents(
        contents.info,
        [entry for entry in contents.methods if entry.name == name],
        [entry for entry in contents.notifications if entry.name == name],
        {each: event for each, event in contents.events.items() if each == name},
    )


@cache
def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("jsonrpc-iot")
    except PackageNotFoundError:  # a source tree that is not installed
        return "unknown"
