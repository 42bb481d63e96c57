"""What a description says, in no language's words.

Names and texts are as the device gave them: whoever writes them into a program has to make them fit
(`names` and `texts` help).
"""

from enum import Enum
from typing import TypeAlias, Union

from msgspec import UNSET, Struct, UnsetType

Scalar: TypeAlias = str | int | float | bool | None


class Plain(Enum):
    """Types that hold no others. The last ones are texts of a certain form."""

    ANYTHING = "anything"
    NULL = "null"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    NUMBER = "number"
    TEXT = "text"
    DATE_TIME = "date-time"
    DATE = "date"
    TIME = "time"
    DURATION = "duration"
    UUID = "uuid"
    DECIMAL = "decimal"
    BYTES = "bytes"


class Literals(Struct, frozen=True, eq=False):
    """One of a few values; two of them are never equal, as 1 and `True` would be."""

    values: tuple[Scalar, ...]


class Listed(Struct, frozen=True):
    """An array of any length."""

    items: "Kind"


class Fixed(Struct, frozen=True):
    """An array whose first items have types of their own.

    Args:
        items: those types.
        least: how many of these items are always there.
        rest: the type of any further items, `None` where there are none.
    """

    items: tuple["Kind", ...]
    least: int
    rest: Union["Kind", None]


class Mapping(Struct, frozen=True):
    """An object with members of any name."""

    values: "Kind"


class Choice(Struct, frozen=True):
    """One of several types.

    Args:
        options: the types, at least two, none of them a choice.
        tag: the member that tells objects apart, if the description names it.
    """

    options: tuple["Kind", ...]
    tag: str | None = None


class Named(Struct, frozen=True):
    """The type that a definition describes; `key` is its place in the document."""

    key: str


Kind: TypeAlias = Plain | Literals | Listed | Fixed | Mapping | Choice | Named


class Field(Struct, frozen=True):
    """A member of an object, or a parameter of a method.

    Args:
        name: on the wire.
        kind: its type.
        required: it is always there.
        text: what it is, with its bounds.
        default: what it is where it is left out, as far as that is known.
    """

    name: str
    kind: Kind
    required: bool
    text: str = ""
    default: object | UnsetType = UNSET


class Record(Struct, frozen=True):
    """A definition: an object with known members."""

    name: str
    text: str
    fields: tuple[Field, ...]


class Enumeration(Struct, frozen=True):
    """A definition: one of a few texts, or of a few integers."""

    name: str
    text: str
    values: tuple[str, ...] | tuple[int, ...]


class Alias(Struct, frozen=True):
    """A definition: another name for a type."""

    name: str
    text: str
    kind: Kind


Definition: TypeAlias = Record | Enumeration | Alias


class Error(Struct, frozen=True):
    """What a method may answer instead of a result."""

    code: int
    message: str


class Method(Struct, frozen=True, kw_only=True):
    """A method, or a notification that the device receives.

    Args:
        name: on the wire, in full.
        text: what it does.
        params: what it takes.
        by_name: its params come by name alone.
        by_position: its params come by position alone.
        result: what it answers, or each item of it.
        result_text: more about that.
        streams: the result comes item by item.
        notification: there is no answer.
        errors: what it may answer instead.
        timeout: seconds that the device allows it.
        idempotent: calling it twice is no different from calling it once.
        deprecated: callers should do without it.
    """

    name: str
    text: str = ""
    params: tuple[Field, ...] = ()
    by_name: bool = False
    by_position: bool = False
    result: Kind = Plain.ANYTHING
    result_text: str = ""
    streams: bool = False
    notification: bool = False
    errors: tuple[Error, ...] = ()
    timeout: float | None = None
    idempotent: bool = False
    deprecated: bool = False


class Event(Struct, frozen=True):
    """What the device tells of its own accord."""

    name: str
    kind: Kind
    text: str = ""


class Description(Struct, frozen=True):
    """A device.

    Args:
        title: what it is called.
        version: that of its software.
        text: more about it.
        methods: methods first, then the notifications that it receives.
        events: the notifications that it emits.
        definitions: the types that these speak of, by their places in the document, each after
            those that it needs, except where they need each other.
    """

    title: str
    version: str
    text: str
    methods: tuple[Method, ...]
    events: tuple[Event, ...]
    definitions: dict[str, Definition]
