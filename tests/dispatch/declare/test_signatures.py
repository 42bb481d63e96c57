"""Kinds of parameters, defaults, and annotations written as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from msgspec import UNSET, Meta, Struct, UnsetType

from jsonrpc_iot import Context, Dispatcher
from tests.dispatch._messages import code, error, request, value, wrong_param


class Point(Struct):
    """A Struct that only text annotations name."""

    x: int
    y: int = 0


def positional_only(a: int, b: int = 2, /) -> list[int]:
    return [a, b]


def keyword_only(*, a: int, b: int = 2) -> list[int]:
    return [a, b]


def required_keyword(a: int, *, b: int) -> list[int]:
    return [a, b]


def optional_keyword(a: int, *, b: int = 2) -> list[int]:
    return [a, b]


def every_kind(a: int, /, b: int, *, c: int = 3) -> list[int]:
    return [a, b, c]


def keyword_before_default(*, a: int = 1, b: int) -> list[int]:
    return [a, b]


FUNCTIONS: list[Callable[..., list[int]]] = [
    positional_only,
    keyword_only,
    required_keyword,
    optional_keyword,
    every_kind,
    keyword_before_default,
]


@pytest.fixture
def dispatcher() -> Dispatcher:
    dispatcher = Dispatcher()
    for function in FUNCTIONS:
        dispatcher.method(function)
    return dispatcher


@pytest.mark.parametrize(
    ("method", "params", "expected"),
    [
        ("positional_only", [5], [5, 2]),
        ("positional_only", [5, 6], [5, 6]),
        ("positional_only", {"a": 5}, [5, 2]),
        ("positional_only", {"b": 6, "a": 5}, [5, 6]),
        ("keyword_only", {"a": 5}, [5, 2]),
        ("keyword_only", {"b": 6, "a": 5}, [5, 6]),
        ("required_keyword", {"a": 5, "b": 6}, [5, 6]),
        ("optional_keyword", [5], [5, 2]),
        ("optional_keyword", {"a": 5, "b": 6}, [5, 6]),
        ("every_kind", [5, 6], [5, 6, 3]),
        ("every_kind", {"c": 7, "b": 6, "a": 5}, [5, 6, 7]),
        ("keyword_before_default", {"b": 6}, [1, 6]),
    ],
)
def test_each_kind_takes_params(
    dispatcher: Dispatcher, method: str, params: object, expected: object
) -> None:
    assert value(dispatcher.dispatch_sync(request(method, params))) == expected


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("positional_only", []),
        ("positional_only", [1, 2, 3]),
        ("keyword_only", [1]),
        ("keyword_only", [1, 2]),
        ("keyword_only", {"b": 1}),
        ("required_keyword", [1]),
        ("required_keyword", [1, 2]),
        ("required_keyword", {"a": 1}),
        ("optional_keyword", [1, 2]),
        ("every_kind", [1]),
        ("every_kind", [1, 2, 3]),
    ],
)
def test_each_kind_refuses_params(dispatcher: Dispatcher, method: str, params: object) -> None:
    refused = error(dispatcher.dispatch_sync(request(method, params)))
    assert refused["code"] == -32602
    assert refused["data"]["path"].startswith("$")


def test_a_keyword_without_default_needs_params_by_name(dispatcher: Dispatcher) -> None:
    refused = error(dispatcher.dispatch_sync(request("required_keyword", [1, 2])))
    assert "by name" in refused["data"]["message"]


def test_annotations_written_as_text_count() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    def distance(to: Point, limit: Annotated[int, Meta(le=9)] = 9) -> int:
        assert isinstance(to, Point)
        return min(to.x + to.y, limit)

    assert value(dispatcher.dispatch_sync(request("distance", {"to": {"x": 3}}))) == 3
    reply = dispatcher.dispatch_sync(request("distance", {"to": {"x": 3, "y": "4"}}))
    assert wrong_param(reply) == "$.to.y"
    reply = dispatcher.dispatch_sync(request("distance", {"to": {"x": 3}, "limit": 10}))
    assert wrong_param(reply) == "$.limit"


def test_a_context_annotated_by_text_is_injected() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    def who(context: Context) -> str:
        return context.method

    assert value(dispatcher.dispatch_sync(request("who"))) == "who"


def test_parameters_without_annotation_take_anything() -> None:
    dispatcher = Dispatcher()
    dispatcher.method("pair")(lambda a, b=None: [a, b])
    examples: list[object] = [1, "x", None, [1], {"a": {}}]
    for given in examples:
        assert value(dispatcher.dispatch_sync(request("pair", {"a": given}))) == [given, None]
    assert code(dispatcher.dispatch_sync(request("pair", {}))) == -32602


AWKWARD = ["self", "params", "context", "function", "id", "method", "data", "größe", "_x"]


@pytest.mark.parametrize("name", AWKWARD)
def test_any_parameter_name_will_do(name: str) -> None:
    made: dict[str, Any] = {}
    exec(f"def f(first, {name}=0, *, last=0): return [first, {name}, last]", made)
    dispatcher = Dispatcher()
    dispatcher.method(made["f"])
    named = dispatcher.dispatch_sync(request("f", {"first": 1, name: 2, "last": 3}))
    assert value(named) == [1, 2, 3]
    assert value(dispatcher.dispatch_sync(request("f", [1, 2]))) == [1, 2, 0]
    again = dispatcher.dispatch_sync(request("f", {"first": 1, name: 2}, id=1.5))
    assert value(again) == [1, 2, 0]


@pytest.mark.parametrize("params", [None, {}, []])
@pytest.mark.parametrize("id", [1, 1.5, "text"])
def test_defaults_are_handed_over_as_they_are(params: object, id: object) -> None:
    default = Point(1, 2)
    dispatcher = Dispatcher()
    seen: list[object] = []

    @dispatcher.method
    def place(at: Point = default, level: object = None, flag: object = UNSET) -> None:
        seen.extend((at, level, flag))

    assert value(dispatcher.dispatch_sync(request("place", params, id=id))) is None
    assert seen == [default, None, UNSET]


def test_unset_tells_a_missing_parameter_from_null() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    def rename(to: str | UnsetType | None = UNSET) -> str:
        return repr(to)

    assert value(dispatcher.dispatch_sync(request("rename"))) == "UNSET"
    assert value(dispatcher.dispatch_sync(request("rename", {"to": None}))) == "None"
    assert value(dispatcher.dispatch_sync(request("rename", {"to": "x"}))) == "'x'"
    assert value(dispatcher.dispatch_sync(request("rename", []))) == "UNSET"
