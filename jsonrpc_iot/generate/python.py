"""A description as Python: a service class for `client.proxy`, with what it needs."""

import builtins
import keyword
from collections.abc import Iterator

from msgspec import UNSET, Struct

from .. import errors
from ..errors import RpcError, UsageError
from .model import Alias, Description, Enumeration, Error, Field, Method, Record
from .names import Names, pascal, snake
from .python_text import INDENT, docstring, entries, listed
from .python_types import BUILTINS, Types, is_fit, literal
from .texts import one_line, prose

# What each name is imported from, in the order of the file.
_IMPORTS = {
    "datetime": "",
    "ABC": "abc",
    "abstractmethod": "abc",
    "Decimal": "decimal",
    "Enum": "enum",
    "Any": "typing",
    "Literal": "typing",
    "Protocol": "typing",
    "TypeAlias": "typing",
    "UUID": "uuid",
    "UNSET": "msgspec",
    "Struct": "msgspec",
    "UnsetType": "msgspec",
    "field": "msgspec",
    "Event": "jsonrpc_iot",
    "RpcError": "jsonrpc_iot",
    "Stream": "jsonrpc_iot",
    "method": "jsonrpc_iot",
    "notification": "jsonrpc_iot",
    "service": "jsonrpc_iot",
    "BlockingEvent": "jsonrpc_iot.blocking",
    "BlockingStream": "jsonrpc_iot.blocking",
}
_OTHERS = ("msgspec", "jsonrpc_iot", "jsonrpc_iot.blocking")

# The codes that have classes of their own already.
_KNOWN_CODES = frozenset(
    each.code
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, RpcError)
)


class Member(Struct, frozen=True):
    """A method as both classes have it.

    Args:
        attribute: what it is called in Python.
        method: what it is.
        params: its parameters, without `self`.
        names: what callers call those that Python calls otherwise.
        result: the annotation of the result, or of each item.
        doc: the lines of its docstring.
    """

    attribute: str
    method: Method
    params: tuple[str, ...]
    names: dict[str, str]
    result: str
    doc: list[str]


def write_python(
    description: Description,
    header: str,
    service: str | None = None,
    prefix: str = "",
    *,
    blocking: bool = False,
) -> str:
    """Write a client.

    Args:
        description: of the device.
        header: one line that says where it comes from.
        service: what the class is to be called; what the device is, by default.
        prefix: what the names of all methods and events begin with, which the class leaves out.
        blocking: whether to add a Protocol for the client without async.

    Returns:
        The source of a module.

    Raises:
        UsageError: the class cannot be called so, or a parameter has a name that cannot be sent.
    """
    return _Module(description, service, prefix).write(header, blocking=blocking)


