"""Results: what has a form in JSON, what has none, and the ids that come back with them."""

import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import uuid
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypedDict

import msgspec
import pytest
from msgspec import UNSET, Meta, Struct

from jsonrpc_iot import Dispatcher

from ._messages import code, error, request, value

NAN, INF = math.nan, math.inf


class Reading(Struct):
    value: float
    unit: str = "C"


class Compact(Struct, array_like=True):
    value: float


class Renamed(Struct, rename="camel", omit_defaults=True):
    is_on: bool = False
    low_level: int = 0


@dataclasses.dataclass
class Sample:
    at: float
    parts: list[Reading]


class Pair(NamedTuple):
    low: float
    high: float


class Typed(TypedDict):
    value: float


class Color(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    BIG = 3


def returning(result: object, annotation: Any) -> Callable[[], object]:
    def give() -> object:
        return result

    give.__annotations__ = {} if annotation is None else {"return": annotation}
    return give


def answers(result: object, annotation: Any) -> list[bytes | None]:
    """The answers of a plain handler, of a coroutine, and to an id that is special."""

    async def coroutine() -> object:
        return result

    plain = returning(result, annotation)
    coroutine.__annotations__ = plain.__annotations__
    dispatcher = Dispatcher()
    dispatcher.method("plain")(plain)
    dispatcher.method("coroutine")(coroutine)
    calls = request("plain"), request("coroutine"), request("plain", id=1.5)
    return [dispatcher.dispatch_sync(call) for call in calls]


UTC = dt.UTC

GOOD: list[tuple[object, object, object]] = [
    (None, None, None),
    (True, bool, True),
    (0, int, 0),
    (-(10**30), int, -(10**30)),
    (1.5, float, 1.5),
    (5e-324, float, 5e-324),
    ('灯\0"\\\u2028', str, '灯\0"\\\u2028'),
    (b"\0\xff", bytes, "AP8="),
    (bytearray(b"ab"), bytearray, "YWI="),
    (memoryview(b"ab"), memoryview, "YWI="),
    ([1, [2]], list[Any], [1, [2]]),
    ((1, "a"), tuple[int, str], [1, "a"]),
    ({3}, set[int], [3]),
    (frozenset({"a"}), frozenset[str], ["a"]),
    ({"a": None, "b": {}}, dict[str, Any], {"a": None, "b": {}}),
    ({1: "a", -2: "b"}, dict[int, str], {"1": "a", "-2": "b"}),
    ({Color.RED: 1}, dict[Color, int], {"red": 1}),
    (Reading(1.5), Reading, {"value": 1.5, "unit": "C"}),
    (Compact(1.5), Compact, [1.5]),
    (Renamed(is_on=True), Renamed, {"isOn": True}),
    (Sample(1.0, [Reading(2.0)]), Sample, {"at": 1.0, "parts": [{"value": 2.0, "unit": "C"}]}),
    (Pair(1.0, 2.0), Pair, [1.0, 2.0]),
    ({"value": 1.0}, Typed, {"value": 1.0}),
    (Color.RED, Color, "red"),
    (Size.BIG, Size, 3),
    (dt.datetime(2024, 2, 29, 12, tzinfo=UTC), dt.datetime, "2024-02-29T12:00:00Z"),
    (dt.date(2024, 2, 29), dt.date, "2024-02-29"),
    (dt.time(12, 30), dt.time, "12:30:00"),
    (dt.timedelta(seconds=90), dt.timedelta, "PT90S"),
    (decimal.Decimal("1.10"), decimal.Decimal, "1.10"),
    (uuid.UUID(int=1), uuid.UUID, "00000000-0000-0000-0000-000000000001"),
    (msgspec.Raw(b'{"a":[1]}'), msgspec.Raw, {"a": [1]}),
]


@pytest.mark.parametrize(("result", "annotation", "expected"), GOOD)
@pytest.mark.parametrize("annotated", [True, False])
def test_a_result_has_its_json_form(
    result: object, annotation: Any, expected: object, annotated: bool
) -> None:
    for reply in answers(result, annotation if annotated else None):
        assert value(reply) == expected


def test_a_raw_part_may_stand_beside_null() -> None:
    for reply in answers({"a": msgspec.Raw(b"[1]"), "b": None}, Any):
        assert value(reply) == {"a": [1], "b": None}


def test_a_member_that_is_unset_is_left_out() -> None:
    class Optional(Struct):
        a: int
        b: int | msgspec.UnsetType = UNSET

    for reply in answers(Optional(1), Optional):
        assert value(reply) == {"a": 1}


BAD: list[tuple[object, Any]] = [
    (NAN, float),
    (INF, float),
    (-INF, float | None),
    ([1.0, NAN], list[float]),
    ((1, (2, INF)), tuple[int, tuple[int, float]]),
    ({"a": {"b": [NAN]}}, dict[str, dict[str, list[float]]]),
    ({"a": [None, {"b": (INF,)}]}, Any),
    ({"a": None, "b": NAN}, object),
    ({NAN}, set[float]),
    (Reading(NAN), Reading),
    ([Reading(1.0), Reading(NAN)], list[Reading]),
    ({"x": Reading(INF)}, dict[str, Reading]),
    (Compact(NAN), Compact),
    (Sample(NAN, []), Sample),
    (Sample(0.0, [Reading(NAN)]), Sample),
    (Pair(0.0, INF), Pair),
    ({"value": NAN}, Typed),
    (Reading(NAN), Reading | None),
    ([object()], list[Any]),
    (object(), Any),
    (lambda: None, Any),
    ({("a", "b"): 1}, Any),
    ("\ud800", str),
    ({"\ud800": 1}, dict[str, int]),
    (1j, Any),
    (range(3), Any),
    (Exception("x"), Any),
]


@pytest.mark.parametrize(("result", "annotation"), BAD)
@pytest.mark.parametrize("annotated", [True, False])
def test_what_has_no_json_form_is_an_internal_error(
    result: object, annotation: Any, annotated: bool
) -> None:
    for reply in answers(result, annotation if annotated else None):
        assert code(reply) == -32603


def test_what_contains_itself_is_an_internal_error() -> None:
    cycle: dict[str, object] = {}
    cycle["again"] = [cycle]
    for reply in answers(cycle, dict[str, Any]):
        assert code(reply) == -32603


def test_null_is_not_taken_for_nan() -> None:
    result = {"null": None, "nested": [None, {"a": None}], "text": "null NaN Infinity"}
    for annotation in (None, Any, dict[str, Any]):
        for reply in answers(result, annotation):
            assert value(reply) == result


IDS = ["-0", "1.50", "-0.0", "1E2", "1e-7", "1.0", "0", "-1", "null", '"-0"']
IDS += ["9" * 30, "-" + "9" * 30]


@pytest.mark.parametrize("id", IDS)
@pytest.mark.parametrize("method", ["plain", "coroutine", "fail", "no.such"])
def test_an_id_comes_back_digit_for_digit(id: str, method: str) -> None:
    dispatcher = Dispatcher()
    dispatcher.method("plain")(lambda: 0)

    @dispatcher.method
    async def coroutine() -> int:
        return 0

    @dispatcher.method
    def fail() -> None:
        raise LookupError

    reply = dispatcher.dispatch_sync(f'{{"x":-0,"method":"{method}","id":{id}}}'.encode())
    assert reply is not None
    assert reply.startswith(f'{{"id":{id},'.encode())
    batch = dispatcher.dispatch_sync(f'[{{"method":"{method}","id":{id}}}]'.encode())
    assert batch == b"[" + reply + b"]"


def test_a_reply_is_compact_and_one_line() -> None:
    for reply in answers({"a": "line\nbreak", "b": [1, 2]}, Any):
        assert reply is not None
        assert b"\n" not in reply
        assert b" " not in reply
        assert json.loads(reply)["result"]["a"] == "line\nbreak"


class Base(Struct):
    level: int = 1


class WithReading(Base):
    value: float = NAN


def test_nan_in_a_subclass_of_the_declared_class_is_refused() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    def base(sub: bool) -> Base:
        return WithReading() if sub else Base()

    assert code(dispatcher.dispatch_sync(request("base", [True]))) == -32603
    assert value(dispatcher.dispatch_sync(request("base", [False]))) == {"level": 1}


class Level(Struct):
    percent: Annotated[int, Meta(le=100)]


WRONG: list[tuple[Any, Any]] = [(int, "x"), (Level, {"percent": 101}), (list[int], [1, "x"])]


@pytest.mark.anyio
@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize(("kind", "result"), WRONG, ids=str)
async def test_a_result_that_is_not_as_declared_is_refused_for_debugging(
    debug: bool, kind: Any, result: Any, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher = Dispatcher(debug=debug)

    def plain() -> Any:
        return result

    async def later() -> Any:
        return result

    for function in (plain, later):
        function.__annotations__["return"] = kind
        dispatcher.method(function)
        for reply in (
            await dispatcher.dispatch(request(function.__name__)),
            dispatcher.dispatch_sync(request(function.__name__)),
        ):
            if debug:
                assert "the result is not as declared" in error(reply)["data"]["message"]
            else:
                assert value(reply) == result
    assert ("the result is not as declared" in caplog.text) is debug


def test_a_right_result_passes_for_debugging() -> None:
    dispatcher = Dispatcher(debug=True)

    @dispatcher.method
    def level() -> Level:
        return Level(5)

    @dispatcher.method
    def opaque() -> decimal.Decimal:
        return decimal.Decimal("1.10")

    assert value(dispatcher.dispatch_sync(request("level"))) == {"percent": 5}
    assert value(dispatcher.dispatch_sync(request("opaque"))) == "1.10"
