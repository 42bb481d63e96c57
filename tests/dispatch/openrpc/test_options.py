"""What decorators refuse of what is said for the description."""

import math
from collections.abc import Sequence
from typing import Any

import pytest

from jsonrpc_iot import Busy, Dispatcher, Example, RpcError, ServerError, method, service


def add(a: int, b: int = 1) -> int:
    return a + b


@pytest.mark.parametrize(
    ("example", "kind", "text"),
    [
        (Example("x", {"a": "one"}, 2), ValueError, r"\$\.a: Expected `int`, got `str`"),
        (Example("x", {}, 2), ValueError, r"\$\.a"),
        (Example("x", {"a": 1, "c": 1}, 2), ValueError, r"\$\.c"),
        (Example("x", {"a": 1}), ValueError, "the result: Expected `int`, got `null`"),
        (Example("x", {"a": object()}, 2), TypeError, "has no form in JSON"),
        (Example("x", {"a": 1}, object()), TypeError, "has no form in JSON"),
        (Example("x", {"a": 1}, math.nan), ValueError, "NaN"),
    ],
)
def test_an_example_that_does_not_fit(example: Example, kind: type[Exception], text: str) -> None:
    dispatcher = Dispatcher()

    with pytest.raises(kind, match=rf"^method 'math.add', example 'x'.*{text}"):
        dispatcher.method("math.add", examples=[example])(add)

    dispatcher.method("math.add", examples=[Example("x", {"a": 1}, 2)])(add)


def test_an_example_of_a_service_that_does_not_fit() -> None:
    @service("math")
    class Math:
        @method(examples=[Example("x", {"a": 1.5}, 2)])
        def twice(self, a: int) -> int:
            return 2 * a

    with pytest.raises(ValueError, match=r"^method 'math.twice', example 'x': \$\.a"):
        Dispatcher().include(Math())


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"tags": "abc"}, TypeError),
        ({"tags": [1]}, TypeError),
        ({"tags": [""]}, ValueError),
        ({"errors": [ValueError]}, TypeError),
        ({"errors": [5]}, TypeError),
        ({"errors": Busy}, TypeError),
        ({"errors": [ServerError, RpcError(-32000, "other")]}, ValueError),
        ({"examples": [{"name": "x"}]}, TypeError),
        ({"examples": [Example("x", [1, 2])]}, TypeError),  # type: ignore[arg-type]
        ({"examples": [Example("", {"a": 1}, 2)]}, ValueError),
        ({"unknown": 1}, TypeError),
    ],
)
def test_options_that_are_something_else(options: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind, match=next(iter(options))):
        Dispatcher().method("add", **options)
    with pytest.raises(kind):
        method("add", **options)


def test_options_are_frozen() -> None:
    tags: Sequence[str] = ["a"]
    dispatcher = Dispatcher()
    names = {"a": "first"}
    dispatcher.method(tags=tags, names=names)(add)
    handler = dispatcher._table.methods["add"].handler

    assert isinstance(tags, list)
    tags.append("b")
    names["a"] = "b"
    assert handler.options.tags == ("a",)
    assert handler.options.names == {"a": "first"}
    assert isinstance(hash(handler.options), int)
    with pytest.raises(AttributeError):
        handler.options.tags = ("b",)  # type: ignore[misc]
