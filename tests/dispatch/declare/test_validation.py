"""Params checked against the types of the signature."""

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec
import pytest
from msgspec import Meta, Raw, Struct

from jsonrpc_iot import Busy, Dispatcher, InvalidParams
from tests.dispatch._messages import error, request, value, wrong_param

UTC = dt.UTC


class Color(Struct, forbid_unknown_fields=True):
    red: int
    green: int = 0


class Scene(Struct):
    name: str
    colors: list[Color]
    labels: dict[str, Color] = {}


@dataclasses.dataclass
class Fade:
    seconds: float
    to: Color | None = None


class Mode(enum.Enum):
    AUTO = "auto"
    MANUAL = "manual"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 9


class Range(NamedTuple):
    low: int
    high: int = 10


class Options(TypedDict, total=False):
    loud: bool


class Circle(Struct, tag="circle"):
    radius: int


class Square(Struct, tag="square"):
    side: int


def taking(kind: Any) -> Callable[..., None]:
    def take(value: Any) -> None:
        _seen.append(value)

    take.__annotations__ = {"value": kind, "return": None}
    return take


_seen: list[object] = []


@pytest.fixture(autouse=True)
def _forget() -> None:
    _seen.clear()


GOOD: list[tuple[Any, object, object]] = [
    (Color, {"red": 1}, Color(1)),
    (Fade, {"seconds": 1.5, "to": {"red": 2}}, Fade(1.5, Color(2))),
    (Fade, {"seconds": 2}, Fade(2.0)),
    (Annotated[int, Meta(ge=0, le=100)], 100, 100),
    (Annotated[str, Meta(min_length=1, pattern="^[a-z]+$")], "abc", "abc"),
    (Annotated[list[int], Meta(max_length=2)], [1, 2], [1, 2]),
    (Literal["on", "off"], "off", "off"),
    (Literal[1, 2], 2, 2),
    (Mode, "manual", Mode.MANUAL),
    (Level, 9, Level.HIGH),
    (int | None, None, None),
    (int | None, 5, 5),
    (str | int, 5, 5),
    (dt.datetime, "2024-02-29T12:00:00Z", dt.datetime(2024, 2, 29, 12, tzinfo=UTC)),
    (dt.date, "2024-02-29", dt.date(2024, 2, 29)),
    (dt.time, "12:30:00", dt.time(12, 30)),
    (dt.timedelta, "PT90S", dt.timedelta(seconds=90)),
    (bytes, base64.b64encode(b"\0\xff").decode(), b"\0\xff"),
    (bytearray, "AAE=", bytearray(b"\0\1")),
    (uuid.UUID, "12345678-0000-0000-0000-000000000000", uuid.UUID(int=0x12345678 << 96)),
    (decimal.Decimal, "1.10", decimal.Decimal("1.10")),
    (decimal.Decimal, 1.5, decimal.Decimal("1.5")),
    (float, 1, 1.0),
    (tuple[int, str], [1, "a"], (1, "a")),
    (tuple[int, ...], [1, 2], (1, 2)),
    (set[int], [1, 2, 1], {1, 2}),
    (frozenset[str], ["a"], frozenset("a")),
    (dict[str, int], {"a": 1}, {"a": 1}),
    (dict[int, str], {"1": "a"}, {1: "a"}),
    (Range, [1], Range(1)),
    (Options, {"loud": True}, {"loud": True}),
    (Circle | Square, {"type": "square", "side": 2}, Square(2)),
    (Any, {"a": [1, None]}, {"a": [1, None]}),
    (object, [1], [1]),
    (None, None, None),
    (bool, True, True),
]


@pytest.mark.parametrize(("kind", "given", "expected"), GOOD)
def test_params_become_the_declared_types(kind: Any, given: object, expected: object) -> None:
    dispatcher = Dispatcher()
    dispatcher.method("take")(taking(kind))
    for params in ({"value": given}, [given]):
        for id in (1, 1.5):  # an ordinary request, and one that is special
            assert value(dispatcher.dispatch_sync(request("take", params, id=id))) is None
    assert _seen == [expected] * 4
    assert {type(each) for each in _seen} == {type(expected)}


