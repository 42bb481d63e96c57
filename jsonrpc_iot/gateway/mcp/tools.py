"""The methods of devices as tools, made from what the devices say of themselves."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from ...dispatch.openrpc.gather import Document, entries_of, is_idempotent
from .names import safe_names
from .opened import Opened
from .schemas import Schema, Schemas, short

MOST_TOOLS = 500
"""As many tools an assistant is offered; with more, models no longer find the right one."""

READ_MORE = "read_more"
"""The tool that gives the other pages of a large result."""

_LONGEST_DESCRIPTION = 1000
_MOST_PARAMS = 100
_LARGEST_SCHEMA = 16_000  # bytes
_ANYTHING: Schema = {"type": "object"}


class Tool(Struct, frozen=True):
    """A method as a tool.

    Args:
        name: the tool's.
        method: the name of the method, in full.
        device: that has it, by name; empty where there are no others.
        shown: the method's name for people and assistants.
        description: what it does.
        schema: of its arguments.
        params: what these are called at the device, in its order.
        effect: what it says that it does: `read`, `change`, `danger`, or nothing.
        idempotent: calling it twice is no different from calling it once.
        streams: the result comes item by item.
        by_position: the params are an array.
        is_open: it may be called.
    """

    name: str
    method: str
    device: str
    shown: str
    description: str
    schema: Schema
    params: dict[str, str]
    effect: str | None
    idempotent: bool
    streams: bool
    by_position: bool
    is_open: bool

    def params_of(self, arguments: Mapping[str, Any]) -> Any:
        """The arguments as the device takes them."""
        if not self.by_position:
            return {self.params.get(name, name): value for name, value in arguments.items()}
        values: list[Any] = []
        for name in self.params:
            if name not in arguments:
                break
            values.append(arguments[name])
        return values


class Tools(Struct, frozen=True):
    """All that could be tools.

    Args:
        offered: those that may be called, by name.
        closed: those that nobody has opened.
        left_out: how many more may be called, and are not offered.
    """

    offered: dict[str, Tool]
    closed: dict[str, Tool]
    left_out: int


def read_tools(
    document: Document, opened: Opened, devices: Collection[str], only: str | None
) -> Tools:
    """Make tools of the methods in a description.

    Args:
        document: an OpenRPC document, of which nothing is certain.
        opened: says which may be called.
        devices: the names that the names of methods may begin with.
        only: the one device whose name is left out, as there are no others.
    """
    entries = {each["name"]: each for each in _usable(document)}
    components = document.get("components")
    schemas = components.get("schemas") if isinstance(components, dict) else None
    schemas = schemas if isinstance(schemas, dict) else {}
    shown = {name: _without(name, only) for name in entries}
    names = safe_names(shown.values(), taken=(READ_MORE,))
    offered: dict[str, Tool] = {}
    closed: dict[str, Tool] = {}
    left_out = 0
    for method, entry in sorted(entries.items()):
        device, dot, rest = method.partition(".")
        device = device if dot and device in devices else ""
        effect = entry.get("x-effect")
        is_open = opened.permits((method, rest) if device else (method,), effect)
        if is_open and len(offered) == MOST_TOOLS:
            left_out += 1
            continue
        tool = Tool(
            names[shown[method]],
            method,
            "" if device == only else device,
            short(shown[method]),
            *_described(entry, schemas if is_open else {}),
            effect if effect in ("read", "change", "danger") else None,
            is_idempotent(entry),
            entry.get("x-stream") is True,
            entry.get("paramStructure") == "by-position",
            is_open,
        )
        (offered if is_open else closed)[tool.name] = tool
    return Tools(offered, closed, left_out)


def _usable(document: Document) -> Iterator[Document]:
    """The methods that have a name and are no part of the protocol."""
    for entry in entries_of(document, "methods"):
        name = entry.get("name")
        if isinstance(name, str) and name and not name.startswith("rpc."):
            yield entry


def _without(name: str, device: str | None) -> str:
    return name if device is None else name.removeprefix(f"{device}.")


def _described(entry: Document, components: Document) -> tuple[str, Schema, dict[str, str]]:
    """What a tool does, the schema of its arguments, and what these are called at the device."""
    texts = [short(entry.get(key), _LONGEST_DESCRIPTION) for key in ("summary", "description")]
    result = entry.get("result")
    gives = short(result.get("description")) if isinstance(result, dict) else ""
    if gives:
        texts.append(f"Gives: {gives}")
    if entry.get("x-stream") is True:
        texts.append("The result comes item by item; you get the list.")
    if entry.get("deprecated") is True:
        texts.append("Deprecated.")
    text = "\n\n".join(filter(None, texts)) or "The device does not say what this does."
    return short(text, _LONGEST_DESCRIPTION), *_arguments(entry, components)


def _arguments(entry: Document, components: Document) -> tuple[Schema, dict[str, str]]:
    params = [each for each in entries_of(entry, "params") if isinstance(each.get("name"), str)]
    if not params and "result" not in entry:  # nothing is known of it but its name
        return _ANYTHING, {}
    params = params[:_MOST_PARAMS]
    names = safe_names(each["name"] for each in params)
    making = Schemas(components)
    properties: dict[str, Schema] = {}
    for each in params:
        schema = making.of(each.get("schema"))
        if text := short(each.get("description")):
            schema = {**schema, "description": text}
        properties[names[each["name"]]] = schema
    required = [names[each["name"]] for each in params if each.get("required") is True]
    schema = {"type": "object", "properties": properties, "required": required}
    if making.definitions:
        schema["$defs"] = making.definitions
    params_by_name = {short_name: name for name, short_name in names.items()}
    if len(msgspec.json.encode(schema)) > _LARGEST_SCHEMA:
        schema = {**_ANYTHING, "properties": {name: {} for name in properties}}
    return schema, params_by_name
