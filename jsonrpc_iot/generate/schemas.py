"""JSON Schemas as types of the model.

What a schema says beside types, such as bounds, becomes text: the device checks them. Keywords that
contradict each other or that nobody knows widen the type, at the worst to anything.
"""

from typing import Any, Final, TypeGuard

from msgspec import UNSET

from ..errors import UsageError
from .bounds import bounds, with_bounds
from .model import (
    Alias,
    Choice,
    Definition,
    Enumeration,
    Field,
    Fixed,
    Kind,
    Listed,
    Literals,
    Mapping,
    Named,
    Plain,
    Record,
    Scalar,
)
from .pointers import a_list, an_object, below, follow, last_name

Schema = dict[str, Any]

DEEPEST = 60
"""How deep types may lie in each other, so that recursive programs can walk them."""

LARGEST = 1000
"""How many types an alias may stand for when it is written out."""

_MOST_LITERALS = 256
_INTEGERS: Final = range(-(1 << 63), 1 << 63)
_TEXTS = {
    "date-time": Plain.DATE_TIME,
    "date": Plain.DATE,
    "time": Plain.TIME,
    "duration": Plain.DURATION,
    "uuid": Plain.UUID,
    "decimal": Plain.DECIMAL,
}
_PLAIN = {
    "null": Plain.NULL,
    "boolean": Plain.BOOLEAN,
    "integer": Plain.INTEGER,
    "number": Plain.NUMBER,
}
_ANY_OF_CLASS: dict[type, Kind] = {
    str: Plain.TEXT,
    bool: Plain.BOOLEAN,
    int: Plain.INTEGER,
    float: Plain.NUMBER,
    type(None): Plain.NULL,
    list: Listed(Plain.ANYTHING),
    dict: Mapping(Plain.ANYTHING),
}


