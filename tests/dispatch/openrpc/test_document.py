"""`rpc.discover`: the methods of a dispatcher as an OpenRPC document."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta, Struct

from jsonrpc_iot import Context, Dispatcher, method, service

from .asking import ask, described, with_limit


class Level(Struct):
    """How bright.

    Args:
        percent: from 0 to 100.
    """

    percent: Annotated[int, Meta(ge=0, le=100)]
    description: str = ""
    inner: "Level | None" = None


@dataclass
class Lamp:
    name: str
    level: Level


class Opaque:
    pass


@pytest.fixture
def lamp() -> Dispatcher:
    dispatcher = Dispatcher()

    @dispatcher.method(idempotent=True, effect="change", timeout=2.5, thread=True)
    def dim(level: Level, seconds: float = 1.0, tags: list[str] = []) -> None:  # noqa: B006
        """Change the brightness, slowly.

        It takes a while.
        """

    @dispatcher.method("lamp.levels")
    async def levels(context: Context) -> AsyncIterator[Level]:
        yield Level(1)

    @dispatcher.method(requires="admin")
    def reset() -> Lamp:
        return Lamp("", Level(0))

    @dispatcher.notification
    def noted(x: int) -> None:
        pass

    return dispatcher


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_the_whole_document(lamp: Dispatcher) -> None:
    document = described(lamp)

    assert document["openrpc"].startswith("1.")
    assert document["info"].keys() == {"title", "version"}
    assert [each["name"] for each in document["methods"]] == [
        "dim",
        "lamp.levels",
        "rpc.authenticate",
        "rpc.discover",
        "rpc.methods",
        "rpc.ping",
        "rpc.subscribe",
        "rpc.unsubscribe",
    ]
    found = set(references(document))
    assert found == {"#/components/schemas/Level"}
    assert document["components"]["schemas"].keys() == {"Level"}


def test_one_method(lamp: Dispatcher) -> None:
    document = described(lamp, "dim")

    (dim,) = document["methods"]
    assert dim == {
        "name": "dim",
        "summary": "Change the brightness, slowly.",
        "description": "It takes a while.",
        "params": [
            {"name": "level", "required": True, "schema": {"$ref": "#/components/schemas/Level"}},
            {"name": "seconds", "required": False, "schema": {"type": "number", "default": 1.0}},
            {
                "name": "tags",
                "required": False,
                "schema": {"type": "array", "items": {"type": "string"}, "default": []},
            },
        ],
        "result": {"name": "result", "schema": {"type": "null"}},
        "x-idempotent": True,
        "x-effect": "change",
        "x-timeout": 2.5,
    }
    level = document["components"]["schemas"]["Level"]
    assert level["properties"]["percent"] == {
        "type": "integer",
        "minimum": 0,
        "maximum": 100,
        "description": "from 0 to 100.",
    }
    assert level["description"] == "How bright."


def test_a_generator_returns_a_list(lamp: Dispatcher) -> None:
    (levels,) = described(lamp, "lamp.levels")["methods"]

    items = {"$ref": "#/components/schemas/Level"}
    assert levels["params"] == []
    assert levels["result"]["schema"] == {"type": "array", "items": items}


@pytest.mark.parametrize("name", ["nothing", "reset", ""])
def test_what_the_caller_cannot_call_is_unknown(lamp: Dispatcher, name: str) -> None:
    answer = ask(lamp, name)

    assert answer["error"]["code"] == -32602
    assert answer["error"]["data"]["path"] == "$.method"


def test_permission_shows_more(lamp: Dispatcher) -> None:
    context = with_limit(None, "admin")

    names = [each["name"] for each in described(lamp, context=context)["methods"]]
    (reset,) = described(lamp, "reset", context)["methods"]

    assert "reset" in names
    assert reset["x-requires"] == "admin"


def test_a_service_is_described_by_its_interface() -> None:
    @service("lamp")
    class Interface:
        @method
        def switch(self, on: bool) -> bool:
            """Switch it."""
            raise NotImplementedError

    class Real(Interface):
        def switch(self, on: Any) -> Any:
            return on

    dispatcher = Dispatcher()
    dispatcher.include(Real(), prefix="hall")
    (switch,) = described(dispatcher, "hall.lamp.switch")["methods"]

    assert switch["summary"] == "Switch it."
    assert switch["params"][0]["schema"] == switch["result"]["schema"] == {"type": "boolean"}


def test_types_that_json_schema_has_no_word_for() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    def odd(raw: msgspec.Raw, opaque: object = None) -> Iterator[int]:
        raise NotImplementedError

    @dispatcher.method
    def hidden() -> Opaque:
        raise NotImplementedError

    @dispatcher.method
    def untyped(a, b=2):  # type: ignore[no-untyped-def]
        pass

    document = described(dispatcher)
    methods = {each["name"]: each for each in document["methods"]}

    assert methods["odd"]["params"][0] == {"name": "raw", "required": True, "schema": {}}
    assert methods["odd"]["params"][1]["schema"] == {"default": None}
    assert methods["odd"]["result"]["schema"] == methods["hidden"]["result"]["schema"] == {}
    assert [each["schema"] for each in methods["untyped"]["params"]] == [{}, {"default": 2}]


@pytest.mark.parametrize("size", [1024, 600, 400, 350, 300, 260, 245])
@pytest.mark.parametrize("name", ["dim", "lamp.levels", "rpc.discover"])
def test_one_method_fits_a_small_message(lamp: Dispatcher, size: int, name: str) -> None:
    document = described(lamp, name, with_limit(size))

    (entry,) = document["methods"]
    (whole,) = described(lamp, name)["methods"]
    assert entry["name"] == name
    assert [(each["name"], "schema" in each) for each in entry["params"]] == [
        (each["name"], True) for each in whole["params"]
    ]
    schemas = document.get("components", {}).get("schemas", {})
    assert {each.rpartition("/")[2] for each in references(document)} == schemas.keys()


def test_a_cut_takes_prose_but_no_property(lamp: Dispatcher) -> None:
    document = described(lamp, "dim", with_limit(830))

    level = document["components"]["schemas"]["Level"]
    assert "description" not in document["methods"][0]
    assert "description" not in level
    assert level["properties"]["description"] == {"type": "string", "default": ""}


@pytest.mark.parametrize("id", ["é" * 60, "\n" * 60, "x" * 60, 10**60, 1.5, None])
def test_the_description_fits_beside_any_id(id: Any) -> None:
    dispatcher = Dispatcher()

    def dim(level: Level, seconds: float = 0) -> None: ...

    dim.__doc__ = "Dim. " + "Words. " * 20
    dispatcher.method(dim)
    request = {"jsonrpc": "2.0", "id": id, "method": "rpc.discover", "params": {"method": "dim"}}
    for size in range(350, 600):
        reply = dispatcher.dispatch_sync(msgspec.json.encode(request), with_limit(size))
        assert reply is not None
        assert len(reply) <= size
        assert b'"result"' in reply


def test_what_is_registered_later_is_described_too() -> None:
    dispatcher = Dispatcher()
    before = described(dispatcher)
    assert described(dispatcher) == before

    dispatcher.method("later")(lambda: None)
    assert described(dispatcher)["methods"][0]["name"] == "later"
