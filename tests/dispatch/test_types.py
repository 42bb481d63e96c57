"""Types that params cannot have, and integers that come with a fraction of zero."""

import enum
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Protocol, TypedDict

import annotated_types
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from jsonrpc_iot import Dispatcher
from jsonrpc_iot.protocol.codec.json import JsonCodec
from jsonrpc_iot.protocol.codec.msgpack import MsgpackCodec

from ._messages import error, request, value


class Plain:
    pass


class Model(pydantic.BaseModel):
    a: int


class Shape(Protocol):
    a: int


class Holder(Struct):
    inside: Plain | None = None


UNKNOWN: list[Any] = [
    *(Plain, Model, Path, Shape, complex, range, type, Callable[[], int], Iterable[int]),
    *(list[Path], dict[str, Model], Plain | None, Holder, tuple[int, Shape], Annotated[Path, "x"]),
]


def register(kind: Any) -> Dispatcher:
    def take(v: Any) -> Any:
        return v

    take.__annotations__["v"] = kind
    dispatcher = Dispatcher()
    dispatcher.method("take")(take)
    return dispatcher


@pytest.mark.parametrize("kind", UNKNOWN, ids=str)
def test_a_type_that_cannot_be_made_is_refused_at_once(kind: Any) -> None:
    with pytest.raises(TypeError, match=r"^method 'take', parameter 'v': .*not supported"):
        register(kind)


class Bounded(Struct):
    level: Annotated[int, annotated_types.Ge(0)]


@dataclass
class BoundedData:
    levels: list[Annotated[int, annotated_types.Lt(9)]] = field(default_factory=list)


class BoundedDict(TypedDict):
    level: Annotated[int, pydantic.Field(le=9)]


class Tree(Struct):
    kids: "list[Tree]"
    level: Annotated[int, Meta(ge=0)] = 0


@dataclass(frozen=True)
class OwnLimit:
    ge: int


@dataclass(frozen=True)
class Unit:
    name: str


FOREIGN: list[Any] = [
    Annotated[int, annotated_types.Ge(0)],
    Annotated[str, annotated_types.Len(1, 2)],
    Annotated[int, pydantic.Field(ge=0)],
    pydantic.PositiveInt,
    list[Annotated[int, annotated_types.Gt(0)]],
    Annotated[int, annotated_types.Gt(0)] | None,
    Annotated[int, OwnLimit(ge=0)],
    Bounded,
    BoundedData,
    dict[str, BoundedDict],
]


@pytest.mark.parametrize("kind", FOREIGN, ids=str)
def test_a_constraint_of_another_library_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match=r"parameter 'v': .* is not checked: .*msgspec\.Meta"):
        register(kind)


def test_a_default_of_another_library_is_refused() -> None:
    def take(v: int = pydantic.Field(ge=0)) -> None: ...

    with pytest.raises(TypeError, match=r"parameter 'v': the default .* means nothing here"):
        Dispatcher().method(take)


@pytest.mark.parametrize(
    "kind", [Annotated[float, Unit("C")], Annotated[int, "in mm", Meta(ge=0)], Tree], ids=str
)
def test_what_else_is_annotated_is_none_of_our_business(kind: Any) -> None:
    register(kind)


class Level(enum.IntEnum):
    LOW = 1


class Point(Struct):
    x: int
    y: float = 0.0


@pytest.mark.parametrize("codec", [JsonCodec(), MsgpackCodec()], ids=["json", "msgpack"])
@pytest.mark.parametrize(
    ("kind", "sent", "taken"),
    [
        (int, 40.0, 40),
        (int, -0.0, 0),
        (Annotated[int, Meta(ge=0, le=100)], 4e1, 40),
        (int | None, 1.0, 1),
        (int | str, 1.0, 1),
        (Level, 1.0, Level.LOW),
        (list[int], [1, 2.0], [1, 2]),
        (dict[str, tuple[int, float]], {"a": [1.0, 1.5]}, {"a": (1, 1.5)}),
        (Point, {"x": 2.0, "y": 3.0}, Point(2, 3.0)),
    ],
    ids=str,
)
def test_a_fraction_of_zero_makes_no_other_number(
    codec: JsonCodec | MsgpackCodec, kind: Any, sent: Any, taken: Any
) -> None:
    found = codec.decode_params(codec.encode(sent), kind)
    assert found == taken
    assert type(found) is type(taken)


@pytest.mark.parametrize("raw", ["40.0", "4e1", "40.00", "400e-1", "0.4E+2"])
def test_every_spelling_of_an_integer(raw: str) -> None:
    message = b'{"id":1,"method":"take","params":%s}'
    for params in (f"[{raw}]", f'{{"v":{raw}}}'):
        assert value(register(int).dispatch_sync(message % params.encode())) == 40


def test_no_digit_is_lost() -> None:
    reply = register(int).dispatch_sync(b'{"id":1,"method":"take","params":[9007199254740993.0]}')
    assert value(reply) == 9007199254740993


@pytest.mark.parametrize("raw", ['"40"', "40.5", "true", '"40.0"', "1e400", "0." + "0" * 500])
def test_other_values_stay_refused(raw: str) -> None:
    reply = register(int).dispatch_sync(b'{"id":1,"method":"take","params":[%s]}' % raw.encode())
    assert error(reply)["code"] == -32602


def test_the_complaint_is_about_what_is_wrong() -> None:
    reply = register(tuple[int, int]).dispatch_sync(request("take", [[1.0, "x"]]))
    assert error(reply)["data"]["path"] == "$[0][1]"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_an_integer_or_refused(number: float) -> None:
    reply = register(int).dispatch_sync(request("take", [number]))
    if number.is_integer():
        assert value(reply) == int(Decimal(repr(number)))  # as it is written, to the last digit
    else:
        assert error(reply)["code"] == -32602


def test_a_result_is_as_strict_as_ever() -> None:
    with pytest.raises(msgspec.ValidationError):
        JsonCodec().decode_value(json.dumps(40.0).encode(), int)
