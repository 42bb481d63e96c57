"""Tools made of descriptions that nobody can trust."""

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from jsonrpc_iot.gateway.mcp.names import safe_names
from jsonrpc_iot.gateway.mcp.opened import Opened
from jsonrpc_iot.gateway.mcp.pages import PAGE, Pages, pages_of
from jsonrpc_iot.gateway.mcp.tools import MOST_TOOLS, Tool, Tools, read_tools

SAFE = re.compile(r"[A-Za-z0-9_-]{1,64}")


def tools_of(*methods: Any, schemas: Any = None, allow: tuple[str, ...] = ("*",)) -> Tools:
    document = {"methods": list(methods), "components": {"schemas": schemas}}
    return read_tools(document, Opened(allow), {"kitchen"}, None)


def tool_of(method: dict[str, Any], schemas: Any = None) -> Tool:
    (tool,) = tools_of({"result": {}, **method}, schemas=schemas).offered.values()
    check(tool)
    return tool


def check(tool: Tool) -> None:
    """A tool is what an assistant can take, whatever the device has said."""
    assert SAFE.fullmatch(tool.name)
    Draft202012Validator.check_schema(tool.schema)
    assert tool.schema["type"] == "object"
    assert all(SAFE.fullmatch(name) for name in tool.schema.get("properties", ()))
    assert len(msgspec.json.encode(tool.schema)) <= 16_000
    assert len(tool.description) <= 1010
    assert all(line.isprintable() for line in tool.description.split("\n"))
    for reference in re.findall(r"#/[$]defs/(\w+)", json.dumps(tool.schema)):
        assert reference in tool.schema["$defs"]


def test_names_that_would_be_the_same_are_told_apart() -> None:
    names = safe_names(["a.b", "a_b", "lamp.set", "灯", "x" * 65, "", "read more"], ("a-b",))
    assert len(set(names.values())) == 7
    assert names["lamp.set"] == "lamp_set"
    assert all(map(SAFE.fullmatch, names.values()))
    assert names["a.b"].startswith("a_b_")
    assert safe_names(["a.b", "lamp.set"])["lamp.set"] == "lamp_set"
    assert safe_names(["read_more"], ("read_more",))["read_more"] != "read_more"


@given(st.lists(st.text(), unique=True, max_size=20))
def test_any_names_become_as_many_safe_ones(names: list[str]) -> None:
    found = safe_names(names)
    assert len(set(found.values())) == len(names)
    assert all(map(SAFE.fullmatch, found.values()))


def test_prose_is_cut_and_made_printable() -> None:
    method = {"name": "x", "summary": "<b>\x1b[31mred\u202e</b>\r\n" + "y" * 1_000_000}
    tool = tool_of(method)
    assert tool.description.startswith("<b>\ufffd[31mred\ufffd</b>\nyyy")
    assert tool_of({"name": "x", "summary": 7}).description.startswith("The device does not say")


def test_a_schema_may_be_recursive() -> None:
    node = {
        "type": "object",
        "properties": {"next": {"$ref": "#/components/schemas/Node"}, "value": {"type": "integer"}},
    }
    param = {"name": "list", "schema": {"$ref": "#/components/schemas/Node"}, "required": True}
    tool = tool_of({"name": "x", "params": [param]}, {"Node": node})
    assert tool.schema["properties"] == {"list": {"$ref": "#/$defs/d1"}}
    assert tool.schema["$defs"]["d1"]["properties"]["next"] == {"$ref": "#/$defs/d1"}
    itself = {"A": {"$ref": "#/components/schemas/A"}}
    tool_of({"name": "x", "params": [{"name": "a", "schema": itself["A"]}]}, itself)


