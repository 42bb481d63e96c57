"""Types of the model as annotations that msgspec decodes and type checkers know.

msgspec tells the options of a union apart by what they are in JSON, so a union has one option that
is a text, one that is an object, and so on; objects may be several where a tag tells them apart.
What cannot be said so is said more widely.
"""

import keyword
import re
from collections.abc import Iterable, Iterator
from math import isfinite

from .model import (
    Alias,
    Choice,
    Description,
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
from .names import Names, pascal, upper
from .schemas import choice, parts
from .texts import quoted

BUILTINS = frozenset({"bool", "bytes", "dict", "float", "int", "list", "str", "tuple"})
"""What annotations use without importing it."""

_UNFIT = re.compile(r'["\\\x00-\x1f]')
_INTEGERS = range(1 - (1 << 63), 1 << 63)  # what msgspec and mypy take in a Literal
_PLAIN = {
    Plain.ANYTHING: "Any",
    Plain.NULL: "None",
    Plain.BOOLEAN: "bool",
    Plain.INTEGER: "int",
    Plain.NUMBER: "float",
    Plain.TEXT: "str",
    Plain.DATE_TIME: "datetime.datetime",
    Plain.DATE: "datetime.date",
    Plain.TIME: "datetime.time",
    Plain.DURATION: "datetime.timedelta",
    Plain.UUID: "UUID",
    Plain.DECIMAL: "Decimal",
    Plain.BYTES: "bytes",
}
_SCALARS = ("bool", "int", "float", "str", "None")
_CATEGORY = {
    Plain.NULL: "None",
    Plain.BOOLEAN: "bool",
    Plain.INTEGER: "int",
    Plain.NUMBER: "float",
}
Groups = dict[str, list[Kind]]


def is_fit(name: str) -> bool:
    """Whether msgspec can find a member of that name."""
    return not _UNFIT.search(name)


def literal(value: Scalar) -> str:
    """A value as Python writes it."""
    return quoted(value, "\\U{:08x}") if isinstance(value, str) else repr(value)


class Types:
    """Says types in Python, and notes which names it has used.

    Args:
        description: what is described.
        names: of the module; the classes take theirs.

    Attributes:
        classes: the names of records, enumerations and aliases, by their places.
        members: the names of an enumeration's members by value, by its place.
        tags: the member and its value that tell a record from others, by its place.
        used: what annotations need to be imported.
    """

    def __init__(self, description: Description, names: Names) -> None:
        self._definitions = description.definitions
        self.used: set[str] = set()
        self.tags: dict[str, tuple[str, str | int]] = {}
        self.classes: dict[str, str] = {}
        self.members: dict[str, dict[str | int, str]] = {}
        for place, definition in self._definitions.items():
            if isinstance(definition, Record) and not self.is_class(definition):
                continue
            self.classes[place] = names.take(pascal(definition.name, "Type"))
            if isinstance(definition, Enumeration):
                self.members[place] = _members(definition)
        for kind in _kinds_of(description):
            self._assign_tags(kind)

    @staticmethod
    def is_class(record: Record) -> bool:
        """Whether msgspec can find all members of a record; of others a dict is made."""
        return all(is_fit(field.name) for field in record.fields)

    def annotation(self, kind: Kind) -> str:
        """A type."""
        match kind:
            case Named(key=key) if key in self.classes:
                return self.classes[key]
            case Listed(items=items):
                return f"list[{self.annotation(items)}]"
            case Fixed(items=items, least=least, rest=None) if least == len(items):
                return f"tuple[{', '.join(map(self.annotation, items)) or '()'}]"
            case Fixed(items=items, rest=rest):
                every = choice(items if rest is None else (*items, rest))
                return f"list[{self.annotation(every)}]"
            case Mapping(values=values):
                return f"dict[str, {self.annotation(values)}]"
            case Plain():
                return self._plain(kind)
            case _:
                return self._union(kind)

    def event(self, kind: Kind) -> str:
        """The type of an event, which is no scalar, since its values are params."""
        groups = self._groups(kind)
        if kind is not Plain.NULL and all(group in _SCALARS for group in groups):
            return self._plain(Plain.ANYTHING)
        return self.annotation(kind)

    def default(self, field: Field) -> str | None:
        """The default of a field as Python writes it, if it is a plain value that fits the type."""
        value, groups = field.default, self._groups(field.kind)
        if isinstance(value, float):
            return repr(value) if isfinite(value) and {"float", "Any"} & groups.keys() else None
        if value is None or isinstance(value, bool):
            group = "None" if value is None else "bool"
            return repr(value) if {group, "Any"} & groups.keys() else None
        if not isinstance(value, str | int) or (isinstance(value, int) and value not in _INTEGERS):
            return None
        if "Any" in groups:
            return literal(value)
        group = "str" if isinstance(value, str) else "int"
        same = groups.get(group, [])
        if not same:
            return repr(value) if group == "int" and "float" in groups else None
        if len(same) == 1 and isinstance(same[0], Named) and same[0].key in self.members:
            member = self.members[same[0].key].get(value)
            return None if member is None else f"{self.classes[same[0].key]}.{member}"
        values = self._values(same)
        fits = self._merged(group, same) == group if values is None else value in values
        return literal(value) if fits else None

    def _plain(self, kind: Plain) -> str:
        text = _PLAIN[kind]
        if text not in _SCALARS and text != "bytes":
            self.used.add(text.partition(".")[0])
        return text

    def _options(self, kind: Kind) -> Iterator[Kind]:
        """The options of a type, those of its aliases too."""
        if isinstance(kind, Choice):
            for option in kind.options:
                yield from self._options(option)
        elif isinstance(kind, Named) and isinstance(
            definition := self._definitions.get(kind.key), Alias
        ):
            yield from self._options(definition.kind)
        else:
            yield kind

    def _groups(self, kind: Kind) -> Groups:
        """The options of a type, by what they are in JSON."""
        groups: Groups = {}
        for option in dict.fromkeys(self._options(kind)):
            for group, part in self._grouped(option):
                groups.setdefault(group, []).append(part)
        return groups

    def _grouped(self, option: Kind) -> Iterator[tuple[str, Kind]]:
        match option:
            case Literals(values=values):
                for value in values:
                    yield _category(value), Literals((value,))
            case Plain.ANYTHING:
                yield "Any", option
            case Plain():
                yield _CATEGORY.get(option, "str"), option
            case Listed() | Fixed():
                yield "list", option
            case Named(key=key) if key in self.members:
                yield type(next(iter(self.members[key]))).__name__, option
            case _:
                yield "dict", option

    def _union(self, kind: Kind) -> str:
        groups = self._groups(kind)
        if "Any" in groups or not groups:
            return self._plain(Plain.ANYTHING)
        if groups.get("str") == [Plain.DECIMAL]:
            groups.pop("float", None)  # a Decimal is made of numbers too
            groups.pop("int", None)
        texts = [self._merged(group, options) for group, options in groups.items()]
        texts.sort(key="None".__eq__)
        return " | ".join(texts)

    def _merged(self, group: str, options: list[Kind]) -> str:
        """One type for options that are the same in JSON."""
        if group in ("None", "bool", "float"):
            return group
        if len(options) == 1 and not isinstance(options[0], Literals):
            return self._alone(options[0])
        if group == "list":
            self.used.add("Any")
            return "list[Any]"
        if group == "dict":
            return self._tagged(options) or self._plain_dict()
        values = self._values(options)
        if values is None:
            return group
        self.used.add("Literal")
        return f"Literal[{', '.join(map(literal, values))}]"

    def _alone(self, option: Kind) -> str:
        if isinstance(option, Named) and option.key not in self.classes:
            return self._plain_dict()
        return self.annotation(option)

    def _plain_dict(self) -> str:
        self.used.add("Any")
        return "dict[str, Any]"

    def _values(self, options: Iterable[Kind]) -> list[str | int] | None:
        """The values of literals and enumerations; `None` where others are among them."""
        values: dict[str | int, None] = {}
        for option in options:
            if isinstance(option, Literals):
                found: Iterable[Scalar] = option.values
            elif isinstance(option, Named) and option.key in self.members:
                found = self.members[option.key]
            else:
                return None
            for value in found:
                if not isinstance(value, str) and value not in _INTEGERS:
                    return None
                assert isinstance(value, str | int)
                values[value] = None
        return list(values)

    def _tagged(self, options: list[Kind]) -> str | None:
        """A union of objects, if they have tags that tell them apart."""
        keys = [option.key for option in options if isinstance(option, Named)]
        tags = [self.tags[key] for key in keys if key in self.tags]
        if len(tags) < len(options) or len(set(tags)) < len(tags):
            return None
        if len({(name, type(value)) for name, value in tags}) > 1:
            return None
        return " | ".join(self.classes[key] for key in keys)

    def _assign_tags(self, kind: Kind) -> None:
        """Have objects told apart by the member that says what they are, where there is one."""
        if isinstance(kind, Choice):
            options = list(dict.fromkeys(self._options(kind)))
            objects = [each for each in options if isinstance(each, Named | Mapping)]
            objects = [each for each in objects if getattr(each, "key", "") not in self.members]
            records = {
                each.key: found
                for each in objects
                if isinstance(each, Named)
                and each.key in self.classes
                and isinstance(found := self._definitions.get(each.key), Record)
            }
            if len(records) == len(objects) > 1:
                self._tell_apart(records, kind.tag)
        for part in parts(kind):
            self._assign_tags(part)

    def _tell_apart(self, records: dict[str, Record], wanted: str | None) -> None:
        says = {key: _fixed_members(record) for key, record in records.items()}
        first = next(iter(says.values()))
        for name in sorted(first, key=lambda each: each != wanted):
            tags = {key: (name, fixed.get(name)) for key, fixed in says.items()}
            values = [value for _, value in tags.values()]
            kinds = {type(value) for value in values}
            fits = len(set(values)) == len(values) and len(kinds) == 1 and None not in values
            if fits and all(self.tags.get(key, tag) == tag for key, tag in tags.items()):
                for key, (_, value) in tags.items():
                    assert value is not None
                    self.tags[key] = name, value
                return


def _fixed_members(record: Record) -> dict[str, str | int]:
    """The members of a record that have always the same value, a text or an integer."""
    fixed: dict[str, str | int] = {}
    for field in record.fields:
        if field.required and isinstance(field.kind, Literals) and len(field.kind.values) == 1:
            (value,) = field.kind.values
            if isinstance(value, str) or (_category(value) == "int" and value in _INTEGERS):
                assert isinstance(value, str | int)
                fixed[field.name] = value
    return fixed


def _kinds_of(description: Description) -> Iterator[Kind]:
    """All types that a description speaks of, at the top."""
    for method in description.methods:
        yield from (field.kind for field in method.params)
        yield method.result
    yield from (event.kind for event in description.events)
    for definition in description.definitions.values():
        if isinstance(definition, Record):
            yield from (field.kind for field in definition.fields)
        elif isinstance(definition, Alias):
            yield definition.kind


def _category(value: Scalar) -> str:
    return "None" if value is None else type(value).__name__


def _members(enumeration: Enumeration) -> dict[str | int, str]:
    names = Names(keyword.kwlist)
    members: dict[str | int, str] = {}
    for value in enumeration.values:
        is_negative = isinstance(value, int) and value < 0
        members[value] = names.take(
            f"MINUS_{str(value)[1:]}" if is_negative else upper(str(value), "VALUE")
        )
    return members
