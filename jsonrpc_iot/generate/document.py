"""An OpenRPC document as a description.

What a program needs has to be right, or the document is refused, with the place; what it can do
without is left out if it is wrong.
"""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from ..errors import UsageError
from .bounds import bounds, with_bounds
from .model import Alias, Description, Error, Event, Field, Kind, Listed, Method, Named, Plain
from .pointers import ROOT, a_list, an_object, below, follow
from .schemas import Schemas

Entry = dict[str, Any]

_OWN = "rpc."
"""Begins the names of the protocol itself, which every client has anyway."""

_MOST_REFERENCES = 20
_LONGEST = 1e9  # seconds


def read_document(document: object, prefix: str = "") -> Description:
    """Read what a device says of itself.

    Args:
        document: an OpenRPC document, decoded.
        prefix: read only what is called `prefix.…`.

    Raises:
        UsageError: it is no such document, or nothing in it has the prefix; the text names the
            place as a JSON pointer.
    """
    return _Reader(an_object(document, ROOT), prefix).read()


class _Reader:
    """Reads one document."""

    def __init__(self, document: Entry, prefix: str) -> None:
        self._document = document
        self._prefix = f"{prefix}." if prefix else ""
        self._schemas = Schemas(document)
        self._seen: set[tuple[str, str]] = set()

    def read(self) -> Description:
        info = self._document.get("info")
        info = info if isinstance(info, dict) else {}
        methods: list[Method] = []
        for entry, place in self._entries("methods", needed=True):
            if name := self._name_of(entry, place, "methods"):
                methods.append(self._method(name, entry, place))
        received: list[Method] = []
        events: list[Event] = []
        for entry, place in self._entries("x-notifications", needed=False):
            if entry.get("direction") == "emitted":
                if name := self._name_of(entry, place, "events"):
                    events.append(self._event(name, entry, place))
            elif name := self._name_of(entry, place, "received"):
                received.append(self._notification(name, entry, place))
        if self._prefix and not (methods or received or events):
            raise UsageError(f"nothing that the device describes is called {self._prefix}…")
        return Description(
            title=_text(info, "title"),
            version=_text(info, "version"),
            text=_text(info, "description"),
            methods=(*methods, *received),
            events=tuple(events),
            definitions=self._schemas.definitions,
        )

    def _entries(self, key: str, *, needed: bool) -> Iterable[tuple[Entry, str]]:
        place = below(ROOT, key)
        entries = self._document.get(key)
        if entries is None and not needed:
            return
        for number, each in enumerate(a_list(entries, place)):
            yield self._followed(each, below(place, number))

    def _followed(self, value: object, place: str) -> tuple[Entry, str]:
        """An object, or the one that it refers to."""
        for _ in range(_MOST_REFERENCES):
            entry = an_object(value, place)
            if "$ref" not in entry:
                return entry, place
            value, place = follow(self._document, entry["$ref"], place)
        raise UsageError(f"{place}: its references lead in a circle")

    def _name_of(self, entry: Entry, place: str, group: str) -> str | None:
        """The name of an entry that is wanted."""
        name = _name(entry, place)
        if name.startswith(_OWN) or not name.startswith(self._prefix):
            return None
        if len(name) == len(self._prefix):
            raise UsageError(f"{below(place, 'name')}: nothing follows {self._prefix!r}")
        if (group, name) in self._seen:
            raise UsageError(f"{below(place, 'name')}: the name {name!r} has been there before")
        self._seen.add((group, name))
        return name

    def _method(self, name: str, entry: Entry, place: str) -> Method:
        result, result_place = self._followed(entry.get("result") or {}, below(place, "result"))
        at = below(result_place, "schema")
        kind = self._schemas.kind(result.get("schema"), at, f"{name}_result")
        streams = entry.get("x-stream") is True
        if streams:
            kind = self._items(kind)
        structure = entry.get("paramStructure")
        return Method(
            name=name,
            text=_prose(entry),
            params=self._params(name, entry, place),
            by_name=structure == "by-name",
            by_position=structure == "by-position",
            result=kind,
            result_text=_text(result, "description"),
            streams=streams,
            errors=tuple(self._errors(entry)),
            timeout=_seconds(entry.get("x-timeout")),
            idempotent=entry.get("x-idempotent") is True or entry.get("x-effect") == "read",
            deprecated=entry.get("deprecated") is True,
        )

    def _items(self, kind: Kind) -> Kind:
        """What a stream gives, whose result is described as the whole list."""
        while isinstance(kind, Named):
            definition = self._schemas.definitions.get(kind.key)
            kind = definition.kind if isinstance(definition, Alias) else Plain.ANYTHING
        return kind.items if isinstance(kind, Listed) else Plain.ANYTHING

    def _notification(self, name: str, entry: Entry, place: str) -> Method:
        structure = entry.get("paramStructure")
        return Method(
            name=name,
            text=_prose(entry),
            params=self._params(name, entry, place),
            by_name=structure == "by-name",
            by_position=structure == "by-position",
            notification=True,
            deprecated=entry.get("deprecated") is True,
        )

    def _event(self, name: str, entry: Entry, place: str) -> Event:
        kind = self._schemas.kind(entry.get("schema"), below(place, "schema"), f"{name}_event")
        return Event(name, kind, _prose(entry))

    def _params(self, method: str, entry: Entry, place: str) -> tuple[Field, ...]:
        params: dict[str, Field] = {}
        inside = below(place, "params")
        for number, each in enumerate(a_list(entry.get("params", []), inside)):
            parameter, at = self._followed(each, below(inside, number))
            name = _name(parameter, at)
            if name in params:
                raise UsageError(f"{below(at, 'name')}: the name {name!r} has been there before")
            required = parameter.get("required") is True
            schema, schema_place = parameter.get("schema"), below(at, "schema")
            field = self._schemas.field(
                name, schema, schema_place, f"{method}_{name}", required=required
            )
            if text := _prose(parameter):
                limits = bounds(schema) if isinstance(schema, dict) else ""
                field = replace(field, text=with_bounds(text, limits))
            params[name] = field
        return tuple(params.values())

    def _errors(self, entry: Entry) -> Iterable[Error]:
        errors = entry.get("errors")
        codes: set[int] = set()
        for each in errors if isinstance(errors, list) else ():
            code = each.get("code") if isinstance(each, dict) else None
            if isinstance(code, int) and not isinstance(code, bool) and code not in codes:
                codes.add(code)
                yield Error(code, _text(each, "message"))


def _prose(entry: Entry) -> str:
    """What an entry says of itself, in paragraphs."""
    texts = (_text(entry, "summary"), _text(entry, "description"))
    return "\n\n".join(dict.fromkeys(filter(None, texts)))


def _text(entry: Entry, key: str) -> str:
    text = entry.get(key)
    return text if isinstance(text, str) else ""


def _name(entry: Entry, place: str) -> str:
    name = _text(entry, "name")
    if not name:
        raise UsageError(f"{below(place, 'name')}: a text that is not empty is needed here")
    return name


def _seconds(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _LONGEST:
        return float(value)
    return None