BAD: list[tuple[Any, object, str]] = [
    (Color, {"red": "1"}, "$.value.red"),
    (Color, {}, "$.value.red"),
    (Color, {"red": 1, "blue": 2}, "$.value.blue"),
    (Color, [1], "$.value"),
    (Scene, {"name": "s", "colors": [{"red": 1}, {"red": None}]}, "$.value.colors[1].red"),
    (Scene, {"name": "s", "colors": [{}]}, "$.value.colors[0].red"),
    (Scene, {"name": "s", "colors": [], "labels": {"a": 5}}, "$.value.labels[...]"),
    (Fade, {"seconds": "1"}, "$.value.seconds"),
    (Fade, {"seconds": 1, "to": {"red": 1.5}}, "$.value.to.red"),
    (Annotated[int, Meta(ge=0)], -1, "$.value"),
    (Annotated[str, Meta(pattern="^[a-z]+$")], "A", "$.value"),
    (Annotated[list[int], Meta(max_length=1)], [1, 2], "$.value"),
    (list[Annotated[int, Meta(gt=0)]], [1, 0], "$.value[1]"),
    (Literal["on", "off"], "dim", "$.value"),
    (Literal[1, 2], 3, "$.value"),
    (Mode, "none", "$.value"),
    (Level, 5, "$.value"),
    (int | None, "5", "$.value"),
    (int, True, "$.value"),
    (bool, 1, "$.value"),
    (int, 1.5, "$.value"),
    (str, 5, "$.value"),
    (str, None, "$.value"),
    (float, "1", "$.value"),
    (dt.datetime, "yesterday", "$.value"),
    (dt.date, "2023-02-29", "$.value"),
    (bytes, "%%%", "$.value"),
    (uuid.UUID, "x", "$.value"),
    (decimal.Decimal, "ten", "$.value"),
    (tuple[int, str], [1], "$.value"),
    (set[int], ["a"], "$.value[0]"),
    (dict[str, int], {"a": "1"}, "$.value[...]"),
    (Circle | Square, {"type": "line"}, "$.value.type"),
    (Circle | Square, {"type": "circle"}, "$.value.radius"),
    (None, 0, "$.value"),
]


@pytest.mark.parametrize(("kind", "given", "path"), BAD)
def test_params_of_other_types_are_refused(kind: Any, given: object, path: str) -> None:
    dispatcher = Dispatcher()
    dispatcher.method("take")(taking(kind))
    for id in (1, 1.5):
        assert (
            wrong_param(dispatcher.dispatch_sync(request("take", {"value": given}, id=id))) == path
        )
    by_position = wrong_param(dispatcher.dispatch_sync(request("take", [given])))
    assert by_position == path.replace("$.value", "$[0]")
    assert _seen == []


def move(x: int, y: int, speed: float = 1.0) -> None:
    _seen.append((x, y, speed))


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"x": 1}, "`y`"),
        ({}, "`x`"),
        (None, "`x`"),
        ({"x": 1, "y": 2, "z": 3}, "`z`"),
        ({"x": 1, "y": 2, "": 3}, "``"),
        ([1], "2"),
        ([], "2"),
        ([1, 2, 3.0, 4], "3"),
    ],
)
def test_missing_and_extra_params_are_told(params: object, word: str) -> None:
    dispatcher = Dispatcher()
    dispatcher.method(move)
    refused = error(dispatcher.dispatch_sync(request("move", params)))
    assert refused["code"] == -32602
    assert word in refused["data"]["message"]
    assert _seen == []


def test_the_second_parameter_by_position_has_its_place_as_path() -> None:
    dispatcher = Dispatcher()
    dispatcher.method(move)
    assert wrong_param(dispatcher.dispatch_sync(request("move", [1, "2"]))) == "$[1]"


def test_a_struct_may_refuse_its_own_values() -> None:
    class Even(Struct):
        number: int

        def __post_init__(self) -> None:
            if self.number % 2:
                raise ValueError("odd")

    dispatcher = Dispatcher()
    dispatcher.method("take")(taking(Even))
    refused = error(dispatcher.dispatch_sync(request("take", {"value": {"number": 1}})))
    assert refused["data"] == {"path": "$.value", "message": "odd"}
    assert value(dispatcher.dispatch_sync(request("take", {"value": {"number": 2}}))) is None


