"""Types of which msgspec looks at every byte that it decodes, and that go only so deep.

What is decoded into such a type needs no `Codec.check` of its own.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import inspect

_SKIPPED = (
    inspect.AnyType,  # has no end
    inspect.CustomType,
    inspect.RawType,
    inspect.ExtType,
    inspect.DecimalType,  # takes numbers of any length
    # Members that they do not know are skipped.
    inspect.DataclassType,
    inspect.TypedDictType,
)


def is_shallow(annotation: Any, levels: int, *, floats: bool) -> bool:
    """Whether all of a value of that type is looked at, and nothing is nested deeper.

    Args:
        annotation: the type.
        levels: of arrays and objects.
        floats: whether they may be taken as they come.
    """
    try:
        level = [inspect.type_info(annotation)]
    except TypeError:
        return False
    for _ in range(levels):
        if any(_is_skipped(node, floats) for node in level):
            return False
        parts = {id(part): part for node in level for part in _parts(node)}
        if not parts:
            return True
        level = list(parts.values())
    return False


def _is_skipped(node: inspect.Type, floats: bool) -> bool:
    if isinstance(node, inspect.StructType):
        return not node.forbid_unknown_fields
    return isinstance(node, _SKIPPED) or (not floats and isinstance(node, inspect.FloatType))


def _parts(node: Any) -> Iterator[inspect.Type]:
    """The types that a type is made of."""
    for name in node.__struct_fields__:
        part = getattr(node, name)
        for item in part if isinstance(part, tuple) else (part,):
            if isinstance(item, inspect.Field):
                yield item.type
            elif isinstance(item, inspect.Type):
                yield item
