"""What a schema says of a value beside its type, in words."""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_LARGEST = 1e30


def bounds(schema: Schema) -> str:
    """The bounds of a value, such as `0 to 100`; `""` for none."""
    return ", ".join(_bounds(schema))


def with_bounds(text: str, bounds: str) -> str:
    """A text that says the bounds too."""
    if not text or not bounds:
        return text or bounds
    return f"{text.removesuffix('.')} ({bounds}){'.' if text.endswith('.') else ''}"


def _bounds(schema: Schema) -> Iterator[str]:
    yield from _range(_number(schema, "minimum"), _number(schema, "maximum"), "")
    if (least := _number(schema, "exclusiveMinimum")) is not None:
        yield f"more than {least}"
    if (most := _number(schema, "exclusiveMaximum")) is not None:
        yield f"less than {most}"
    if (factor := _number(schema, "multipleOf")) is not None:
        yield f"a multiple of {factor}"
    yield from _range(_number(schema, "minLength"), _number(schema, "maxLength"), " characters")
    if not isinstance(schema.get("items"), list) and "prefixItems" not in schema:
        yield from _range(_number(schema, "minItems"), _number(schema, "maxItems"), " items")


def _range(least: float | None, most: float | None, unit: str) -> Iterator[str]:
    if least is not None and most is not None:
        yield f"{least} to {most}{unit}" if least != most else f"{least}{unit}"
    elif least is not None:
        yield f"at least {least}{unit}"
    elif most is not None:
        yield f"at most {most}{unit}"


def _number(schema: Schema, keyword: str) -> float | None:
    """The number that a keyword has; whoever writes texts of thousands of digits is not heard."""
    value = schema.get(keyword)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST:
        return value
    return None
