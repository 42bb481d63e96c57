"""How a handler is run and described: the options of the decorators, and what they are checked for.

Whether an example fits a signature is left to `handler`, which knows the signature.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict, get_args

from msgspec import Struct
from msgspec.structs import force_setattr

from ...errors import RpcError
from .entity import Button, Entity

KindOfError = type[RpcError] | RpcError

Effect: TypeAlias = Literal["read", "change", "danger"]
"""What a call does: it only looks, it changes something, or what it does cannot be undone."""


class Names(dict[str, str]):
    """A copy of names that nobody else changes, so that it has a hash."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))


NO_NAMES = Names()


class Example(Struct, frozen=True, eq=False):
    """A call of a method and its result, for the description of a device.

    Args:
        name: what it shows, in a word or two.
        params: those of the call, by name.
        result: what the call gives; a notification has none.
        summary: more about it, in a sentence.
    """

    name: str
    params: dict[str, Any] = {}
    result: Any = None
    summary: str = ""


class NotificationOptions(TypedDict, total=False):
    """What `@notification` takes beside a name; `Options` says what it means."""

    thread: bool
    serial: bool
    timeout: float | None
    requires: str | None
    tags: Sequence[str]
    deprecated: bool
    examples: Sequence[Example]
    names: Mapping[str, str]


class MethodOptions(NotificationOptions, total=False):
    """What `@method` takes beside a name; `Options` says what it means."""

    idempotent: bool
    effect: Effect | None
    errors: Sequence[KindOfError]
    entity: Entity | None
    button: bool


class Options(Struct, frozen=True, kw_only=True):
    """How a handler is run, and what its description says beside its signature.

    Args:
        thread: run it in a worker thread, for code that blocks.
        serial: run it one call at a time per peer, in order of arrival.
        timeout: seconds until it is cancelled and answered with -32002.
        requires: the permission that a caller needs.
        idempotent: calling it twice is no different from calling it once; of what only reads that
            is so by itself.
        effect: what a call does, for who decides whether it may be made: it only reads, it changes
            something, or it is a danger; `None` says nothing.
        errors: what it raises for its callers: children of `RpcError`, or instances of it.
        tags: words to group methods by.
        deprecated: callers should do without it.
        examples: calls that show its use.
        names: what callers call a parameter that Python has to call otherwise, by its name there:
            `{"from_": "from"}`.
        entity: what it is in a smart home; see Home Assistant.
        button: it is a button there.

    Raises:
        ValueError: the timeout is not more than 0, the effect is none of those, a tag or the name
            of an example is empty, or two errors have one code.
        TypeError: errors, tags, examples or names are something else.
    """

    thread: bool = False
    serial: bool = False
    timeout: float | None = None
    requires: str | None = None
    idempotent: bool = False
    effect: Effect | None = None
    errors: Sequence[KindOfError] = ()
    tags: Sequence[str] = ()
    deprecated: bool = False
    examples: Sequence[Example] = ()
    names: Mapping[str, str] = NO_NAMES
    entity: Entity | None = None
    button: bool = False

    def __post_init__(self) -> None:
        if self.timeout is not None and not self.timeout > 0:
            raise ValueError(f"timeout={self.timeout}: a timeout is more than 0 seconds")
        if self.effect is not None and self.effect not in get_args(Effect):
            raise ValueError(f"effect={self.effect!r}: it is one of {', '.join(get_args(Effect))}")
        if self.effect == "read":
            force_setattr(self, "idempotent", True)
        for name in ("errors", "tags", "examples"):  # tuples, which nobody changes later
            force_setattr(self, name, _as_tuple(name, getattr(self, name)))
        if self.button:
            force_setattr(self, "entity", self.entity or Button())
        if self.entity is not None and not isinstance(self.entity, Entity):
            raise TypeError(f"entity={self.entity!r}: it is made with Switch(...) and the like")
        _check_errors(self.errors)
        if not all(isinstance(tag, str) for tag in self.tags):
            raise TypeError(f"tags={self.tags!r}: tags are texts")
        if not all(isinstance(example, Example) for example in self.examples):
            raise TypeError(f"examples={self.examples!r}: examples are made with Example(...)")
        if not all(isinstance(example.params, dict) for example in self.examples):
            raise TypeError(f"examples={self.examples!r}: their params are dicts, by name")
        if not all(isinstance(name, str) for each in self.names.items() for name in each):
            raise TypeError(f"names={self.names!r}: names are texts")
        force_setattr(self, "names", Names(self.names))
        if not all(self.tags) or not all(example.name for example in self.examples):
            raise ValueError("tags and the names of examples are not empty")


def error_class(error: KindOfError) -> type[RpcError]:
    """The class of a declared error."""
    return error if isinstance(error, type) else type(error)


def _as_tuple(name: str, value: Sequence[Any]) -> tuple[Any, ...]:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise TypeError(f"{name}={value!r}: several {name} stand in a tuple or list")
    return tuple(value)


def _check_errors(errors: Sequence[KindOfError]) -> None:
    for error in errors:
        is_class = isinstance(error, type) and issubclass(error, RpcError)
        if not is_class and not isinstance(error, RpcError):
            raise TypeError(f"errors: {error!r} is neither a child of RpcError nor an RpcError")
    codes = Counter(error.code for error in errors)
    for code, number in codes.items():
        if number > 1:
            raise ValueError(f"errors: {number} have the code {code}")