class _Module:
    """One module, as it is written."""

    def __init__(self, description: Description, service: str | None, prefix: str) -> None:
        taken = {*keyword.kwlist, *dir(builtins), *_IMPORTS, "annotations"}
        names = Names(taken)
        self._description = description
        self._service = names.take_class(service, prefix or description.title)
        self._blocking = names.take(f"Blocking{self._service}")
        self._prefix = prefix
        self._types = Types(description, names)
        self._used = self._types.used
        self._errors = self._name_errors(names)
        module = {*keyword.kwlist, *BUILTINS, *_IMPORTS, self._service, self._blocking}
        classes = {*self._types.classes.values(), *self._errors.values()}
        self._module = frozenset(module | classes)
        attributes = Names(self._module)
        self._members = [self._member(attributes, each) for each in description.methods]
        self._events = {
            self._attribute(attributes, each.name, "event"): each for each in description.events
        }

    def write(self, header: str, *, blocking: bool) -> str:
        """The source."""
        parts = [*self._definitions(), *self._error_classes()]
        parts.append("\n".join(self._service_class(short=blocking)))
        if blocking:
            parts.append("\n".join(self._protocol()))
        names = filter(None, (self._description.title, self._description.version))
        text = f"{one_line(' '.join(names) or 'A device')}: what it does."
        comment = header.replace("coding", "coding ")  # else it may say how to decode the file
        top = [
            f"# {one_line(comment)}",
            "# ruff: noqa",
            *docstring([text, self._description.text], ""),
        ]
        return "\n".join([*top, "", *self._imports(), "", "", "\n\n\n".join(parts), ""])

    def _use(self, name: str) -> str:
        self._used.add(name)
        return name

    def _name_errors(self, names: Names) -> dict[Error, str]:
        """A class for each error that methods declare and that has none yet."""
        every = [error for method in self._description.methods for error in method.errors]
        return {
            error: names.take(pascal(error.message, "Error"))
            for error in dict.fromkeys(every)
            if error.code not in _KNOWN_CODES
        }

    def _attribute(self, attributes: Names, name: str, kind: str) -> str:
        wanted = snake(self._short(name), kind)
        return attributes.take(wanted if not attributes.has(wanted) else f"{wanted}_{kind}")

    def _imports(self) -> Iterator[str]:
        yield "from __future__ import annotations"
        yield ""
        if "datetime" in self._used:
            yield "import datetime"
        for module in dict.fromkeys(filter(None, _IMPORTS.values())):
            found = [name for name, home in _IMPORTS.items() if home == module]
            if used := [name for name in found if name in self._used]:
                if module in _OTHERS and module != "jsonrpc_iot.blocking":
                    yield ""
                yield f"from {module} import {', '.join(used)}"

    def _definitions(self) -> Iterator[str]:
        definitions = self._description.definitions
        for place, definition in definitions.items():
            if isinstance(definition, Enumeration):
                yield "\n".join(self._enumeration(place, definition))
        for place, definition in definitions.items():
            if isinstance(definition, Record) and place in self._types.classes:
                yield "\n".join(self._record(place, definition))
        aliases = [
            "\n".join(self._alias(place, definition))
            for place, definition in definitions.items()
            if isinstance(definition, Alias)
        ]
        if aliases:
            yield "\n".join(aliases)

    def _enumeration(self, place: str, enumeration: Enumeration) -> Iterator[str]:
        yield f"class {self._types.classes[place]}({self._use('Enum')}):"
        yield from docstring([enumeration.text], INDENT)
        if enumeration.text:
            yield ""
        for value, member in self._types.members[place].items():
            yield f"{INDENT}{member} = {literal(value)}"

    def _record(self, place: str, record: Record) -> Iterator[str]:
        tag = self._types.tags.get(place)
        fields = [each for each in record.fields if tag is None or each.name != tag[0]]
        options = [self._use("Struct")]
        if tag is not None:
            options.append(f"tag_field={literal(tag[0])}")
            options.append(f"tag={literal(tag[1])}")
        required = [field.required for field in fields]
        if required != sorted(required, reverse=True):
            options.append("kw_only=True")
        yield f"class {self._types.classes[place]}({', '.join(options)}):"
        names = Names(self._module)
        attributes = {names.take(snake(field.name, "field")): field for field in fields}
        about = entries("Args", {name: field.text for name, field in attributes.items()})
        doc = docstring([record.text, *about], INDENT)
        yield from doc
        if doc and attributes:
            yield ""
        for name, field in attributes.items():
            yield f"{INDENT}{name}: {self._assigned(name, field)}"
        if not (doc or attributes):
            yield f"{INDENT}pass"

    def _assigned(self, name: str, field: Field) -> str:
        """The annotation of a Struct's field, and what follows it."""
        annotation, default = self._with_default(field)
        empty = {"list": "[]", "dict": "{}"}.get(annotation.partition("[")[0])
        if not field.required and field.default in ([], {}) and repr(field.default) == empty:
            default = empty
        elif default == "UNSET":
            annotation = self._or_unset(annotation)
        if name == field.name:
            return annotation if default is None else f"{annotation} = {default}"
        more = "" if default is None else f", default={default}"
        return f"{annotation} = {self._use('field')}(name={literal(field.name)}{more})"

    def _with_default(self, field: Field) -> tuple[str, str | None]:
        """A field's annotation, and its default: `UNSET` for one that only the device knows."""
        annotation = self._types.annotation(field.kind)
        if field.required:
            return annotation, None
        known = None if field.default is UNSET else self._types.default(field)
        return annotation, self._use("UNSET") if known is None else known

    def _or_unset(self, annotation: str) -> str:
        return annotation if annotation == "Any" else f"{annotation} | {self._use('UnsetType')}"

    def _alias(self, place: str, alias: Alias) -> Iterator[str]:
        name, kind = self._types.classes[place], self._types.annotation(alias.kind)
        yield f"{name}: {self._use('TypeAlias')} = {kind}"
        yield from docstring([alias.text], "")

    def _error_classes(self) -> Iterator[str]:
        for error, name in self._errors.items():
            lines = [f"class {name}({self._use('RpcError')}):"]
            lines += [f"{INDENT}code = {error.code}"]
            lines += [f"{INDENT}message = {literal(error.message)}"]
            yield "\n".join(lines)

    def _member(self, attributes: Names, method: Method) -> Member:
        attribute = self._attribute(
            attributes, method.name, "notification" if method.notification else "method"
        )
        if method.by_position and method.params:
            raise UsageError(f"{method.name!r} takes params by position alone; proxies name them")
        own = Names({*keyword.kwlist, "self"})
        names = {own.take(snake(field.name, "param")): field for field in method.params}
        for field in method.params:
            if not is_fit(field.name):
                raise UsageError(
                    f"{method.name!r} has a parameter {field.name!r}: no name has quotes, "
                    "backslashes or control characters"
                )
        doc = [prose(method.text)]
        doc += entries("Args", {name: field.text for name, field in names.items()})
        if method.result_text:
            doc += entries("Yields" if method.streams else "Returns", {"": method.result_text})
        return Member(
            attribute=attribute,
            method=method,
            params=tuple(self._parameters(method, names)),
            names={name: field.name for name, field in names.items() if name != field.name},
            result="None" if method.notification else self._types.annotation(method.result),
            doc=docstring(doc, INDENT * 2),
        )

    def _parameters(self, method: Method, names: dict[str, Field]) -> Iterator[str]:
        """The parameters in their order; by name alone from where that is no order for Python."""
        starred = False
        optional = False
        for name, field in names.items():
            if not starred and (method.by_name or (optional and field.required)):
                starred = True
                yield "*"
            optional = optional or not field.required
            annotation, default = self._with_default(field)
            if default == "UNSET":
                annotation = self._or_unset(annotation)
            yield (
                f"{name}: {annotation}" if default is None else f"{name}: {annotation} = {default}"
            )

    def _service_class(self, *, short: bool) -> Iterator[str]:
        """The class; a short one has no docstrings, since readers look at another."""
        yield f"@{self._use('service')}({literal(self._prefix)})"
        yield f"class {self._service}({self._use('ABC')}):"
        of = f"`{self._prefix}.…`" if self._prefix else "of the device"
        yield from docstring([f"The methods and events {of}."], INDENT)
        if self._events:
            yield ""
        for attribute, event in self._events.items():
            given = "" if self._is_own(attribute, event.name) else literal(self._short(event.name))
            kind = self._types.event(event.kind)
            yield f"{INDENT}{attribute} = {self._use('Event')}[{kind}]({given})"
            yield from docstring([event.text], INDENT)
        for member in self._members:
            yield ""
            yield INDENT + self._decorator(member)
            yield f"{INDENT}@{self._use('abstractmethod')}"
            stream = self._use("Stream") if member.method.streams else ""
            word = "def" if stream else "async def"
            result = f"{stream}[{member.result}]" if stream else member.result
            yield from _function(word, member, result, [] if short else member.doc)

    def _protocol(self) -> Iterator[str]:
        yield f"class {self._blocking}({self._use('Protocol')}):"
        about = f"The same without async: `client.proxy({self._service}, {self._blocking})`."
        yield from docstring([about], INDENT)
        if self._events:
            yield ""
        for attribute, event in self._events.items():
            kind = self._types.event(event.kind)
            yield f"{INDENT}{attribute}: {self._use('BlockingEvent')}[{kind}]"
            yield from docstring([event.text], INDENT)
        for member in self._members:
            yield ""
            stream = self._use("BlockingStream") if member.method.streams else ""
            result = f"{stream}[{member.result}]" if stream else member.result
            yield from _function("def", member, result, member.doc)

    def _short(self, name: str) -> str:
        return name[len(self._prefix) + 1 :] if self._prefix else name

    def _is_own(self, attribute: str, name: str) -> bool:
        return attribute == self._short(name)

    def _decorator(self, member: Member) -> str:
        method = member.method
        options = []
        if not self._is_own(member.attribute, method.name):
            options.append(literal(self._short(method.name)))
        if method.idempotent:
            options.append("idempotent=True")
        if method.timeout is not None:
            options.append(f"timeout={method.timeout!r}")
        if method.deprecated:
            options.append("deprecated=True")
        if member.names:
            pairs = [f"{literal(name)}: {literal(given)}" for name, given in member.names.items()]
            options.append(f"names={{{', '.join(pairs)}}}")
        if declared := [self._errors[each] for each in method.errors if each in self._errors]:
            options.append(f"errors=[{', '.join(declared)}]")
        word = self._use("notification" if method.notification else "method")
        return listed(f"@{word}(", options, ")", INDENT) if options else f"@{word}"


def _function(word: str, member: Member, result: str, doc: list[str]) -> Iterator[str]:
    end = f") -> {result}:" if doc else f") -> {result}: ..."
    params = ["self", *member.params]
    yield INDENT + listed(f"{word} {member.attribute}(", params, end, INDENT)
    yield from doc
