"""A description as TypeScript: a typed client for browsers and Node, in one file.

It holds the types and a class of the device, and `runtime.ts`, which is the same for all.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources

from .model import (
    Choice,
    Description,
    Enumeration,
    Field,
    Fixed,
    Kind,
    Listed,
    Literals,
    Mapping,
    Method,
    Named,
    Plain,
    Record,
    Scalar,
)
from .names import Names, camel, pascal
from .texts import one_line, prose, quoted, wrapped

_WIDTH = 100
_SPARE_SECONDS = 1.0
_EXACT = 2**53
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*|\"[^\"\n]*\"|`[^`\n]*`", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_$][\w$]*")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = {
    Plain.ANYTHING: "unknown",
    Plain.NULL: "null",
    Plain.BOOLEAN: "boolean",
    Plain.INTEGER: "number",
    Plain.NUMBER: "number",
    Plain.DECIMAL: "string | number",
}

# What a class has anyway, and what would make it a Promise.
_NO_ATTRIBUTES = (
    *("link", "constructor", "then", "toString", "toLocaleString", "valueOf", "toJSON"),
    *("hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "prototype"),
)

# Globals and words of the language that `runtime.ts` does not use.
_NO_TYPES = (
    "Array",
    "Object",
    "Record",
    "Function",
    "Symbol",
    "Number",
    "Boolean",
    "Infinity",
    "NaN",
)


def write_typescript(
    description: Description, header: str, service: str | None = None, prefix: str = ""
) -> str:
    """Write a client.

    Args:
        description: of the device.
        header: one line that says where it comes from.
        service: what the class is to be called; what the device is, by default.
        prefix: what the names of all methods and events begin with, which the class leaves out.

    Returns:
        The source of a module.

    Raises:
        UsageError: the class cannot be called so.
    """
    return _Module(description, service, prefix).write(header)


@cache
def _runtime() -> str:
    return resources.files(__package__).joinpath("runtime.ts").read_text(encoding="utf-8")


@cache
def _reserved() -> frozenset[str]:
    """Every word of the code that follows in the file: no type may take its place."""
    return frozenset(_WORD.findall(_COMMENT.sub("", _runtime()))) | {*_NO_TYPES}


class _Module:
    """One module, as it is written."""

    def __init__(self, description: Description, service: str | None, prefix: str) -> None:
        names = Names(_reserved())
        self._description = description
        self._prefix = prefix
        self._service = names.take_class(service, prefix or description.title)
        self._types = {
            place: names.take(pascal(each.name, "Type"))
            for place, each in description.definitions.items()
        }
        attributes = Names(_NO_ATTRIBUTES)
        self._methods = [
            (
                self._attribute(
                    attributes, each.name, "notification" if each.notification else "method"
                ),
                each,
            )
            for each in description.methods
        ]
        self._events = [
            (self._attribute(attributes, each.name, "event"), each) for each in description.events
        ]

    def write(self, header: str) -> str:
        """The source."""
        parts = [f"// {one_line(header)}"]
        for place, definition in self._description.definitions.items():
            name = self._types[place]
            body: Iterable[str]
            if isinstance(definition, Record):
                body = self._interface(name, definition)
            elif isinstance(definition, Enumeration):
                body = [f"export type {name} = {self._literals(definition.values)};"]
            else:
                body = [f"export type {name} = {self._type(definition.kind)};"]
            parts.append("\n".join([*_comment(definition.text, ""), *body]))
        parts.append("\n".join(self._class()))
        return "\n\n".join([*parts, _runtime()])

    def _attribute(self, attributes: Names, name: str, kind: str) -> str:
        wanted = camel(self._short(name), kind)
        return attributes.take(wanted if not attributes.has(wanted) else f"{wanted}{kind.title()}")

    def _short(self, name: str) -> str:
        return name[len(self._prefix) + 1 :] if self._prefix else name

    def _type(self, kind: Kind) -> str:
        match kind:
            case Named(key=key):
                return self._types[key]
            case Literals(values=values):
                return self._literals(values)
            case Listed(items=items):
                return f"Array<{self._type(items)}>"
            case Fixed(items=items, least=least, rest=rest):
                types = [
                    f"({self._type(item)}){'' if number < least else '?'}"
                    for number, item in enumerate(items)
                ]
                more = [] if rest is None else [f"...Array<{self._type(rest)}>"]
                return f"[{', '.join([*types, *more])}]"
            case Mapping(values=values):
                return f"Record<string, {self._type(values)}>"
            case Choice(options=options):
                return " | ".join(dict.fromkeys(self._type(option) for option in options))
            case _:
                return _PLAIN.get(kind, "string")

    def _literals(self, values: tuple[Scalar, ...]) -> str:
        return " | ".join(dict.fromkeys(map(_literal, values)))

    def _interface(self, name: str, record: Record) -> Iterator[str]:
        yield f"export interface {name} {{"
        for field in record.fields:
            yield from _comment(field.text, "  ")
            yield f"  {self._member(field)};"
        yield "}"

    def _member(self, field: Field) -> str:
        name = field.name if _IDENTIFIER.fullmatch(field.name) else _quoted(field.name)
        return f"{name}{'' if field.required else '?'}: {self._type(field.kind)}"

    def _class(self) -> Iterator[str]:
        yield from _comment(self._description.text or self._description.title, "")
        yield f"export class {self._service} {{"
        yield "  readonly link: Link;"
        for attribute, event in self._events:
            yield from _comment(event.text, "  ")
            yield f"  readonly {attribute}: DeviceEvent<{self._type(event.kind)}>;"
        yield ""
        yield "  /** The device at the other end of a link, as in `connect(url)`. */"
        yield "  constructor(link: Link) {"
        yield "    this.link = link;"
        for attribute, event in self._events:
            yield f"    this.{attribute} = new DeviceEvent(link, {_quoted(event.name)});"
        yield "  }"
        for attribute, method in self._methods:
            yield ""
            yield from self._method(attribute, method)
        yield "}"

    def _method(self, attribute: str, method: Method) -> Iterator[str]:
        yield from _comment(_about(method), "  ")
        params = f"{{ {'; '.join(map(self._member, method.params))} }}"
        arguments, given = [], "undefined"
        if method.params:
            needed = any(field.required for field in method.params)
            arguments.append(f"params{'' if needed else '?'}: {params}")
            names = ", ".join(_quoted(field.name) for field in method.params)
            given = f"positional(params ?? {{}}, [{names}])" if method.by_position else "params"
        name = _quoted(method.name)
        if method.notification:
            call = f"notify({name}, {given})"
            result = "Promise<void>"
        else:
            arguments.append("options: CallOptions = {}")
            word = "stream" if method.streams else "call"
            kind = self._type(method.result)
            call = f"{word}({name}, {given}, {_options(method)})"
            result = f"Items<{kind}>" if method.streams else f"Promise<{kind}>"
        yield f"  {attribute}({', '.join(arguments)}): {result} {{"
        yield f"    return this.link.{call};"
        yield "  }"


def _options(method: Method) -> str:
    """What is given to the call: the device shall end it, not we."""
    own = "" if method.timeout is None else f", {method.timeout + _SPARE_SECONDS:g}"
    return f"options{own}"


def _about(method: Method) -> str:
    """What a comment says of a method."""
    lines = [prose(method.text), ""]
    lines += [
        f"@param params.{one_line(field.name)} {text}"
        for field in method.params
        if (text := one_line(field.text))
    ]
    if method.result_text:
        lines.append(f"@returns {one_line(method.result_text)}")
    lines += [
        f"@throws {{RpcError}} {each.code} {one_line(each.message)}" for each in method.errors
    ]
    if method.deprecated:
        lines.append("@deprecated")
    return "\n".join(lines).strip()


def _comment(text: str, indent: str) -> list[str]:
    """A comment; where it has an @, its last line says nothing, since that may be a directive."""
    safe = prose(text).strip().replace("*/", "*\\/")
    if not safe:
        return []
    if "@" not in safe and "\n" not in safe and len(indent) + len(safe) <= _WIDTH - 7:
        return [f"{indent}/** {safe} */"]
    lines = wrapped(safe, _WIDTH - len(indent) - 3)
    return [f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */"]


def _quoted(text: str) -> str:
    return quoted(text, "\\u{{{:x}}}")


def _literal(value: Scalar) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value) if abs(value) < _EXACT else "number"
