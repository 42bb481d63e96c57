"""Which types leave nothing for `Codec.check` to find."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple, TypedDict

import pytest
from msgspec import Raw, Struct

from jsonrpc_iot.protocol.codec.shallow import is_shallow


class Exact(Struct, forbid_unknown_fields=True):
    name: str
    sizes: list[int]


class Tree(Struct, forbid_unknown_fields=True):
    left: "Tree | None"
    middle: "Tree | None"
    right: "Tree | None"


class Open(Struct):
    name: str


class Row(TypedDict):
    name: str


class Pair(NamedTuple):
    one: int
    other: Exact


@pytest.mark.parametrize(
    "kind", [str, int | None, float, datetime, Literal["a"], dict[str, list[int]], Exact, Pair]
)
def test_what_is_looked_at_in_full(kind: Any) -> None:
    assert is_shallow(kind, 8, floats=True)


@pytest.mark.parametrize(
    "kind", [object, Any, Raw, Decimal, Open, Row, Tree, list[Open], dict[str, Any], complex]
)
def test_what_is_skipped_or_has_no_end(kind: Any) -> None:
    assert not is_shallow(kind, 64, floats=True)


def test_what_is_nested_deeper_than_that() -> None:
    assert is_shallow(list[list[int]], 3, floats=True)
    assert not is_shallow(list[list[int]], 2, floats=True)
    assert not is_shallow(int, 0, floats=True)
    assert not is_shallow(int, -1, floats=True)


@pytest.mark.parametrize("kind", [float, list[float], dict[float, int], int | float])
def test_floats_where_they_may_be_nan(kind: Any) -> None:
    assert is_shallow(kind, 8, floats=True)
    assert not is_shallow(kind, 8, floats=False)