class Schemas:
    """Reads the schemas of one document.

    Args:
        document: it, for references.

    Attributes:
        definitions: the types that have names, by their places, in the order of being finished.
    """

    def __init__(self, document: object) -> None:
        self._document = document
        self.definitions: dict[str, Definition] = {}
        self._begun: dict[str, bool] = {}  # whether it may be named before it is finished
        self._depths: dict[str, int] = {}
        self._sizes: dict[str, int] = {}

    def kind(self, schema: object, place: str, name: str, level: int = 0) -> Kind:
        """The type that a schema describes.

        Args:
            schema: it; `True` and nothing at all are anything.
            place: where it stands, as a JSON pointer.
            name: what to call it, should it need a name.
            level: how many types it lies in.

        Raises:
            UsageError: it lies too deep, or is no schema.
        """
        if schema is None or isinstance(schema, bool):
            return Plain.ANYTHING
        schema = an_object(schema, place)
        if level > DEEPEST:
            raise UsageError(f"{place}: types lie in each other more than {DEEPEST} deep")
        if "$ref" in schema:
            target = follow(self._document, schema["$ref"], place)
            return self._named(target.value, target.place, last_name(target.place), level)
        kind = self._by_keyword(schema, place, name, level)
        return choice((kind, Plain.NULL)) if schema.get("nullable") is True else kind

    def _named(
        self, schema: object, place: str, name: str, level: int, key: str | None = None
    ) -> Kind:
        """A type to which others may refer, by the place where it stands or another key."""
        key = key or place
        if key in self._begun:
            return Named(key) if self._begun[key] else Plain.ANYTHING
        if schema is None or isinstance(schema, bool):
            return Plain.ANYTHING
        schema = an_object(schema, place)
        if level > DEEPEST:
            raise UsageError(f"{place}: types lie in each other more than {DEEPEST} deep")
        self._begun[key] = _has_members(schema)
        definition = self._define(schema, place, name, level + 1)
        return self._finish(key, definition)

    def _finish(self, key: str, definition: Definition) -> Kind:
        self._measure(key, definition)
        self.definitions[key] = definition
        self._begun[key] = True
        return Named(key)

    def _define(self, schema: Schema, place: str, name: str, level: int) -> Definition:
        text = _text(schema)
        if _has_members(schema):
            members = _members(schema, place)
            return Record(name, text, self._fields(members, _required(schema), name, level))
        values = schema.get("enum")
        if isinstance(values, list) and values:
            texts = tuple(dict.fromkeys(each for each in values if isinstance(each, str)))
            numbers = tuple(dict.fromkeys(each for each in values if _is_integer(each)))
            for unique in (texts, numbers):
                if len(unique) == len(values):
                    return Enumeration(name, text, unique)
        kind = self.kind(schema, place, name, level)
        return Alias(name, with_bounds(text, bounds(schema)), kind)

    def _by_keyword(self, schema: Schema, place: str, name: str, level: int) -> Kind:
        if "const" in schema:
            return _one_of([schema["const"]])
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return _one_of(schema["enum"])
        if isinstance(schema.get("allOf"), list) and schema["allOf"]:
            return self._all_of(schema, place, name, level)
        for keyword in ("anyOf", "oneOf"):
            if isinstance(schema.get(keyword), list) and schema[keyword]:
                inside = below(place, keyword)
                return choice(
                    [
                        self.kind(each, below(inside, number), f"{name}_{number + 1}", level + 1)
                        for number, each in enumerate(schema[keyword])
                    ],
                    _tag(schema),
                )
        kinds = schema.get("type")
        if isinstance(kinds, list):
            return choice([self._of_type(each, schema, place, name, level) for each in kinds])
        return self._of_type(kinds, schema, place, name, level)

    def _of_type(self, type_: object, schema: Schema, place: str, name: str, level: int) -> Kind:
        if type_ is None:
            type_ = "object" if "properties" in schema else "array" if "items" in schema else None
        if type_ == "string":
            if schema.get("contentEncoding") == "base64":
                return Plain.BYTES
            form = schema.get("format")
            return _TEXTS.get(form, Plain.TEXT) if isinstance(form, str) else Plain.TEXT
        if type_ == "array":
            return self._array(schema, place, name, level)
        if type_ == "object":
            plain = {**schema, "type": "object", "nullable": False}
            if _has_members(plain):
                title = schema.get("title")
                name = title if isinstance(title, str) else name
                is_part = self._begun.get(place) is False  # of what stands at this place
                key = below(place, "type") if is_part else place
                return self._named(plain, place, name, level, key)
            inside = below(place, "additionalProperties")
            values = schema.get("additionalProperties")
            return Mapping(self.kind(values, inside, f"{name}_value", level + 1))
        return _PLAIN.get(type_, Plain.ANYTHING) if isinstance(type_, str) else Plain.ANYTHING

    def _array(self, schema: Schema, place: str, name: str, level: int) -> Kind:
        key = "prefixItems" if "prefixItems" in schema else "items"
        first = schema.get(key)
        if not isinstance(first, list):
            return Listed(self.kind(first, below(place, key), f"{name}_item", level + 1))
        items = tuple(
            self.kind(each, below(below(place, key), number), f"{name}_{number + 1}", level + 1)
            for number, each in enumerate(first)
        )
        rest_key = "items" if key == "prefixItems" else "additionalItems"
        rest = schema.get(rest_key)
        least, most = schema.get("minItems"), schema.get("maxItems")
        count = len(items)
        rest_kind: Kind | None = None
        if rest is not False and not (_is_integer(most) and most <= count):
            rest_kind = self.kind(rest, below(place, rest_key), f"{name}_item", level + 1)
        return Fixed(items, min(max(least, 0), count) if _is_integer(least) else 0, rest_kind)

    def _all_of(self, schema: Schema, place: str, name: str, level: int) -> Kind:
        """Several schemas at once: objects put together, else the one that says anything."""
        if len(schema["allOf"]) == 1 and not _speaks_of_types(schema):
            return self.kind(schema["allOf"][0], below(below(place, "allOf"), 0), name, level + 1)
        found: list[tuple[Schema, str]] = []
        self._collect(schema, place, level, found)
        if len(found) == 1:
            ((only, at),) = found
            return self.kind(only, at, name, level + 1)
        if not (found and all(_has_members(part) for part, _ in found)):
            return Plain.ANYTHING
        key = below(place, "allOf")
        if key in self._begun:
            return Named(key)
        self._begun[key] = True
        members = {name: each for part, at in found for name, each in _members(part, at).items()}
        required = {name for part, _ in found for name in _required(part)}
        fields = self._fields(members, required, name, level + 1)
        return self._finish(key, Record(name, _text(schema), fields))

    def _collect(
        self, schema: Schema, place: str, level: int, found: list[tuple[Schema, str]]
    ) -> None:
        """Find what `allOf` puts together, references followed, and what stands beside it."""
        if level > DEEPEST or len(found) > LARGEST:
            raise UsageError(f"{place}: it is made of too many schemas")
        if "$ref" in schema:
            target = follow(self._document, schema["$ref"], place)
            self._collect(an_object(target.value, target.place), target.place, level + 1, found)
            return
        own = {key: value for key, value in schema.items() if key != "allOf"}
        if len(own) == len(schema) or _speaks_of_types(own):
            found.append((own, place))
        inside = below(place, "allOf")
        for number, each in enumerate(a_list(schema.get("allOf", []), inside)):
            at = below(inside, number)
            if isinstance(each, bool):
                continue
            self._collect(an_object(each, at), at, level + 1, found)

    def _fields(
        self, members: dict[str, tuple[object, str]], required: set[str], name: str, level: int
    ) -> tuple[Field, ...]:
        return tuple(
            self.field(key, schema, place, f"{name}_{key}", level, required=key in required)
            for key, (schema, place) in members.items()
        )

    def field(
        self, key: str, schema: object, place: str, name: str, level: int = 0, *, required: bool
    ) -> Field:
        """A member of an object, or a parameter, by its schema.

        Args:
            key: what it is called.
            schema: what it is.
            place: where that stands.
            name: what to call its type, should it need a name.
            level: how many types it lies in.
            required: it is always there.
        """
        kind = self.kind(schema, place, name, level)
        if not isinstance(schema, dict):
            return Field(key, kind, required)
        text = with_bounds(_text(schema), bounds(schema))
        return Field(key, kind, required, text, schema.get("default", UNSET))

    def _measure(self, place: str, definition: Definition) -> None:
        """Refuse what others could not walk, or could not write out."""
        if isinstance(definition, Enumeration):
            kinds: list[Kind] = []
        elif isinstance(definition, Alias):
            kinds = [definition.kind]
        else:
            kinds = [field.kind for field in definition.fields]
        self._depths[place] = 1 + max(map(self._depth, kinds), default=0)
        if self._depths[place] > DEEPEST:
            raise UsageError(f"{place}: types lie in each other more than {DEEPEST} deep")
        if isinstance(definition, Alias):
            self._sizes[place] = self._size(definition.kind)
            if self._sizes[place] > LARGEST:
                raise UsageError(f"{place}: written out it is more than {LARGEST} types")

    def _depth(self, kind: Kind) -> int:
        if isinstance(kind, Named):
            return self._depths.get(kind.key, 0)
        return 1 + max(map(self._depth, parts(kind)), default=0)

    def _size(self, kind: Kind) -> int:
        if isinstance(kind, Named):
            return self._sizes.get(kind.key, 1)
        return 1 + sum(map(self._size, parts(kind)))


