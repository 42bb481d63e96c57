"""`describe`: the OpenRPC document of a device, put together from pieces."""

import socket
from typing import Any

import pytest
from msgspec.json import encode

from .conftest import Simulated
from .device import answer_by, bad_device, lines, say_nothing
from .program import Done, run, serving
from .test_terminal import COLOUR, run_on_terminal

NOT_FOUND = {"code": -32601, "message": "Method not found"}


def piece(name: str, **schemas: object) -> dict[str, Any]:
    """The document of one method that returns the type of its name."""
    result = {"name": "result", "schema": {"$ref": "#/components/schemas/T"}}
    return {
        "openrpc": "1.3.2",
        "info": {"title": "lamp", "version": "2"},
        "methods": [{"name": name, "params": [], "result": result}],
        "components": {"schemas": schemas},
    }


def rows_by_name(table: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in table.splitlines()}


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
    emitted = [each for each in done.result["x-notifications"] if each["direction"] == "emitted"]
    assert [each["name"] for each in emitted] == ["wifi.status"]
    assert done.result["info"]["title"] == "lamp"


def test_a_small_link() -> None:
    with serving("simulate", "--bind", "udp://127.0.0.1:0?max=220") as (url,):
        done = run("describe", url)

    assert (done.code, done.err) == (0, "")
    described = {method["name"]: method for method in done.result["methods"]}
    connect = described["wifi.connect"]
    assert [each["name"] for each in connect["params"]] == ["ssid", "psk"]
    assert described["wifi.scan"]["result"]["schema"] == {"type": "array"}
    assert done.result["info"]["title"] == "simulated-device"


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


@pytest.mark.parametrize(
    ("size", "most"), [(5, 4096), (10_000, 26)], ids=["many names", "large names"]
)
def test_a_device_that_names_more_than_there_can_be(size: int, most: int) -> None:
    def tell(connection: socket.socket) -> None:
        """Answer `rpc.methods` item by item, as long as there is credit for more."""
        told, listing = 0, None
        for message in lines(connection):
            credit = 0
            reply: dict[str, Any] = {"id": message.get("id"), "error": NOT_FOUND}
            match message:
                case {"method": "rpc.ping", "id": id}:
                    reply = {"id": id, "result": True}
                case {"method": "rpc.methods", "id": listing}:
                    credit = 8
                case {"method": "rpc.more", "params": {"upto": credit}}:
                    pass
            items: list[dict[str, Any]] = [
                {"method": "rpc.item", "params": {"id": listing, "seq": n, "item": f"{n:0{size}}"}}
                for n in range(told, credit)
            ]
            told = max(told, credit)
            answers = items or ([reply] if "id" in message else [])
            connection.sendall(b"".join(encode(each) + b"\n" for each in answers))

    with bad_device(tell) as url:
        done = run("describe", f"{url}?max=60000")

    assert done.code == 0
    assert f"more than {most} methods; these are the first" in done.err
    assert len(done.result["methods"]) == most


def test_methods_that_cannot_be_described() -> None:
    answers = {
        "good": piece("good"),
        "refused": None,
        "empty": {},
        "number": {"methods": 1},
        "others": {"methods": [1, {"name": "x"}]},
        "five": 5,
    }

    def discover(params: dict[str, str] | None) -> object:
        return answers[params["method"]] if params else None

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

    def discover(params: dict[str, str] | None) -> object:
        return pieces[params["method"]] if params else None

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


def test_a_whole_that_is_too_large_for_the_device() -> None:
    with serving("simulate", "--bind", "tcp://127.0.0.1:0?max=1024") as (url,):
        done = run("describe", url)
        whole = run("call", url, "rpc.discover")

    assert (whole.code, done.code, done.err) == (1, 0, "")
    described = {method["name"]: method for method in done.result["methods"]}
    assert [error["code"] for error in described["wifi.scan"]["errors"]] == [1004, 1003]
    assert [each["name"] for each in done.result["x-notifications"]] == ["wifi.status"]


def test_notifications_in_pieces() -> None:
    event = {"name": "a", "direction": "emitted", "schema": {"$ref": "#/components/schemas/T"}}
    other = {"name": "other", "direction": "emitted", "schema": {}}

    def discover(params: dict[str, str] | None) -> object:
        if not params:
            return None
        kind = {"a": "string", "b": "integer"}[params["method"]]
        notifications = [other, 7, {**event, "name": params["method"]}]
        return {**piece(params["method"], T={"type": kind}), "x-notifications": notifications}

    with bad_device(answer_by({"rpc.methods": list_a_and_b, "rpc.discover": discover})) as url:
        document = run("describe", url).result

    schemas = document["components"]["schemas"]
    assert [
        (each["name"], schemas[each["schema"]["$ref"].rpartition("/")[2]]["type"])
        for each in document["x-notifications"]
    ] == [("a", "string"), ("b", "integer")]


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
    methods, notifications = done.out.split("\n\n")
    rows = rows_by_name(methods)
    assert rows["method"] == ["params", "result"]
    assert rows["wifi.connect"][:5] == ["ssid:", "string", "1..32", "long,", "psk?:"]
    assert rows["wifi.scan"][0] == "AccessPoint[]"
    rows = rows_by_name(notifications)
    assert rows["notification"] == ["params", "direction"]
    assert rows["wifi.status"] == ["WifiStatus", "emitted"]


def test_a_table_marks_what_is_deprecated() -> None:
    schema = {"type": "integer", "minimum": 0, "maximum": 100}
    level = {"name": "level", "required": True, "schema": schema}
    old = {"name": "old", "params": [level], "summary": "Use new.", "deprecated": True}
    old["x-effect"] = "danger"
    gone = {"name": "gone", "direction": "received", "params": [], "deprecated": True}
    whole = {"methods": [old], "x-notifications": [gone, 7, {"name": "bare"}]}
    with bad_device(answer_by({"rpc.discover": lambda _: whole})) as url:
        done = run("describe", url, "--table")

    assert (done.code, done.err) == (0, "")
    assert [line.split() for line in done.out.splitlines()] == [
        ["method", "params", "result"],
        ["old", "level:", "integer", "0..100", "(deprecated,", "danger)", "Use", "new."],
        [],
        ["notification", "params", "direction"],
        ["gone", "received", "(deprecated)"],
        ["bare"],
    ]


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
