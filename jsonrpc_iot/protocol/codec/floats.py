"""NaN and infinities, which JSON lacks and msgspec writes as `null`.

Looking for them in each result would be slow, so the question is put to the type first.
"""

import math
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect


def has_nan(value: Any) -> bool:
    """Whether a NaN or an infinity is anywhere in `value`, any object that msgspec encodes."""
    # Bytes stay, since as text a key could be equal to another one.
    todo = [msgspec.to_builtins(value, builtin_types=(bytes,), enc_hook=_nothing)]
    while todo:
        item = todo.pop()
        if isinstance(item, float):
            if not math.isfinite(item):
                return True
        elif isinstance(item, dict):
            todo.extend(item.keys())
            todo.extend(item.values())
        elif isinstance(item, list | tuple | set | frozenset):
            todo.extend(item)
    return False


_DOUBTFUL = (
    inspect.AnyType,
    inspect.FloatType,
    inspect.CustomType,
    # A value may be of a subclass, which has fields of its own.
    inspect.StructType,
    inspect.DataclassType,
    inspect.NamedTupleType,
    inspect.TypedDictType,
)


def _nothing(value: object) -> None:
    """Stand for what is no plain data, such as `Raw`, which was checked when it was made."""


def may_hold_float(annotation: Any) -> bool:
    """Whether a value of that type can hold a float; `True` when in doubt."""
    try:
        todo = [inspect.type_info(annotation)]
    except TypeError:
        return True
    while todo:
        node = todo.pop()
        if isinstance(node, _DOUBTFUL):
            return True
        todo.extend(_parts(node))
    return False


def _parts(node: Any) -> Iterator[inspect.Type]:
    """The types that a type is made of, whatever its kind."""
    for name in getattr(node, "__struct_fields__", ()):
        part = getattr(node, name)
        for item in part if isinstance(part, tuple) else (part,):
            if isinstance(item, inspect.Type):
                yield item
