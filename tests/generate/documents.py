"""Documents that devices may send: those of this repository, and any that hypothesis makes up."""

import os
import runpy
import sys
from collections.abc import Callable
from typing import Any
from unittest import mock

import msgspec
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from jsonrpc_iot import Dispatcher, UsageError
from jsonrpc_iot.generate.document import read_document
from jsonrpc_iot.services import System
from jsonrpc_iot.services.wifi import SimulatedWifi
from jsonrpc_iot.tuya import Point, TuyaDevice
from tests.dispatch.openrpc.asking import described, with_limit
from tests.places import EXAMPLES

Document = dict[str, Any]

NAMES = [
    *("set", "level", "wifi.scan", "from", "class", "None", "self", "list", "int", "datetime"),
    *("method", "field", "Struct", "Any", "Event", "UNSET", "service", "context", "match", "type"),
    *("constructor", "then", "toString", "prototype", "__proto__", "__init__", "__rpc__", "_x"),
    *("Promise", "Map", "Error", "Link", "Response", "connect", "params", "options", "delete"),
    *("a-b", "a b", "a.b", "a..b", "a_b", "1st", "größe", "имя", "名前", "ﬁ", "A", "a", "-", " "),
    *('say "x"', "it's", "back\\slash", "new\nline", "\u2028", "\u202eabc", "*/", "${x}", "`", "#"),
    *("x" * 300, "Reading", "Device", "DeviceResult", "import os; os.abort()", "\U000e0001"),
]
TEXTS = [
    *("", "Heat the water.", "Heat.\n\nStops by itself.\nAnd cools.", "- one\n- two", "größer"),
    *(
        '"""',
        "'''",
        '"',
        "\\",
        '\\"""',
        'ends with "',
        "ends with \\",
        '"""\nimport os\n"""',
        '""""',
    ),
    *("*/ process.exit(1); /*", "*/", "// @ts-nocheck", "@ts-expect-error", "@ts-ignore", "${x}"),
    *("type: ignore", "type: int", "coding: utf-7", "a\u2028b", "a\u2029b", "a\x0cb", "a\x00b"),
    *("\u202e\u2066reordered", "\x1b[31m", "a\rb", "Args:\n    x: y", "{x}", "%s", "x" * 5000),
    *("\n\n\n", " ", "\t", "\ufeff", "`code`", "{@link x}", "\U000e0001", "</script>"),
]

_names = st.sampled_from(NAMES)
_texts = st.sampled_from(TEXTS)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 2**53, 2**63, 2**70, -(2**63)]),
    st.sampled_from([0.5, -1e300, 1e16]),
    _texts,
)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=5,
)
_references = st.builds(
    lambda name: {"$ref": f"#/components/schemas/{name}"}, st.sampled_from("STUVW")
)


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.dictionaries(_names, inner, max_size=4)
    return properties.flatmap(
        lambda each: st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.just(each)},
            optional={
                "required": st.lists(st.sampled_from(sorted(each) or ["x"]), max_size=4),
                "title": _names,
                "description": _texts,
                "additionalProperties": st.booleans() | inner,
            },
        )
    )


