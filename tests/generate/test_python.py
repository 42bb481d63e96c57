"""What a client in Python looks like, and that it decodes what the document describes."""

import datetime as dt
import decimal
import inspect
import uuid
from typing import Any, get_type_hints

import msgspec
import pytest

from jsonrpc_iot import UsageError

from .made import document, event, loaded, method, param, python

OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def decoded(schema: object, value: object, **schemas: object) -> Any:
    """A value, as a client decodes the result of a method with that schema."""
    made = loaded(python(document(method("get", schema), components={"schemas": schemas})))
    kind = get_type_hints(made.Lamp.get)["return"]
    return msgspec.json.decode(msgspec.json.encode(value), type=kind)


def text(kind: str, **more: object) -> dict[str, object]:
    return {"type": "string", "format": kind, **more}


@pytest.mark.parametrize(
    ("schema", "value", "wanted"),
    [
        ({}, {"a": [1]}, {"a": [1]}),
        (True, 5, 5),
        ({"type": "integer"}, 5, 5),
        ({"type": "number"}, 5, 5.0),
        ({"type": ["integer", "null"]}, None, None),
        ({"type": "integer", "nullable": True}, None, None),
        (text("date-time"), "2024-05-01T00:00:00Z", dt.datetime(2024, 5, 1, tzinfo=dt.UTC)),
        (text("date"), "2024-05-01", dt.date(2024, 5, 1)),
        (text("duration"), "PT5S", dt.timedelta(seconds=5)),
        (text("uuid"), str(uuid.UUID(int=5)), uuid.UUID(int=5)),
        ({"anyOf": [text("decimal"), {"type": "number"}]}, "1.10", decimal.Decimal("1.10")),
        ({"type": "string", "contentEncoding": "base64"}, "AP8=", b"\x00\xff"),
        ({"type": "array", "items": {"type": "integer"}}, [1], [1]),
        ({"type": "array", "items": [{}, {}], "minItems": 2, "maxItems": 2}, [1, "a"], (1, "a")),
        ({"type": "array", "items": [{}, {}], "minItems": 1}, [1, 2, 3], [1, 2, 3]),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"x": 1}, {"x": 1}),
        ({"enum": ["a", "b", None]}, "b", "b"),
        ({"const": 5}, 5, 5),
        ({"enum": [1, True, 2.5]}, True, True),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "x", "x"),
        ({"anyOf": [text("date"), text("uuid")]}, "anything", "anything"),
        ({"anyOf": [OBJECT, {"type": "object"}]}, {"b": 1}, {"b": 1}),
        ({"anyOf": [{"type": "array"}, {"type": "array", "items": [{}]}]}, [1], [1]),
        ({"type": "nonsense"}, [1], [1]),
        ({"type": "integer", "minimum": 5, "maximum": 1, "pattern": "("}, 3, 3),
    ],
    ids=str,
)
def test_a_result_is_decoded(schema: object, value: object, wanted: object) -> None:
    found = decoded(schema, value)

    assert (found, type(found)) == (wanted, type(wanted))


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, "5"),
        ({"enum": ["a", "b"]}, "c"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "x"),
        (OBJECT, {"b": 1}),
        ({"allOf": [OBJECT, {"properties": {"b": {}}, "required": ["b"]}]}, {"a": 1}),
    ],
)
def test_what_does_not_fit_is_refused(schema: object, value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        decoded(schema, value)


def test_objects_have_members() -> None:
    inner = {"type": "object", "properties": {"at-most": {"type": "number", "default": 1.5}}}
    schema = {
        "type": "object",
        "properties": {"from": {"type": "integer"}, "inner": inner, "list": {"default": []}},
        "required": ["from"],
    }

    found = decoded(schema, {"from": 1, "inner": {}})

    assert (found.from_, found.inner.at_most, found.list_) == (1, 1.5, msgspec.UNSET)
    assert decoded(schema, {"from": 1, "inner": {"at-most": 3}}).inner.at_most == 3
    assert msgspec.json.encode(found) == b'{"from":1,"inner":{"at-most":1.5}}'


def test_a_tag_tells_objects_apart() -> None:
    def pet(kind: str, member: str) -> dict[str, object]:
        properties = {"kind": {"const": kind}, member: {"type": "integer"}}
        return {"type": "object", "properties": properties, "required": ["kind", member]}

    schema = {"oneOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}]}
    pets = {"Cat": pet("cat", "lives"), "Dog": pet("dog", "age")}

    assert decoded(schema, {"kind": "dog", "age": 3}, **pets).age == 3
    assert type(decoded(schema, {"kind": "cat", "lives": 9}, **pets)).__name__ == "Cat"
    with pytest.raises(msgspec.ValidationError):
        decoded(schema, {"kind": "cow", "age": 3}, **pets)


def test_types_may_hold_themselves() -> None:
    tree = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/x/T"}}}}
    found = loaded(python(document(method("get", {"$ref": "#/x/T"}), x={"T": tree}))).T
    rings = {"A": {"$ref": "#/x/B"}, "B": {"anyOf": [{"$ref": "#/x/A"}, {"type": "array"}]}}

    assert msgspec.json.decode(b'{"kids":[{"kids":[]}]}', type=found).kids[0].kids == []
    assert "B: TypeAlias = Any" in python(document(method("get", {"$ref": "#/x/A"}), x=rings))


def test_an_enumeration_has_members() -> None:
    made = loaded(
        python(
            document(
                method(
                    "get",
                    {"$ref": "#/components/schemas/unit"},
                    params=[param("unit", {"$ref": "#/components/schemas/unit"}, required=False)],
                ),
                components={"schemas": {"unit": {"enum": ["°C", "kelvin", "KELVIN", "mro", ""]}}},
            )
        )
    )

    assert {each.name: each.value for each in made.Unit} == {
        "C": "°C",
        "KELVIN": "kelvin",
        "KELVIN_2": "KELVIN",
        "MRO": "mro",
        "VALUE": "",
    }


@pytest.mark.parametrize(
    ("schema", "default"),
    [
        ({"type": "integer", "default": 5}, "int = 5"),
        ({"type": "number", "default": 5}, "float = 5"),
        ({"type": "string", "default": 'a"\\'}, r'str = "a\"\\"'),
        ({"enum": ["a", "b"], "default": "b"}, 'Literal["a", "b"] = "b"'),
        ({"type": ["integer", "null"], "default": None}, "int | None = None"),
        ({"default": "x"}, 'Any = "x"'),
        ({"enum": ["a", "b"], "default": "c"}, 'Literal["a", "b"] | UnsetType = UNSET'),
        ({"type": "integer", "default": "5"}, "int | UnsetType = UNSET"),
        ({"type": "boolean", "default": 1}, "bool | UnsetType = UNSET"),
        (text("date", default="2024-05-01"), "datetime.date | UnsetType = UNSET"),
        ({"type": "array", "default": [1]}, "list[Any] | UnsetType = UNSET"),
        ({"type": "integer"}, "int | UnsetType = UNSET"),
        ({}, "Any = UNSET"),
    ],
    ids=str,
)
def test_a_default_stands_in_the_signature_if_it_fits(schema: object, default: str) -> None:
    source = python(document(method("set", params=[param("x", schema, required=False)])))

    assert f"async def set(self, x: {default}) -> Any: ..." in source


def test_params_out_of_order_go_by_name() -> None:
    source = python(
        document(
            method("a", params=[param("x", required=False), param("y"), param("z")]),
            method("b", params=[param("x")], paramStructure="by-name"),
        )
    )

    assert "def a(self, x: Any = UNSET, *, y: Any, z: Any)" in source
    assert "def b(self, *, x: Any)" in source


def test_names_that_python_does_not_take() -> None:
    source = python(
        document(
            method("class", params=[param("from"), param("self"), param("a-b"), param("a b")]),
            method("list"),
            method("a.b"),
            method("a-b"),
            method("größe"),
            method("名前"),
            method("2nd"),
            method("Lamp"),
            **{"x-notifications": [event("a.b", OBJECT), {"name": "a.b", "direction": "received"}]},
        )
    )

    lines = source.splitlines()
    names = [line.strip().removeprefix("async def ").partition("(")[0] for line in lines]
    for attribute, wire in {
        "class_": "class",
        "list_": "list",
        "a_b": "a.b",
        "a_b_method": "a-b",
        "grosse": "größe",
        "method_": "名前",
        "method_2nd": "2nd",
        "Lamp_": "Lamp",
        "a_b_notification": "a.b",
    }.items():
        mark = lines[names.index(attribute) - 2]
        assert f'("{wire}"' in mark, mark
    assert 'a_b_event = Event[ABEvent]("a.b")' in source
    assert 'names={"from_": "from", "self_": "self", "a_b": "a-b", "a_b_2": "a b"}' in source
    loaded(source)


def test_types_do_not_take_the_place_of_what_the_file_needs() -> None:
    names = ["Struct", "Any", "Event", "Lamp", "BlockingLamp", "int", "TimeoutError", "None"]
    schemas = dict.fromkeys(names, OBJECT)
    methods = [method(f"m{n}", {"$ref": f"#/x/{name}"}) for n, name in enumerate(names)]
    made = loaded(python(document(*methods, x=schemas)))

    classes = [get_type_hints(getattr(made.Lamp, f"m{n}"))["return"] for n in range(len(names))]

    assert [each.__name__ for each in classes] == [
        *("Struct_", "Any_", "Event_", "Lamp_2", "BlockingLamp_2", "Int", "TimeoutError_", "None_"),
    ]
    assert all(issubclass(each, msgspec.Struct) for each in classes)


def test_errors_become_classes() -> None:
    errors = [{"code": 2001, "message": "No water!"}, {"code": 2002, "message": ""}]
    known = [{"code": -32003, "message": "Cancelled"}, {"code": 2001, "message": "again"}, "x", {}]
    source = python(document(method("boil", errors=[*errors, *known]), method("b", errors=errors)))
    made = loaded(source)

    assert "@method(errors=[NoWater, Error])" in source
    assert (made.NoWater.code, made.NoWater.message) == (2001, "No water!")
    assert source.count("(RpcError)") == 2


def test_docstrings() -> None:
    source = python(
        document(
            method(
                "boil",
                summary="Heat the water.",
                description='Stops\nby itself: """\nimport os\n"""\\',
                params=[param("celsius", {"type": "integer", "minimum": 0}, description="Hot.")],
            )
        )
    )
    doc = inspect.getdoc(loaded(source).Lamp.boil)

    assert doc == (
        'Heat the water.\n\nStops by itself: """ import os\n"""\\\n\n'
        "Args:\n    celsius: Hot (at least 0)."
    )


@pytest.mark.parametrize("service", ["", "a b", "class", "Struct", "1x", "größe", "x;import os"])
def test_a_class_that_cannot_be_called_so(service: str) -> None:
    with pytest.raises(UsageError, match="a class cannot be called"):
        python(document(), service)


def test_a_class_is_called_what_the_device_is() -> None:
    assert "class Lamp(ABC)" in python(document(), None)
    assert "class Event_(ABC)" in python({**document(), "info": {"title": "event"}}, None)
    assert "class Device(ABC)" in python({**document(), "info": {}}, None)
    assert "class Wifi(ABC)" in python(document(method("wifi.scan")), None, "wifi")


def test_the_same_document_gives_the_same_file() -> None:
    schemas = {name: {"enum": [name, "x"]} for name in "zyxab"}
    methods = [method(f"m.{name}", {"$ref": f"#/x/{name}"}) for name in "zyxab"]
    whole = document(*methods, x=schemas)

    source = python(whole)

    assert python(whole) == source
    assert [source.index(f"def m_{name}") for name in "zyxab"] == sorted(
        source.index(f"def m_{name}") for name in "zyxab"
    )


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (method("a", params=[param('x"y')]), "no name has quotes"),
        (method("a", params=[param("x")], paramStructure="by-position"), "by position alone"),
    ],
)
def test_what_a_proxy_cannot_send_is_refused(broken: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        python(document(broken))


def test_an_event_is_no_scalar() -> None:
    events = [event("a", {"type": "integer"}), event("b", {"type": "null"}), event("c", OBJECT)]
    source = python(document(**{"x-notifications": events}))

    for line in ("a = Event[Any]()", "b = Event[None]()", "c = Event[CEvent]()"):
        assert f"    {line}\n" in source
