"""Types that params and results are decoded into: what msgspec cannot make is refused at once.

msgspec itself takes any class for granted, and finds out with the first call.
"""

from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta
from msgspec import inspect as types

# Libraries whose constraints msgspec would ignore; and what constraints of any library are called.
_FOREIGN = {
    "annotated_types",
    "pydantic",
    "pydantic_core",
    "fastapi",
    "attr",
    "attrs",
    "marshmallow",
}
_CONSTRAINTS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")
_INSIDE = ("__value__", "__supertype__")  # of an alias, and of a NewType


def check_decodable(kind: Any, what: str) -> None:
    """Refuse a type that nothing can be decoded into, or whose constraints would mean nothing.

    Raises:
        TypeError: it is one; the text begins with `what`.
    """
    try:
        hash(kind)  # decoders are kept by type
        for constraint in foreign_constraints(kind):
            raise TypeError(f"{constraint!r} is not checked: write it with msgspec.Meta")
        for cls in _unknown_classes(types.type_info(kind)):
            raise TypeError(f"Type {cls!r} is not supported")
        msgspec.json.Decoder(kind)
    except TypeError as error:
        raise TypeError(f"{what}: {error}") from None


def is_foreign(value: object) -> bool:
    """Whether an object belongs to another library that checks types."""
    modules = {cls.__module__.partition(".")[0] for cls in type(value).__mro__}
    return not modules.isdisjoint(_FOREIGN)


def _is_constraint(value: object) -> bool:
    if isinstance(value, Meta | type | str):
        return False
    return is_foreign(value) or any(hasattr(value, each) for each in _CONSTRAINTS)


def foreign_constraints(kind: Any) -> Iterator[object]:
    """The constraints in a type, and in the fields of its classes, that msgspec ignores."""
    todo = [kind]
    seen: list[Any] = []  # types may hold themselves, and not all can be hashed
    while todo:
        node = todo.pop()
        if any(node is each for each in seen):
            continue
        seen.append(node)
        if get_origin(node) is Annotated:
            yield from filter(_is_constraint, node.__metadata__)
        todo.extend(get_args(node))
        todo += [getattr(node, name) for name in _INSIDE if hasattr(node, name)]
        if isinstance(node, type) and hasattr(node, "__annotations__"):
            todo.extend(_fields(node))


def _fields(cls: type) -> Iterator[Any]:
    """The types of a class's fields, with what is annotated to them."""
    try:
        yield from get_type_hints(cls, include_extras=True).values()
    except Exception:  # noqa: BLE001  # whatever a text raises; msgspec says it better
        return


def _unknown_classes(info: types.Type) -> Iterator[type]:
    """The classes in a type that msgspec takes for granted and cannot make from JSON."""
    todo: list[types.Type | types.Field] = [info]
    seen: set[int] = set()  # types may hold themselves
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, types.CustomType) and node.cls is not object:
            yield node.cls
        for name in node.__struct_fields__:
            part = getattr(node, name)
            parts = part if isinstance(part, tuple) else (part,)
            todo.extend(item for item in parts if isinstance(item, types.Type | types.Field))