def parts(kind: Kind) -> tuple[Kind, ...]:
    """The types that a type is made of."""
    match kind:
        case Listed(items=items):
            return (items,)
        case Fixed(items=several, rest=rest):
            return several if rest is None else (*several, rest)
        case Mapping(values=values):
            return (values,)
        case Choice(options=options):
            return options
        case _:
            return ()


def choice(options: Any, tag: str | None = None) -> Kind:
    """One of several types, as simply as that can be said."""
    flat: dict[Kind, None] = {}
    for option in options:
        flat.update(dict.fromkeys(option.options if isinstance(option, Choice) else (option,)))
    if Plain.ANYTHING in flat or not flat:
        return Plain.ANYTHING
    return next(iter(flat)) if len(flat) == 1 else Choice(tuple(flat), tag)


def _one_of(values: list[Any]) -> Kind:
    scalars: list[Scalar] = [each for each in values if not isinstance(each, list | dict)]
    if len(scalars) == len(values) <= _MOST_LITERALS:
        unique = {(type(each), each): each for each in scalars}
        return Literals(tuple(unique.values()))
    return choice(_ANY_OF_CLASS[type(each)] for each in values)


def _has_members(schema: Schema) -> bool:
    """Whether it is an object whose members are known, and nothing else."""
    others = ("$ref", "const", "enum", "allOf", "anyOf", "oneOf")
    is_object = schema.get("type", "object") == "object" and schema.get("nullable") is not True
    return (
        is_object and bool(schema.get("properties")) and not any(each in schema for each in others)
    )


def _members(schema: Schema, place: str) -> dict[str, tuple[object, str]]:
    inside = below(place, "properties")
    properties = an_object(schema["properties"], inside)
    return {key: (each, below(inside, key)) for key, each in properties.items()}


def _required(schema: Schema) -> set[str]:
    required = schema.get("required")
    names = required if isinstance(required, list) else []
    return {each for each in names if isinstance(each, str)}


def _tag(schema: Schema) -> str | None:
    discriminator = schema.get("discriminator")
    name = discriminator.get("propertyName") if isinstance(discriminator, dict) else None
    return name if isinstance(name, str) else None


def _speaks_of_types(schema: Schema) -> bool:
    return any(
        key in schema for key in ("type", "properties", "items", "enum", "const", "anyOf", "oneOf")
    )


def _text(schema: Schema) -> str:
    text = schema.get("description")
    return text if isinstance(text, str) else ""


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value in _INTEGERS
