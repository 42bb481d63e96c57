"""What a device's description says of values: which it emits, and which its methods set.

A description comes from the device and is not trusted: what makes no sense is left out.
"""

from collections.abc import Iterator
from typing import Any, Literal, TypeGuard

from msgspec import Struct

from ...dispatch.openrpc.gather import Document, entries_of

Schema = dict[str, Any]
Kind = Literal["boolean", "number", "text"]

_LONGEST_REFERENCE = 8
_PREFIX = "#/components/schemas/"


class Value(Struct, frozen=True):
    """A value that can be shown.

    Args:
        kind: of it.
        low: the least that a number may be, `None` for any.
        high: the most.
        is_whole: a number without a fraction.
        choices: what a text may be, empty for anything.
        unit: that a number is in.
    """

    kind: Kind
    low: float | None = None
    high: float | None = None
    is_whole: bool = False
    choices: tuple[str, ...] = ()
    unit: str | None = None


class Field(Struct, frozen=True):
    """A field of an event.

    Args:
        event: the notification's name.
        name: of the field.
        value: what it holds.
    """

    event: str
    name: str
    value: Value

    @property
    def full_name(self) -> str:
        """The event and the field, as people write it."""
        return f"{self.event}.{self.name}"


class Setter(Struct, frozen=True):
    """A method that can be called with one value, or with none.

    Args:
        method: its name.
        parameter: the one that it takes, `None` where it needs none.
        value: what that holds.
        entity: what the device says that it is in a smart home.
    """

    method: str
    parameter: str | None
    value: Value | None
    entity: Document


def fields_of(document: Document) -> Iterator[Field]:
    """The fields that can be shown, of the events that a device emits."""
    for event in _named(document, "x-notifications"):
        if event.get("direction") != "emitted":
            continue
        schema = _resolved(event.get("schema"), document)
        for name, each in _members(schema, "properties"):
            value = _value(_resolved(each, document))
            if value is not None and name:
                yield Field(event["name"], name, value)


def setters_of(document: Document) -> Iterator[Setter]:
    """The methods that need one value at most."""
    for method in _named(document, "methods"):
        entity = method.get("x-entity")
        params = method.get("params")
        params = [each for each in params if isinstance(each, dict)] if _is_list(params) else []
        needed = [each for each in params if each.get("required") is True]
        taken = needed or params
        name = taken[0].get("name") if len(taken) == 1 else None
        value = None
        if isinstance(name, str):
            value = _value(_resolved(taken[0].get("schema"), document))
        if len(needed) <= 1:
            parameter = name if value is not None else None
            if parameter is None and needed:
                continue
            yield Setter(
                method["name"], parameter, value, entity if isinstance(entity, dict) else {}
            )


def _named(document: Document, key: str) -> list[Document]:
    named = entries_of(document, key)
    return [each for each in named if isinstance(name := each.get("name"), str) and name]


def _resolved(schema: object, document: Document) -> Schema:
    """A schema without references, and without `null` beside something else."""
    for _ in range(_LONGEST_REFERENCE):
        if not isinstance(schema, dict):
            return {}
        reference, several = schema.get("$ref"), schema.get("anyOf")
        if isinstance(reference, str):
            schemas = dict(_members(document.get("components"), "schemas"))
            schema = schemas.get(reference.removeprefix(_PREFIX))
        elif _is_list(several):
            some = [each for each in several if each != {"type": "null"}]
            if len(some) != 1:
                return {}
            schema = some[0]
        else:
            return schema
    return {}


def _value(schema: Schema) -> Value | None:
    kind, choices = schema.get("type"), schema.get("enum")
    if kind == "boolean":
        return Value("boolean")
    if kind in ("integer", "number"):
        low, high = (_number(schema.get(name)) for name in ("minimum", "maximum"))
        unit = schema.get("x-unit")
        unit = unit if isinstance(unit, str) and unit else None
        return Value("number", low, high, is_whole=kind == "integer", unit=unit)
    if _is_list(choices) and choices and all(isinstance(each, str) and each for each in choices):
        return Value("text", choices=tuple(choices))
    return None


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _members(holder: object, name: str) -> Iterator[tuple[str, Any]]:
    members = holder.get(name) if isinstance(holder, dict) else None
    if isinstance(members, dict):
        yield from ((key, each) for key, each in members.items() if isinstance(key, str))


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