def _tagged(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects that a member tells apart."""

    def objects(names: list[str], member: Any) -> dict[str, Any]:
        return {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {"kind": {"const": name}, "value": member},
                    "required": ["kind"],
                }
                for name in names
            ],
            "discriminator": {"propertyName": "kind"},
        }

    return st.builds(objects, st.lists(_names, min_size=2, max_size=3, unique=True), inner)


_leaves = st.one_of(
    st.just({}),
    st.booleans(),
    _references,
    st.fixed_dictionaries(
        {"type": st.sampled_from(["string", "integer", "number", "boolean", "null", "any"])},
        optional={
            "format": st.sampled_from(["date-time", "date", "time", "duration", "uuid", "decimal"]),
            "contentEncoding": st.just("base64"),
            "description": _texts,
            "default": _values,
            "minimum": st.sampled_from([0, -1.5, 1e300]),
            "maximum": st.sampled_from([100, "x"]),
            "maxLength": st.just(5),
            "pattern": st.just("(a+)+$"),
            "nullable": st.booleans(),
        },
    ),
    st.builds(lambda values: {"enum": values}, st.lists(_scalars, max_size=5)),
    st.builds(lambda values: {"enum": values}, st.lists(_names, min_size=1, max_size=5)),
    st.builds(lambda value: {"const": value}, _values),
)


def _branches(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        _objects(inner),
        _tagged(inner),
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(
            lambda items, least: {"type": "array", "items": items, "minItems": least},
            several,
            st.integers(0, 3),
        ),
        st.builds(lambda values: {"type": "object", "additionalProperties": values}, inner),
        st.builds(
            lambda key, each: {key: each}, st.sampled_from(["anyOf", "oneOf", "allOf"]), several
        ),
        st.builds(
            lambda kinds: {"type": kinds, "properties": {"a": {}}, "items": {"type": "string"}},
            st.lists(
                st.sampled_from(["object", "array", "null", "string"]), min_size=1, max_size=3
            ),
        ),
    )


_any_schemas = st.recursive(_leaves, _branches, max_leaves=6)


@st.composite
def _drawn(draw: st.DrawFn) -> Any:
    """Hides what it is made of, which is too long to be shown."""
    return draw(_any_schemas)


schemas = _drawn()

_params = st.lists(
    st.fixed_dictionaries(
        {"name": _names.filter(lambda name: not set(name) & set('"\\\n'))},
        optional={"required": st.booleans(), "schema": schemas, "description": _texts},
    ),
    max_size=4,
    unique_by=lambda each: each["name"],
)
_entry = {
    "summary": _texts,
    "description": _texts,
    "params": _params,
    "deprecated": st.booleans(),
}
_methods = st.fixed_dictionaries(
    {"name": _names},
    optional={
        **_entry,
        "paramStructure": st.sampled_from(["by-name", "either"]),
        "result": st.fixed_dictionaries(
            {"name": _texts, "schema": schemas}, optional={"description": _texts}
        ),
        "errors": st.lists(
            st.fixed_dictionaries(
                {"code": st.sampled_from([1, 2001, -5, -32003]), "message": _texts}
            ),
            max_size=3,
        ),
        "x-stream": st.booleans(),
        "x-idempotent": st.booleans(),
        "x-timeout": st.sampled_from([0, 5, 1e300, "x"]),
    },
)
_emitted = st.fixed_dictionaries(
    {"name": _names, "direction": st.just("emitted"), "schema": schemas},
    optional={"summary": _texts},
)
_received = st.fixed_dictionaries(
    {"name": _names, "direction": st.just("received")}, optional=_entry
)


def _unique(entries: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(entries, max_size=5, unique_by=lambda each: each["name"])


documents: st.SearchStrategy[Document] = st.fixed_dictionaries(
    {
        "openrpc": st.just("1.3.2"),
        "info": st.fixed_dictionaries(
            {"title": _texts | _names, "version": _texts}, optional={"description": _texts}
        ),
        "methods": _unique(_methods),
        "x-notifications": st.builds(
            lambda one, other: [*one, *other], _unique(_emitted), _unique(_received)
        ),
        "components": st.fixed_dictionaries(
            {"schemas": st.fixed_dictionaries(dict.fromkeys("STUVW", schemas))}
        ),
    }
)


def made_up(count: int, good: Callable[[Document], object] = read_document) -> list[Document]:
    """That many documents, the same ones each time.

    Args:
        count: how many.
        good: raises `UsageError` for those that are not wanted.
    """
    found: list[Document] = []

    @settings(
        max_examples=2 * count,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(documents)
    def collect(document: Document) -> None:
        plain = msgspec.json.decode(msgspec.json.encode(document))
        try:
            good(plain)
        except UsageError:
            return
        found.append(plain)

    collect()
    assert len(found) >= count
    return found[:count]


_KEY = {"NOVACLOUD_DEVICE_KEY": "0" * 64}


def example(name: str, *arguments: str) -> dict[str, Any]:
    """What an example has when it has run."""
    path = str(EXAMPLES / f"{name}.py")
    with mock.patch.object(sys, "argv", [path, *arguments]), mock.patch.dict(os.environ, _KEY):
        return runpy.run_path(path)


def including(*services: object) -> Dispatcher:
    """A device with services."""
    dispatcher = Dispatcher()
    for each in services:
        dispatcher.include(each)
    return dispatcher


def own_devices() -> dict[str, Dispatcher]:
    """The devices of all examples, and the simulated one."""
    doors = example("both_ways")
    return {
        "lamp": example("lamp")["lamp"],
        "thermostat": including(example("thermostat")["SimulatedThermostat"]()),
        "blinds": including(example("blinds_device")["SimulatedBlinds"]()),
        "door": doors["device"],
        "app": doors["app"],
        "home_assistant": including(example("home_assistant")["Lamp"]()),
        "nova_ways": example("nova_ways", "host", "1", "id")["lamp"],
        "simulated": including(SimulatedWifi(), System("lamp")),
        "tuya": TuyaDevice(
            "tuya-dp:///dev/ttyS1",
            {1: "switch", 2: Point("brightness", min=10), 3: Point("mode", values=["a", "b c"])},
        ),
    }


def describe(dispatcher: Dispatcher) -> Document:
    """What a dispatcher says of itself to those who may do all."""
    return described(dispatcher, context=with_limit(None, "*"))
