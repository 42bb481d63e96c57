"""What a device says about itself, as an OpenRPC document (spec.open-rpc.org, version 1.3).

Which methods a caller may see is up to `rpc_methods`. OpenRPC knows no notifications, so they are
an extension, `x-notifications`: those that the device receives, described like methods, and those
that it emits, with the `schema` of all their params.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from inspect import cleandoc
from typing import Any

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields

from ...protocol.codec.floats import has_nan
from ..declare.options import Example, KindOfError
from ..handler import Handler
from ..table import Entry
from .docstrings import Docstring, parse
from .draft7 import to_draft_7
from .shrink import Document, Schema, change_objects, cut_to_fit, without

VERSION = "1.3.2"

_REFERENCE = "#/components/schemas/{name}"


class Info(Struct, frozen=True):
    """What a device is.

    Args:
        title: what it is called.
        version: that of its software.
        description: more about it.
    """

    title: str
    version: str
    description: str | None = None


class Event(Struct, frozen=True):
    """What a device emits: the type of its params, and the permission to hear it."""

    kind: Any
    requires: str | None


class Contents(Struct, frozen=True):
    """What a document describes.

    Args:
        info: the device.
        methods: those of the methods, in the order of the document.
        notifications: those of the notifications that the device receives.
        events: those that it emits, by name.
    """

    info: Info
    methods: Sequence[Entry]
    notifications: Sequence[Entry]
    events: Mapping[str, Event]


def document(contents: Contents) -> Document:
    """Describe a device."""
    kinds = [kind for entry in contents.methods for kind in _kinds(entry.handler)]
    kinds += [kind for each in contents.notifications for kind in _kinds_of_params(each.handler)]
    schemas, components = _schemas([*kinds, *(event.kind for event in contents.events.values())])
    each = iter(schemas)
    whole: Document = {
        "openrpc": VERSION,
        "info": {"title": contents.info.title, "version": contents.info.version},
        "methods": [_method(entry, each) for entry in contents.methods],
    }
    if contents.info.description is not None:
        whole["info"]["description"] = contents.info.description
    received = [_received(entry, each) for entry in contents.notifications]
    emitted = [_emitted(name, event, next(each)) for name, event in contents.events.items()]
    if received or emitted:
        whole["x-notifications"] = [*received, *emitted]
    if components:
        for schema in components.values():
            _describe_fields(schema)
        whole["components"] = {"schemas": components}
    tidy: Document = change_objects(whole, _without_odd_default)
    return tidy


def document_of_one(contents: Contents, room: int | None) -> Document:
    """Describe what has one name in a message that may be small.

    What does not fit goes: first the examples and the prose, at last the types, and all that a
    document need not have. A name and parameters that need more room still are given all the same.

    Args:
        contents: a method, notifications, or both, of that name.
        room: bytes that the document may have, `None` for any number.
    """
    return cut_to_fit(document(contents), room)


def _kinds(handler: Handler) -> list[Any]:
    return [*_kinds_of_params(handler), handler.result_type]


def _kinds_of_params(handler: Handler) -> list[Any]:
    return [field.type for field in fields(handler.params)]


def _method(entry: Entry, schemas: Iterator[Schema]) -> Document:
    handler = entry.handler
    doc = parse(handler.doc)
    options = handler.options
    method = _head(entry, doc)
    if handler.by_name:
        method["paramStructure"] = "by-name"
    method["params"] = _parameters(handler, doc, schemas)
    method["result"] = {"name": "result", "schema": next(schemas)}
    if doc.returns:
        method["result"]["description"] = doc.returns
    if options.errors:
        method["errors"] = [_error(error) for error in options.errors]
    if options.examples:
        method["examples"] = [
            {**_example(each), "result": {"name": "result", "value": each.result}}
            for each in options.examples
        ]
    if handler.is_generator:
        method["x-stream"] = True
    if options.idempotent:
        method["x-idempotent"] = True
    if options.effect is not None:
        method["x-effect"] = options.effect
    if options.entity is not None:
        method["x-entity"] = msgspec.to_builtins(options.entity)
    return method | _limits(handler)


def _received(entry: Entry, schemas: Iterator[Schema]) -> Document:
    handler = entry.handler
    doc = parse(handler.doc)
    notification = _head(entry, doc)
    notification["direction"] = "received"
    notification["params"] = _parameters(handler, doc, schemas)
    if handler.options.examples:
        notification["examples"] = [_example(each) for each in handler.options.examples]
    return notification | _limits(handler)


def _emitted(name: str, event: Event, schema: Schema) -> Document:
    emitted: Document = {"name": name, "direction": "emitted", "schema": schema}
    return emitted if event.requires is None else emitted | {"x-requires": str(event.requires)}


def _head(entry: Entry, doc: Docstring) -> Document:
    options = entry.handler.options
    head: Document = {"name": entry.name}
    if doc.summary:
        head["summary"] = doc.summary
    if doc.description:
        head["description"] = doc.description
    if options.tags:
        head["tags"] = [{"name": tag} for tag in options.tags]
    if options.deprecated:
        head["deprecated"] = True
    return head


def _limits(handler: Handler) -> Document:
    limits: Document = {}
    if handler.options.timeout is not None:
        limits["x-timeout"] = handler.options.timeout
    if handler.options.requires is not None:
        limits["x-requires"] = str(handler.options.requires)
    return limits


def _parameters(handler: Handler, doc: Docstring, schemas: Iterator[Schema]) -> list[Schema]:
    return [_parameter(field, doc, next(schemas)) for field in fields(handler.params)]


def _parameter(field: FieldInfo, doc: Docstring, schema: Schema) -> Schema:
    if not field.required and "$ref" not in schema:  # beside a reference nothing counts
        default = field.default if field.default is not NODEFAULT else field.default_factory()
        schema = {**schema, "default": default}
    parameter: Schema = {"name": field.encode_name}
    if field.name in doc.args:
        parameter["description"] = doc.args[field.name]
    return parameter | {"required": field.required, "schema": schema}


def _error(error: KindOfError) -> Document:
    described: Document = {"code": error.code, "message": error.message}
    data = getattr(error, "data", None)
    if data is not None and _is_json(data):
        described["data"] = data
    return described


def _example(example: Example) -> Document:
    described: Document = {"name": example.name}
    if example.summary:
        described["summary"] = example.summary
    params = [{"name": name, "value": value} for name, value in example.params.items()]
    return described | {"params": params}


def _describe_fields(schema: Schema) -> None:
    """Divide the docstring of a class, which is the schema's description, among its fields."""
    if "description" not in schema:
        return
    doc = parse(cleandoc(schema["description"]))
    schema["description"] = doc.summary
    for name, field in schema.get("properties", {}).items():
        if name in doc.args and "$ref" not in field:
            field.setdefault("description", doc.args[name])


def _without_odd_default(schema: Schema) -> Schema:
    return schema if _is_json(schema.get("default")) else without(schema, "default")


def _is_json(value: Any) -> bool:
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return not has_nan(value)


def _schemas(kinds: Iterable[Any]) -> tuple[tuple[Schema, ...], dict[str, Schema]]:
    """The JSON Schemas of types; `{}`, which anything fits, for what has none."""
    describable = [kind if _is_describable(kind) else Any for kind in kinds]
    schemas, components = msgspec.json.schema_components(
        describable, schema_hook=_of_anything, ref_template=_REFERENCE
    )
    to_draft_7_here = to_draft_7(describable)
    schemas = tuple(change_objects(schema, to_draft_7_here) for schema in schemas)
    return schemas, {
        name: change_objects(schema, to_draft_7_here) for name, schema in components.items()
    }


def _is_describable(kind: Any) -> bool:
    try:
        msgspec.json.schema_components([kind], schema_hook=_of_anything)
    except (TypeError, NotImplementedError):
        return False
    return True


def _of_anything(kind: type) -> Schema:
    return {}
