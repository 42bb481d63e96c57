"""What options, docstrings and events become in the document."""

from typing import Any, TypeVar

import pytest
from msgspec import Struct

from jsonrpc_iot import Dispatcher, Event, Example, RpcError

from .asking import ask, described, method, notification, with_limit
from .home import Kettle, Reading, home

T = TypeVar("T")
BOIL = "kitchen.kettle.boil"


@pytest.fixture
def dispatcher() -> Dispatcher:
    return home()


def test_info_is_that_of_the_outermost_dispatcher(dispatcher: Dispatcher) -> None:
    assert described(dispatcher)["info"] == {
        "title": "Home",
        "version": "7",
        "description": "All that is in it.",
    }


def test_info_by_default() -> None:
    info = described(Dispatcher())["info"]

    assert info["title"] == "JSON-RPC"
    assert info["version"].count(".") == 2 or info["version"] == "unknown"


def test_a_docstring(dispatcher: Dispatcher) -> None:
    boil = method(dispatcher, BOIL)

    assert boil["summary"] == "Heat the water, and keep it hot."
    assert boil["description"] == "Stops by itself.\n\nNeeds mains power."
    assert [(each["name"], each["description"]) for each in boil["params"]] == [
        ("celsius", "how hot, in degrees."),
        ("litres", "how much."),
    ]
    assert boil["result"]["description"] == "What it measures at the end."


def test_errors(dispatcher: Dispatcher) -> None:
    assert method(dispatcher, BOIL)["errors"] == [
        {"code": 2001, "message": "Too hot"},
        {"code": 2002, "message": "No water", "data": {"litres": 0}},
    ]


def test_examples(dispatcher: Dispatcher) -> None:
    tea, coffee = method(dispatcher, BOIL)["examples"]

    assert (tea["name"], tea["summary"]) == ("tea", "Green tea.")
    assert tea["params"] == [{"name": "celsius", "value": 80}]
    assert tea["result"]["value"]["celsius"] == 80.0
    assert [each["name"] for each in coffee["params"]] == ["celsius", "litres"]
    assert "summary" not in coffee


def test_flags(dispatcher: Dispatcher) -> None:
    boil, watch, pour = (
        method(dispatcher, f"kitchen.kettle.{n}") for n in ("boil", "watch", "pour")
    )

    assert boil["tags"] == [{"name": "kitchen"}, {"name": "heat"}]
    assert (watch["deprecated"], watch["x-stream"]) == (True, True)
    assert pour["paramStructure"] == "by-name"
    assert not boil.keys() & {"deprecated", "x-stream", "paramStructure"}


def test_fields_are_described_and_an_infinite_default_is_left_out(dispatcher: Dispatcher) -> None:
    schemas = described(dispatcher)["components"]["schemas"]
    reading = schemas["Reading"]

    assert reading["description"] == "What the kettle measures."
    assert reading["properties"]["celsius"]["description"] == "the water's temperature."
    assert reading["properties"]["state"]["default"] == "idle"
    assert schemas["Bound"]["properties"]["celsius"] == {"type": "number"}
    _, at_most = method(dispatcher, "kitchen.kettle.pour")["params"]
    assert at_most["schema"] == {"type": "number"}


def test_notifications(dispatcher: Dispatcher) -> None:
    found = described(dispatcher)["x-notifications"]

    assert [(each["name"], each["direction"]) for each in found] == [
        ("kitchen.kettle.switch", "received"),
        ("kitchen.kettle.anything", "emitted"),
        ("kitchen.kettle.bound", "emitted"),
        ("kitchen.kettle.done", "emitted"),
        ("kitchen.kettle.reading", "emitted"),
        ("wifi.status", "emitted"),
    ]
    assert found[3]["schema"] == {"type": "array", "items": {"type": "integer"}}
    assert found[4]["schema"] == {"$ref": "#/components/schemas/Reading"}


def test_a_notification_that_the_device_receives(dispatcher: Dispatcher) -> None:
    assert notification(dispatcher, "kitchen.kettle.switch") == {
        "name": "kitchen.kettle.switch",
        "summary": "Switch it.",
        "tags": [{"name": "kitchen"}],
        "direction": "received",
        "params": [
            {
                "name": "on",
                "description": "whether it heats.",
                "required": True,
                "schema": {"type": "boolean"},
            }
        ],
        "examples": [{"name": "off", "params": [{"name": "on", "value": False}]}],
    }


def test_a_notification_that_needs_a_permission(dispatcher: Dispatcher) -> None:
    name = "kitchen.kettle.reset"

    assert ask(dispatcher, name)["error"]["data"]["path"] == "$.method"
    document = described(dispatcher, name, with_limit(None, "admin"))
    assert document["x-notifications"][0]["x-requires"] == "admin"


def test_a_method_and_an_event_of_one_name(dispatcher: Dispatcher) -> None:
    document = described(dispatcher, "wifi.status")

    assert [each["name"] for each in document["methods"]] == ["wifi.status"]
    assert [each["name"] for each in document["x-notifications"]] == ["wifi.status"]


class Odd(Struct):
    value: int


class Sender:
    typed = Event[list[Odd]]()
    untyped: Event[Any] = Event()
    by_name = Event["Odd"]()


def variable(cls: type[T]) -> Any:
    return Event[T]().kind


def test_the_kind_of_an_event() -> None:
    assert Kettle.reading.kind is Reading
    assert Sender.typed.kind == list[Odd]
    assert Sender.untyped.kind is Any
    assert Sender.by_name.kind is Any
    assert variable(int) is Any


def test_what_is_cut_first() -> None:
    dispatcher = home()
    sizes = range(220, 2000, 5)
    boils = [described(dispatcher, BOIL, with_limit(size))["methods"][0] for size in sizes]

    def begin(*path: str | int) -> int:
        """From what size on a member is there."""

        def has(value: Any) -> bool:
            for key in path:
                try:
                    value = value[key]
                except (KeyError, IndexError):
                    return False
            return True

        found = [has(boil) for boil in boils]
        assert found == sorted(found), path
        return sizes[found.index(True)]

    order = [
        begin("params", 0, "schema", "type"),
        begin("result"),
        begin("params", 1, "schema", "default"),
        begin("tags"),
        begin("errors"),
        begin("description"),
        begin("examples"),
    ]
    assert order == sorted(set(order))
    assert [list(boil["params"][0]) for boil in boils[:1]] == [["name", "required", "schema"]]


def test_an_error_whose_data_has_no_form_in_json() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method(errors=[RpcError(1, "Odd", object())])
    def odd() -> None: ...

    assert method(dispatcher, "odd")["errors"] == [{"code": 1, "message": "Odd"}]


def test_an_example_for_a_type_that_json_has_no_word_for() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method(examples=[Example("any", result=5)])
    def odd() -> Sender | Kettle:
        raise NotImplementedError

    assert method(dispatcher, "odd")["examples"][0]["result"]["value"] == 5
