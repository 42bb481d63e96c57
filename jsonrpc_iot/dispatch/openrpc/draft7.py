"""JSON Schemas as OpenRPC wants them, which is draft 7, and as the server takes what they describe.

msgspec writes draft 2020-12, where tuples have other keywords, and is stricter in three places than
its decoder: Decimals may be numbers, flags may be combined, and a set may name an item twice.
"""

import enum
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from msgspec import inspect

from .shrink import Schema, without

_DECIMAL = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$|^-?(NaN|Infinity)$"
_ALL_INTEGERS = (-(1 << 63), (1 << 63) - 1)


def to_draft_7(kinds: Iterable[Any]) -> Callable[[Schema], Schema]:
    """A function that makes of msgspec's schema of one object that of draft 7.

    Args:
        kinds: the types that all the schemas are of.
    """
    flags = {
        (cls.__name__, tuple(sorted(each.value for each in cls))): cls for cls in _flags(kinds)
    }

    def change(schema: Schema) -> Schema:
        if "prefixItems" in schema:
            rest = {"additionalItems": schema["items"]} if "items" in schema else {}
            plain = without(schema, "prefixItems", "items")
            return {**plain, "items": schema["prefixItems"], **rest}
        if schema.get("uniqueItems"):
            return without(schema, "uniqueItems")
        if schema.get("format") == "decimal" and "pattern" not in schema:
            text = {"type": "string", "format": "decimal", "pattern": _DECIMAL}
            plain = without(schema, "type", "format")
            return {**plain, "anyOf": [text, {"type": "number"}]}
        values = schema.get("enum")
        flag = flags.get((schema["title"], tuple(values))) if values and "title" in schema else None
        return schema if flag is None else {**without(schema, "enum"), **_combinations(flag)}

    return change


def _combinations(flag: Any) -> Schema:
    """The integers that stand for flags, one or several."""
    mask = 0
    for each in flag:
        mask |= each.value
    least, most = (~mask, mask) if flag._boundary_ is enum.STRICT else _ALL_INTEGERS
    return {"type": "integer", "minimum": least, "maximum": most}


def _flags(kinds: Iterable[Any]) -> Iterator[type[enum.Flag]]:
    """The classes of flags in types."""
    todo: list[Any] = list(inspect.multi_type_info(kinds))
    seen: set[int] = set()  # types may hold themselves
    while todo:
        node = todo.pop()
        if id(node) not in seen and isinstance(node, inspect.Type | inspect.Field):
            seen.add(id(node))
            if isinstance(node, inspect.EnumType) and issubclass(node.cls, enum.Flag):
                yield node.cls
            parts = (getattr(node, name) for name in node.__struct_fields__)
            todo.extend(
                item for part in parts for item in (part if isinstance(part, tuple) else (part,))
            )
