"""Every kind of type that a parameter may have, and values as they travel, fitting or not."""

import dataclasses
import datetime as dt
import decimal
import enum
import uuid
from collections.abc import Mapping, Sequence
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    TypedDict,
    TypeVar,
)

import attrs
from msgspec import UNSET, Meta, Struct, UnsetType

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Access(enum.IntFlag):
    READ = 4
    WRITE = 2
    RUN = 1


class Side(enum.Flag):
    LEFT = 1
    RIGHT = 2


class Word(enum.StrEnum):
    A = "a"


class Point(NamedTuple):
    x: int
    y: int = 0


class Record(TypedDict):
    a: int
    b: NotRequired[str]


@dataclasses.dataclass
class Data:
    a: int
    b: list[int] = dataclasses.field(default_factory=list)


@attrs.define
class Attrs:
    a: int
    b: str = "x"


class Cat(Struct, tag="cat"):
    name: str


class Dog(Struct, tag="dog"):
    age: int


class Row(Struct, array_like=True):
    a: int
    b: str = "z"


class ClosedRow(Struct, array_like=True, forbid_unknown_fields=True):
    a: int
    b: str = "z"


class Closed(Struct, forbid_unknown_fields=True, rename="camel"):
    long_name: int


class Tree(Struct):
    v: int
    kids: list["Tree"] = []


class Maybe(Struct, omit_defaults=True):
    a: int | UnsetType = UNSET
    b: str | None = None


class Box(Struct, Generic[T]):
    item: T


UserId = NewType("UserId", int)

KINDS: list[Any] = [
    int,
    bool,
    float,
    str,
    None,
    bytes,
    decimal.Decimal,
    decimal.Decimal | None,
    uuid.UUID,
    dt.datetime,
    dt.date,
    dt.time,
    dt.timedelta,
    Colour,
    Level,
    Access,
    Side,
    list[Access],
    Word,
    Literal["a", 1, None],
    Point,
    Record,
    Data,
    Attrs,
    Cat | Dog,
    Row,
    ClosedRow,
    Closed,
    Tree,
    Maybe,
    int | str | None,
    int | float,
    Box[int],
    Box[Cat],
    UserId,
    Annotated[int, Meta(ge=0, le=100, description="per cent")],
    Annotated[int, Meta(multiple_of=5)],
    Annotated[float, Meta(gt=0, lt=1)],
    Annotated[str, Meta(pattern="^[a-z]+$", max_length=8)],
    Annotated[list[int], Meta(min_length=1, max_length=2)],
    tuple[int, str],
    tuple[int, ...],
    tuple[()],
    tuple[tuple[int, int], Level],
    set[int],
    frozenset[str],
    list[tuple[int, int]],
    list,
    dict,
    dict[str, int],
    dict[int, str],
    dict[Colour, int],
    dict[uuid.UUID, int],
    Any,
    object,
    Sequence[int],
    Mapping[str, int],
]

ID = "00000000-0000-0000-0000-000000000005"
VALUES: list[Any] = [
    *(None, True, False, 0, 1, 2, 3, 4, 5, 7, 8, -1, 40, 100, 101, 2**62),
    *(0.5, 1.5, 1.0, 40.0, 4e1, -0.0, -1.0, 1e15),
    *("", "a", "b", "red", "blue", "abcdefghi", "1", "1.10", "-1e5", "NaN", "x y", ID, "AP8="),
    *("2024-05-01T01:02:03Z", "2024-05-01T01:02:03", "2024-02-29", "23:59:59", "P1DT2S"),
    *([], [1], [1, 2], [1.0, 2.0], [1, "a"], [1, "a", 3], ["a"], ["a", "b"], [1, 1], [[1, 2], 1]),
    *([[1, 2], [3, 4]], [[1.0, 2]], [[1, 2, 3]], [[1, 2], 2.0], [6], [None], [1, 2, 3]),
    *({}, {"a": 1}, {"a": 1.0}, {"a": "1"}, {"a": 1, "b": "c"}, {"a": 1, "b": [2.0]}, {"a": None}),
    *({"a": 1, "b": None}, {"a": 1, "c": 2}, {"b": "x"}, {"1": "a"}, {"red": 1}, {ID: 2}),
    *({"type": "cat", "name": "m"}, {"type": "dog", "age": 3.0}, {"type": "cow"}, {"name": "m"}),
    *({"longName": 5}, {"longName": 5, "x": 1}, {"long_name": 5}, {"v": 1, "kids": [{"v": 2.0}]}),
    *({"v": 1, "kids": [{}]}, {"item": 4}, {"item": {"type": "cat", "name": "m"}}, {"item": "x"}),
]
