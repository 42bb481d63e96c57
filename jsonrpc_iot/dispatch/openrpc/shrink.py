"""OpenRPC documents made smaller, piece by piece, until they fit a message.

Each cut leaves a valid document. What is worth most to a caller goes last: prose can be looked up,
but without the names and types of params there is no call.
"""

from collections.abc import Callable
from typing import Any

import msgspec

Schema = dict[str, Any]
Document = dict[str, Any]

_NAMED_BY_OTHERS = ("properties", "schemas")
_VALUES = ("default", "const", "enum", "value", "data")
_LABELS = ("summary", "tags", "deprecated", "paramStructure", "x-timeout", "x-requires")
_FLAGS = ("x-stream", "x-idempotent", "x-effect")
_CONSTRAINTS = (
    *("default", "format", "contentEncoding", "pattern", "minLength", "maxLength"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minItems", "maxItems", "minProperties", "maxProperties", "additionalProperties"),
)


def cut_to_fit(whole: Document, room: int | None) -> Document:
    """Cut a document down to `room` bytes, as far as that goes; `None` is any number."""
    for cut in _CUTS:
        if room is None or len(msgspec.json.encode(whole)) <= room:
            break
        whole = cut(whole)
    return whole


def change_objects(value: Any, change: Callable[[Schema], Schema]) -> Any:
    """Change every object in there, except those whose members are named by the application."""
    if isinstance(value, list):
        return [change_objects(item, change) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: {name: change_objects(item, change) for name, item in member.items()}
        if key in _NAMED_BY_OTHERS and isinstance(member, dict)
        else member
        if key in _VALUES
        else change_objects(member, change)
        for key, member in change(value).items()
    }


def without(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    """An object without some of its members."""
    return {key: member for key, member in value.items() if key not in keys}


def _cut_examples(whole: Document) -> Document:
    return _in_entries(whole, lambda entry: without(entry, "examples"))


def _cut_prose(whole: Document) -> Document:
    cut: Document = change_objects(whole, lambda schema: without(schema, "description", "title"))
    cut["info"] = without(whole["info"], "description")
    return cut


def _cut_errors(whole: Document) -> Document:
    return _in_entries(whole, lambda entry: without(entry, "errors"))


def _cut_labels(whole: Document) -> Document:
    return _in_entries(whole, lambda entry: without(entry, *_LABELS))


def _cut_constraints(whole: Document) -> Document:
    cut: Document = change_objects(whole, lambda schema: without(schema, *_CONSTRAINTS))
    return cut


def _cut_components(whole: Document) -> Document:
    """Leave of the schemas that others refer to what kind of value it is."""
    schemas = whole.get("components", {}).get("schemas", {})

    def inline(schema: Schema) -> Schema:
        if "$ref" not in schema:
            return without(schema, "discriminator")  # which names the others
        return _bare(schemas[schema["$ref"].rpartition("/")[2]])

    cut: Document = change_objects(without(whole, "components"), inline)
    return cut


def _cut_details(whole: Document) -> Document:
    """Leave the bare types, and do not say what is false."""
    return _in_entries(_in_schemas(whole, _bare), _without_details)


def _bare(schema: Schema) -> Schema:
    bare = {"type": schema["type"]} if "type" in schema else {}
    if "anyOf" in schema:
        bare["anyOf"] = [_bare(choice) for choice in schema["anyOf"]]
    return bare


def _without_details(entry: Document) -> Document:
    params = [
        parameter if parameter.get("required") else without(parameter, "required")
        for parameter in entry.get("params", ())
    ]
    bare = without(entry, *_FLAGS)
    return {**bare, "params": params} if "params" in entry else bare


def _cut_title(whole: Document) -> Document:
    return {**whole, "info": {**whole["info"], "title": ""}}


def _cut_results(whole: Document) -> Document:
    return _in_entries(whole, lambda entry: without(entry, "result"))


def _cut_types(whole: Document) -> Document:
    return _in_schemas(whole, lambda schema: {})


_CUTS = (
    _cut_examples,
    _cut_prose,
    _cut_errors,
    _cut_labels,
    _cut_constraints,
    _cut_components,
    _cut_details,
    _cut_title,
    _cut_results,
    _cut_types,
)


def _in_entries(whole: Document, change: Callable[[Document], Document]) -> Document:
    """Change the methods and notifications."""
    lists = ("methods", "x-notifications")
    return whole | {key: [change(entry) for entry in whole[key]] for key in lists if key in whole}


def _in_schemas(whole: Document, change: Callable[[Schema], Schema]) -> Document:
    """Change the schemas of params and results, at the top."""

    def of(described: dict[str, Any]) -> dict[str, Any]:
        return described | {"schema": change(described["schema"])}

    def in_entry(entry: Document) -> Document:
        changed = of(entry) if "schema" in entry else dict(entry)
        if "params" in entry:
            changed["params"] = [of(parameter) for parameter in entry["params"]]
        if "result" in entry:
            changed["result"] = of(entry["result"])
        return changed

    return _in_entries(whole, in_entry)
