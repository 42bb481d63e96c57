"""`describe`: the OpenRPC document of a device, put together from pieces."""

from typing import Any

import pytest

from .conftest import Simulated
from .device import answer_by, bad_device, say_nothing
from .program import Done, run, serving
from .test_terminal import COLOUR, run_on_terminal


def piece(name: str, **schemas: object) -> dict[str, Any]:
    """The document of one method that returns the type of its name."""
    result = {"name": "result", "schema": {"$ref": "#/components/schemas/T"}}
    return {
        "openrpc": "1.3.2",
        "info": {"title": "lamp", "version": "2"},
        "methods": [{"name": name, "params": [], "result": result}],
        "components": {"schemas": schemas},
    }


def list_a_and_b(_: object) -> object:
    return ["a", "b"]


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_the_document_is_whole(device: Simulated, transport: str) -> None:
    url: str = getattr(device, transport)

    done = run("describe", url)

    assert (done.code, done.err) == (0, "")
    described = {method["name"]: method for method in done.result["methods"]}
    assert list(described) == run("call", url, "rpc.methods").result
    assert described["wifi.connect"]["params"][0]["schema"]["maxLength"] == 32
    result = described["wifi.status"]["result"]["schema"]
    assert result == {"$ref": "#/components/schemas/WifiStatus"}
    assert "signal" in done.result["components"]["schemas"]["WifiStatus"]["properties"]


def test_a_small_link() -> None:
    with serving("simulate", "--bind", "udp://127.0.0.1:0?max=220") as (url,):
        done = run("describe", url)

    assert (done.code, done.err) == (0, "")
    described = {method["name"]: method for method in done.result["methods"]}
    assert [each["name"] for each in described["wifi.connect"]["params"]] == ["ssid", "psk"]


def test_a_device_that_knows_only_names() -> None:
    names = ["switch", "level", "switch"]
    with bad_device(answer_by({"rpc.methods": lambda _: names})) as url:
        done = run("describe", url)

    assert done.code == 0
    assert done.err == "jsonrpc-iot: known by name alone: switch, level\n"
    assert done.result["openrpc"].startswith("1.")
    assert done.result["info"] == {"title": url, "version": "unknown"}
    assert [method["name"] for method in done.result["methods"]] == ["switch", "level"]
    assert all(method["params"] == [] for method in done.result["methods"])


def test_methods_that_cannot_be_described() -> None:
    answers = {
        "good": piece("good"),
        "refused": None,
        "empty": {},
        "number": {"methods": 1},
        "others": {"methods": [1, {"name": "x"}]},
        "five": 5,
    }

    def discover(params: dict[str, str]) -> object:
        return answers[params["method"]]

    def list_names(_: object) -> object:
        return [*answers]

    methods = {"rpc.methods": list_names, "rpc.discover": discover}
    with bad_device(answer_by(methods)) as url:
        done = run("describe", url)

    by_name = "refused, empty, number, others, five"
    assert (done.code, done.err) == (0, f"jsonrpc-iot: known by name alone: {by_name}\n")
    assert done.result["info"]["title"] == "lamp"
    assert [method["name"] for method in done.result["methods"]] == [*answers]
    assert [len(method) for method in done.result["methods"]] == [3, 2, 2, 2, 2, 2]


def test_schemas_of_one_name_are_kept_apart() -> None:
    pieces = {
        "a": piece("a", T={"type": "string"}, Same={}),
        "b": piece("b", T={"type": "integer"}, Same={}),
    }

    def discover(params: dict[str, str]) -> object:
        return pieces[params["method"]]

    with bad_device(answer_by({"rpc.methods": list_a_and_b, "rpc.discover": discover})) as url:
        document = run("describe", url).result

    schemas = document["components"]["schemas"]
    types = [
        schemas[method["result"]["schema"]["$ref"].rpartition("/")[2]]["type"]
        for method in document["methods"]
    ]
    assert types == ["string", "integer"]
    assert schemas.keys() == {"T", "T_2", "Same"}


def test_a_device_that_has_only_the_whole() -> None:
    with bad_device(answer_by({"rpc.discover": lambda _: piece("a")})) as url:
        done = run("describe", url)

    assert (done.code, done.result) == (0, piece("a"))


def test_a_device_that_says_nothing_about_itself() -> None:
    with bad_device(answer_by({})) as url:
        done = run("describe", url)

    assert done == Done(1, "", '{"code":-32601,"message":"Method not found"}\n')


def test_a_device_that_does_not_answer() -> None:
    with bad_device(say_nothing) as url:
        done = run("describe", url, "--timeout", "0.2")

    assert done.code == 124
    assert done.complaint


def test_a_table(device: Simulated) -> None:
    done = run("describe", device.tcp, "--table")

    assert (done.code, done.err) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in done.out.splitlines()}
    assert rows["method"] == ["params", "result"]
    assert rows["wifi.connect"][:5] == ["ssid:", "string,", "psk?:", "string", "null"]
    assert rows["wifi.scan"][0] == "AccessPoint[]"


@pytest.mark.parametrize("description", [{"methods": [7, {"params": [8, {}]}, {}]}, {"methods": 9}])
def test_a_table_of_nonsense(description: object) -> None:
    with bad_device(answer_by({"rpc.discover": lambda _: description})) as url:
        done = run("describe", url, "--table")

    assert (done.code, done.err) == (0, "")


def test_nothing_in_a_table_steers_the_terminal() -> None:
    hostile = {
        "name": "\x1b]0;owned\x07",
        "params": [{"name": "[bold]\x9b\n"}],
        "summary": "\u202e",
    }
    with bad_device(answer_by({"rpc.discover": lambda _: {"methods": [hostile]}})) as url:
        done = run_on_terminal("describe", url, "--table")

    plain = COLOUR.sub("", done.out[done.out.index("method") :])
    assert (done.code, done.err) == (0, "")
    assert all(character.isprintable() or character == "\n" for character in plain)
    assert "[bold]" in plain
