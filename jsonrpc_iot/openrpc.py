"""What handlers say about themselves, as an OpenRPC document (spec.open-rpc.org, version 1.3).

Whose methods a caller may see is the dispatcher's business. Notifications are left out.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from msgspec import NODEFAULT
from msgspec.structs import FieldInfo, fields

from .handler import Handler

VERSION = "1.3.2"

_NAMED_BY_OTHERS = ("properties", "schemas")
_REFERENCE = "#/components/schemas/{name}"

Schema = dict[str, Any]
Document = dict[str, Any]


def document(handlers: Sequence[Handler], version: str) -> Document:
    """Describe methods.

    Args:
        handlers: those of the methods, in the order of the document.
        version: that of the software.
    """
    taken = [fields(handler.params) for handler in handlers]
    kinds = [field.type for parameters in taken for field in parameters]
    kinds += [handler.result_type for handler in handlers]
    schemas, components = _schemas(kinds)
    each = iter(schemas)
    described = [[_parameter(field, next(each)) for field in parameters] for parameters in taken]
    whole: Document = {
        "openrpc": VERSION,
        "info": {"title": "JSON-RPC", "version": version},
        "methods": [
            _method(handler, parameters, next(each))
            for handler, parameters in zip(handlers, described, strict=True)
        ],
    }
    if components:
        for schema in components.values():
            if "description" in schema:
                schema["description"] = _paragraphs(schema["description"])[0]
        whole["components"] = {"schemas": components}
    return whole


def document_of_one(handler: Handler, version: str, room: int | None) -> Document:
    """Describe one method in a message that may be small.

    What does not fit goes: first the prose, then the schemas, at last all that a document need not
    have. A name and parameters that need more room still are given all the same.

    Args:
        handler: the method's.
        version: that of the software.
        room: bytes that the document may have, `None` for any number.
    """
    whole = document([handler], version)
    for cut in (_cut_prose, _cut_components, _cut_schemas, _cut_result):
        if room is None or len(msgspec.json.encode(whole)) <= room:
            break
        whole = cut(whole)
    return whole


def _cut_prose(whole: Document) -> Document:
    cut: Document = _in_schemas(whole, lambda schema: _without(schema, "description", "title"))
    cut["info"] = whole["info"]
    return cut


def _cut_components(whole: Document) -> Document:
    cut: Document = _in_schemas(whole, lambda schema: {} if "$ref" in schema else schema)
    return _without(cut, "components")


def _cut_schemas(whole: Document) -> Document:
    (method,) = whole["methods"]
    parameters = [
        {"name": each["name"], "schema": {}} | ({"required": True} if each["required"] else {})
        for each in method["params"]
    ]
    bare = {"name": method["name"], "params": parameters}
    return {**whole, "methods": [{**bare, "result": {"name": "result", "schema": {}}}]}


def _cut_result(whole: Document) -> Document:
    return {**whole, "methods": [_without(method, "result") for method in whole["methods"]]}


def _in_schemas(value: Any, change: Callable[[Schema], Schema]) -> Any:
    """Change every object in there, except those whose members are named by the application."""
    if isinstance(value, list):
        return [_in_schemas(item, change) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: {name: _in_schemas(item, change) for name, item in member.items()}
        if key in _NAMED_BY_OTHERS and isinstance(member, dict)
        else member
        if key == "default"
        else _in_schemas(member, change)
        for key, member in change(value).items()
    }


def _without(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: member for key, member in value.items() if key not in keys}


def _paragraphs(text: str) -> list[str]:
    return inspect.cleandoc(text).split("\n\n")


def _method(handler: Handler, parameters: list[Schema], result: Schema) -> Document:
    method: Document = {"name": handler.name}
    summary, _, description = (part.strip() for part in handler.doc.partition("\n\n"))
    if summary:
        method["summary"] = " ".join(summary.split())
    if description:
        method["description"] = description
    method["params"] = parameters
    method["result"] = {"name": "result", "schema": result}
    if handler.options.idempotent:
        method["x-idempotent"] = True
    if handler.options.timeout is not None:
        method["x-timeout"] = handler.options.timeout
    if handler.options.requires is not None:
        method["x-requires"] = handler.options.requires
    return method


def _parameter(field: FieldInfo, schema: Schema) -> Schema:
    if not field.required and "$ref" not in schema:  # beside a reference nothing counts
        default = field.default if field.default is not NODEFAULT else field.default_factory()
        schema = {**schema, "default": default}
    return {"name": field.encode_name, "required": field.required, "schema": schema}


def _schemas(kinds: Iterable[Any]) -> tuple[tuple[Schema, ...], dict[str, Schema]]:
    """The JSON Schemas of types; `{}`, which anything fits, for what has none."""
    describable = [kind if _is_describable(kind) else Any for kind in kinds]
    return msgspec.json.schema_components(
        describable, schema_hook=_of_anything, ref_template=_REFERENCE
    )


def _is_describable(kind: Any) -> bool:
    try:
        msgspec.json.schema_components([kind], schema_hook=_of_anything)
    except (TypeError, NotImplementedError):
        return False
    return True


def _of_anything(kind: type) -> Schema:
    return {}