@pytest.mark.parametrize(
    "schema",
    [
        7,
        None,
        {"type": "nonsense"},
        {"type": ["integer", "null", 7]},
        {"$ref": "#/components/schemas/Nowhere"},
        {"$ref": "file:///etc/passwd"},
        {"properties": {"x": {"properties": "y"}}, "required": "x"},
        {"minimum": "low", "maximum": 1e308, "minItems": -1, "maxLength": 1.5, "multipleOf": 0},
        {"enum": [{"a": 1}], "anyOf": []},
        {"enum": [1, 1, "\x1b"], "format": "x" * 100, "pattern": "(a+)+$"},
        {"anyOf": [{"type": "string"}, 7]},
        {"properties": {str(number): {"type": "integer"} for number in range(20_000)}},
        {"description": "x" * 1_000_000, "default": float("nan")},
    ],
    ids=lambda schema: str(schema)[:30],
)
def test_what_is_no_schema_is_left_out(schema: Any) -> None:
    tool_of({"name": "x", "params": [{"name": "a", "schema": schema}]})


def test_a_schema_of_any_depth_ends() -> None:
    deep: dict[str, Any] = {}
    for _ in range(60):
        deep = {"type": "array", "items": deep, "anyOf": [deep, deep]}
    tool_of({"name": "x", "params": [{"name": "a", "schema": deep}]})


def test_params_have_safe_names_and_come_as_the_device_takes_them() -> None:
    params = [{"name": "von bis"}, {"name": "to"}, 7, {"name": None}, {"schema": {}}]
    tool = tool_of({"name": "x", "params": params})
    first, second = tool.schema["properties"]
    assert second == "to"
    assert tool.params_of({first: 1, "to": 2, "more": 3}) == {"von bis": 1, "to": 2, "more": 3}
    ordered = tool_of({"name": "x", "params": params, "paramStructure": "by-position"})
    assert ordered.params_of({"to": 2, first: 1}) == [1, 2]
    assert ordered.params_of({"to": 2}) == []


def test_of_thousands_of_methods_so_many_are_offered_and_the_rest_counted() -> None:
    methods = [{"name": f"m{number:04}", "x-effect": "read"} for number in range(5000)]
    tools = tools_of(*methods, allow=())
    assert len(tools.offered) == MOST_TOOLS
    assert tools.left_out == 5000 - MOST_TOOLS
    assert not tools.closed


def test_what_is_no_method_is_left_out() -> None:
    assert tools_of({"name": "rpc.ping"}, {"name": ""}, {"name": 7}, {}, 7).offered == {}
    assert read_tools({"methods": "x"}, Opened(["*"]), (), None) == Tools({}, {}, 0)


@pytest.mark.parametrize(
    ("effect", "allow", "is_open"),
    [
        ("read", (), True),
        ("change", (), False),
        (None, (), False),
        ("READ", (), False),
        (["read"], (), False),
        ("change", ("lamp.*",), True),
        ("change", ("kitchen.lamp.set",), True),
        ("change", ("set",), False),
        (None, ("lamp.set",), True),
        ("danger", ("*", "lamp.*", "lamp.se*"), False),
        ("danger", ("lamp.set",), True),
        ("danger", ("kitchen.lamp.set",), True),
    ],
)
def test_which_methods_are_open(effect: Any, allow: tuple[str, ...], is_open: bool) -> None:
    tools = tools_of({"name": "kitchen.lamp.set", "x-effect": effect}, allow=allow)
    assert bool(tools.offered) is is_open
    assert bool(tools.closed) is not is_open


@given(st.lists(st.text(max_size=30), max_size=8), st.integers(1, 2000))
def test_pages_of_a_list_are_lists_with_all_its_items(items: list[str], times: int) -> None:
    pages = pages_of(msgspec.json.encode(items * times))
    assert all(len(page) <= PAGE + 2 for page in pages)
    assert [item for page in pages for item in json.loads(page)] == items * times


def test_the_oldest_results_are_forgotten() -> None:
    pages = Pages()
    names = []
    for number in range(70):
        first = pages.first([f"a{number}", f"b{number}"])
        names.append(re.findall(r'"result": "([^"]+)"', first)[0])
    assert pages.read(names[0], 2) is None
    assert pages.read(names[-1], 2) == "b69\n\n[This was page 2 of 2, the last one.]"
    assert pages.read(names[-1], 3) is None
    assert pages.read(names[-1], 0) is None
