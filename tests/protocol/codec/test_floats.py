"""Looking for NaN and infinities, in values and in types."""

import dataclasses
import decimal
import enum
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ForwardRef, Generic, Literal, NamedTuple, TypedDict, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, Struct, UnsetType

from jsonrpc_iot.protocol.codec.floats import has_nan, may_hold_float

T = TypeVar("T")


class Whole(Struct):
    number: int
    parts: "list[Whole]" = []


class Real(Struct):
    number: float


class Deep(Struct):
    whole: Whole
    table: dict[str, tuple[int, Real | None]]


class Tree(Struct):
    """It mentions itself before its float."""

    children: "list[Tree]"
    weight: float


class Box(Struct, Generic[T]):
    content: T


@dataclasses.dataclass
class Sample:
    real: Real


@dataclasses.dataclass
class Plain:
    text: str


class Pair(NamedTuple):
    low: int
    high: float


class Typed(TypedDict, total=False):
    level: float


class Color(enum.Enum):
    RED = "red"


class Partial(Struct):
    level: float | UnsetType = UNSET


class Unknown:
    """A class that nobody told msgspec of."""


WITHOUT = [
    int,
    str,
    bool,
    bytes,
    None,
    int | None,
    list[int],
    dict[str, list[int]],
    tuple[int, str],
    set[str],
    Literal["a", 1],
    Annotated[int, Meta(ge=0)],
    Color,
    datetime,
    decimal.Decimal,
    Sequence[str],
    int | UnsetType,
]

WITH = [
    Whole,  # its subclasses may hold floats
    Plain,
    Box[int],
    list[Whole | None],
    float,
    Any,
    object,
    list,
    dict,
    tuple,
    float | None,
    list[float],
    list[Any],
    dict[str, float],
    dict[float, int],
    tuple[int, float],
    tuple[float, ...],
    frozenset[float],
    Annotated[float, Meta(ge=0)],
    list[Annotated[float, Meta(ge=0)]],
    Real,
    Partial,
    Deep,
    Tree,
    Sample,
    Pair,
    Typed,
    Box,
    Box[float],
    Box[list[Real]],
    Mapping[str, Sequence[Real]],
    Unknown,
    list[Unknown],
    ForwardRef("Nowhere"),
]


@pytest.mark.parametrize("annotation", WITHOUT, ids=str)
def test_types_without_floats(annotation: Any) -> None:
    assert not may_hold_float(annotation)


@pytest.mark.parametrize("annotation", WITH, ids=str)
def test_types_that_may_hold_floats(annotation: Any) -> None:
    assert may_hold_float(annotation)


finite = st.floats(allow_nan=False, allow_infinity=False)
leaves = (
    st.none()
    | st.integers()
    | finite
    | st.text()
    | st.binary()
    | st.builds(Real, finite)
    | st.builds(Sample, st.builds(Real, finite))
    | st.builds(Pair, st.integers(), finite)
    | st.sampled_from([Color.RED, decimal.Decimal("NaN"), Partial()])
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner, max_size=3)
        | st.builds(Box, inner)
    ),
    max_leaves=10,
)


@given(values)
def test_finite_values(value: object) -> None:
    assert not has_nan([value])


WRAPPERS: list[Callable[[Any], object]] = [
    lambda inner: [1, inner],
    lambda inner: (inner, None),
    lambda inner: {"a": 1, "b": inner},
    Box,
    lambda inner: Deep(Whole(1), {"x": (1, Real(1.0)), "y": (2, inner)}),
    lambda inner: [[{"deep": [inner]}]],
]
infinite = st.sampled_from([math.nan, math.inf, -math.inf])


@given(infinite, st.lists(st.sampled_from(WRAPPERS), max_size=4))
def test_a_nan_is_found_however_deep(number: float, wrappers: list[Any]) -> None:
    value: object = number
    for wrap in wrappers:
        value = wrap(value)
    assert has_nan(value)


@pytest.mark.parametrize(
    "value",
    [
        {math.nan: 1},
        {math.inf},
        frozenset({-math.inf}),
        Real(math.nan),
        Sample(Real(math.inf)),
        Pair(1, math.nan),
        [Tree([Tree([], math.nan)], 1.0)],
        {"level": math.inf},
    ],
)
def test_a_nan_is_found_in_every_kind_of_container(value: object) -> None:
    assert has_nan(value)
