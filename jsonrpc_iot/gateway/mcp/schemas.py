"""JSON Schemas for the params of tools, made from what a device says of its methods.

That is not trusted: it may be anything, circular and without end. What is not known is left out, so
a schema allows more than the device at worst, and the device checks what it gets.
"""

from collections.abc import Mapping
from typing import Any

from ...generate.texts import prose

Schema = dict[str, Any]

_MOST_PARTS = 400  # schemas in one tool's
_DEEPEST = 12
_MOST_VALUES = 64  # of an enumeration
_LONGEST_TEXT = 300
_LONGEST_NAME = 64
_LARGEST_NUMBER = 1e30
_PLACE = "#/components/schemas/"
_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")

_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems")


def short(text: object, most: int = _LONGEST_TEXT) -> str:
    """A text of a device, printable and not long; empty where it is none."""
    if not isinstance(text, str):
        return ""
    text = prose(text[: 2 * most]).strip()
    return text if len(text) <= most else f"{text[:most].rstrip()} …"


class Schemas:
    """Makes the schemas of one tool, which refer to no others.

    Args:
        components: the schemas that those of the device refer to, by name.
    """

    def __init__(self, components: Mapping[str, Any]) -> None:
        self._components = components
        self._left = _MOST_PARTS
        self._keys: dict[str, str] = {}
        self.definitions: dict[str, Schema] = {}

    def of(self, schema: object, depth: int = 0) -> Schema:
        """What is known of a schema; `{}`, which anything fits, where that is nothing."""
        self._left -= 1
        if not isinstance(schema, dict) or self._left < 0 or depth > _DEEPEST:
            return {}
        if "$ref" in schema:
            return self._refer(schema["$ref"], depth)
        made: Schema = {}
        if (kind := _type_of(schema.get("type"))) is not None:
            made["type"] = kind
        for key in _NUMBERS:
            if _is_number(value := schema.get(key)):
                made[key] = value
        for key in _COUNTS:
            if isinstance(value := schema.get(key), int) and 0 <= value < _LARGEST_NUMBER:
                made[key] = int(value)
        if values := _scalars(schema.get("enum")):
            made["enum"] = values
        for key in ("const", "default"):
            if key in schema and _is_scalar(schema[key]):
                made[key] = schema[key]
        if text := short(schema.get("description")) or short(schema.get("title")):
            made["description"] = text
        if isinstance(name := schema.get("format"), str) and len(name) < 20:
            made["format"] = short(name)
        self._add_parts(made, schema, depth + 1)
        return made

    def _add_parts(self, made: Schema, schema: Schema, depth: int) -> None:
        properties = schema.get("properties")
        if isinstance(properties, dict):
            named = {name: each for name, each in properties.items() if _is_name(name)}
            made["properties"] = {name: self.of(each, depth) for name, each in named.items()}
            required = schema.get("required")
            if isinstance(required, list):
                made["required"] = [name for name in named if name in required]
        items = schema.get("items")
        if isinstance(items, dict):
            made["items"] = self.of(items, depth)
        more = schema.get("additionalProperties")
        if isinstance(more, dict):
            made["additionalProperties"] = self.of(more, depth)
        for key in ("anyOf", "oneOf"):
            several = schema.get(key)
            if isinstance(several, list) and 0 < len(several) <= _MOST_VALUES:
                made["anyOf"] = [self.of(each, depth) for each in several]

    def _refer(self, reference: object, depth: int) -> Schema:
        name = reference.removeprefix(_PLACE) if isinstance(reference, str) else ""
        if name == reference or name not in self._components:
            return {}
        if name not in self._keys:
            self._keys[name] = key = f"d{len(self._keys) + 1}"
            self.definitions[key] = {}
            self.definitions[key] = self.of(self._components[name], depth + 1)
        return {"$ref": f"#/$defs/{self._keys[name]}"}


def _type_of(kind: object) -> str | list[str] | None:
    if isinstance(kind, list):
        kinds = [each for each in _TYPES if each in kind]
        return kinds or None
    return kind if isinstance(kind, str) and kind in _TYPES else None


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name.isprintable() and 0 < len(name) <= _LONGEST_NAME


def _is_number(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and -_LARGEST_NUMBER < value < _LARGEST_NUMBER  # type: ignore[operator]


def _is_scalar(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_TEXT and value.isprintable()
    return value is None or isinstance(value, bool) or _is_number(value)


def _scalars(values: object) -> list[Any]:
    """The values of an enumeration, if these are all that may be."""
    if not isinstance(values, list) or not 0 < len(values) <= _MOST_VALUES:
        return []
    return values if all(map(_is_scalar, values)) else []
