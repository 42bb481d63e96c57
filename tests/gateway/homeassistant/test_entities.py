"""What a description stands for, also one that is made of lies."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jsonrpc_iot.gateway.homeassistant.description import Setter, Value
from jsonrpc_iot.gateway.homeassistant.discovery import Look, Topics, message
from jsonrpc_iot.gateway.homeassistant.entities import Command, entities_of, key_of

from .schema import check

TOPICS = Topics("home/homeassistant", "homeassistant")

TEXTS = st.text(max_size=8) | st.sampled_from(
    ["lamp.set", "lamp.changed", "on", "#/components/schemas/A", "boolean", "integer", "emitted"]
)
MEMBERS = st.sampled_from(
    [
        *("name", "params", "schema", "type", "minimum", "maximum", "enum", "$ref", "anyOf"),
        *("properties", "x-entity", "platform", "state", "direction", "required", "brightness"),
        *("x-unit", "device_class", "icon", "components", "schemas", "A", "info", "title"),
    ]
)
PIECES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS, inner, max_size=5),
    max_leaves=20,
)
SCHEMAS = st.fixed_dictionaries(
    {"type": st.sampled_from(["boolean", "integer", "number", "string"])},
    optional={"minimum": PIECES, "maximum": PIECES, "enum": PIECES, "x-unit": PIECES},
)
ENTITIES = st.fixed_dictionaries(
    {"platform": st.sampled_from(["switch", "light", "fan", "number", "select", "button"])},
    optional={"state": TEXTS, "name": TEXTS, "icon": TEXTS, "brightness": TEXTS, "speed": TEXTS},
)
METHODS = st.fixed_dictionaries(
    {"name": TEXTS, "params": st.lists(st.fixed_dictionaries({"name": TEXTS, "schema": SCHEMAS}))},
    optional={"x-entity": ENTITIES | PIECES},
)
EVENTS = st.fixed_dictionaries(
    {
        "name": TEXTS,
        "direction": st.just("emitted"),
        "schema": st.fixed_dictionaries({"properties": st.dictionaries(TEXTS, SCHEMAS)}),
    }
)
DOCUMENTS = st.fixed_dictionaries(
    {
        "methods": st.lists(METHODS, max_size=4) | PIECES,
        "x-notifications": st.lists(EVENTS, max_size=4) | PIECES,
    },
    optional={"info": PIECES, "components": PIECES},
)


@settings(max_examples=40)
@given(DOCUMENTS)
def test_whatever_a_device_says_home_assistant_is_told_what_it_takes(
    document: dict[str, Any],
) -> None:
    shown = entities_of(document)
    check(TOPICS.discovery(TOPICS.node("x")), message(TOPICS, "x", shown, document, Look()))


def test_a_description_of_thousands_is_bounded() -> None:
    methods = [{"name": f"m{i}", "x-entity": {"platform": "button"}} for i in range(5000)]
    assert len(entities_of({"methods": methods})) == 200


@given(TEXTS, TEXTS)
def test_names_that_differ_have_keys_that_differ(one: str, other: str) -> None:
    assert (key_of(one) == key_of(other)) is (one == other)


@pytest.mark.parametrize(
    ("value", "text", "params"),
    [
        (Value("number", 0, 10, is_whole=True), "5", {"x": 5}),
        (Value("number", 0, 10, is_whole=True), "5.6", {"x": 6}),
        (Value("number", 0, 10), "1e9", {"x": 10}),
        (Value("number"), "NaN", None),
        (Value("number"), "ten", None),
        (Value("number", is_whole=True), "", None),
        (Value("text", choices=("a",)), "b", None),
        (Value("text", choices=("a",)), "a", {"x": "a"}),
    ],
)
def test_what_comes_is_checked(value: Value, text: str, params: object) -> None:
    assert Command(Setter("m", "x", value, {})).params(text) == params