@pytest.mark.parametrize(
    ("problem", "code"),
    [(LookupError("x"), -32603), (InvalidParams("x"), -32602), (Busy(), -32004)],
)
def test_a_struct_that_fails_is_answered(problem: Exception, code: int) -> None:
    class Fragile(Struct):
        def __post_init__(self) -> None:
            raise problem

    dispatcher = Dispatcher()
    dispatcher.method("take")(taking(Fragile))
    for id in (1, 1.5):
        refused = error(dispatcher.dispatch_sync(request("take", {"value": {}}, id=id)))
        assert refused["code"] == code


def test_what_the_handler_declares_to_return_is_not_checked() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    def loose() -> int:
        anything: Any = "text"
        return anything  # type: ignore[no-any-return]

    assert value(dispatcher.dispatch_sync(request("loose"))) == "text"


def odd_params() -> Dispatcher:
    """Params whose types JSON does not have."""
    dispatcher = Dispatcher()

    @dispatcher.method
    def table(table: dict[int, int], level: int) -> int:
        return level

    @dispatcher.method
    def raw(raw: Raw, level: int) -> str:
        return bytes(raw).decode()

    @dispatcher.method
    def exact(exact: decimal.Decimal, level: int) -> str:
        return str(exact)

    return dispatcher


@pytest.mark.parametrize(
    ("method", "params", "path"),
    [
        ("table", {"table": {"1": 2}, "level": "x"}, "$.level"),
        ("table", {"table": {"1": "x"}, "level": 1}, "$.table[...]"),
        ("table", {"table": {"x": 2}, "level": 1}, "$.table"),
        ("raw", {"raw": {"a": [1]}, "level": "3"}, "$.level"),
        ("exact", {"exact": 0.5, "level": "3"}, "$.level"),
    ],
)
def test_the_path_is_that_of_what_is_wrong(method: str, params: object, path: str) -> None:
    reply = odd_params().dispatch_sync(request(method, params))
    assert wrong_param(reply) == path
    assert " at `" not in error(reply)["data"]["message"]


@pytest.mark.parametrize(
    ("method", "params", "expected"),
    [
        ("table", b'{"table":{"1":2},"level":"x","level":3}', 3),
        ("raw", b'{"raw":{"a":1.50},"level":"x","level":3}', '{"a":1.50}'),
        (
            "exact",
            b'{"exact":0.10000000000000000000001,"level":"x","level":3}',
            "0.10000000000000000000001",
        ),
        ("table", b'{"table":{"1":2},"level":-%s}' % (b"9" * 4300), 1 - 10**4300),
    ],
    ids=["table", "raw", "exact", "negative"],
)
def test_the_last_of_two_members_counts_beside_params_of_any_type(
    method: str, params: bytes, expected: object
) -> None:
    message = b'{"id":1,"method":"%s","params":%s}' % (method.encode(), params)
    reply = odd_params().dispatch_sync(message)
    assert reply == b'{"id":1,"result":%s}' % msgspec.json.encode(expected)


def test_a_long_negative_exponent_is_no_long_integer() -> None:
    message = b'{"id":1,"method":"rpc.ping","x":1e-' + b"0" * 4301 + b"}"
    assert value(Dispatcher().dispatch_sync(message)) is True


class Lights(Struct):
    on: list[int]


def test_each_call_has_its_own_default() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    def add(tags: list[int] = [], lights: Lights = Lights([])) -> list[int]:  # noqa: B006, B008
        tags.append(1)
        lights.on.append(2)
        return tags + lights.on

    for message in (request("add"), request("add", []), request("add", {}, id=1.5)) * 2:
        assert value(dispatcher.dispatch_sync(message)) == [1, 2]


def test_a_default_that_cannot_change_is_the_very_object() -> None:
    missing = object()
    dispatcher = Dispatcher()

    @dispatcher.method
    def is_missing(a: Any = missing) -> bool:
        return a is missing

    assert value(dispatcher.dispatch_sync(request("is_missing"))) is True
    assert value(dispatcher.dispatch_sync(request("is_missing", [1]))) is False
