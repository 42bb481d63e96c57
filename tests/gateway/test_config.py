"""The file of a gateway: what it says, and each mistake with its line."""

from pathlib import Path

import pytest

from jsonrpc_iot import Gateway, UsageError
from jsonrpc_iot.gateway.config import (
    DeviceConfig,
    GatewayConfig,
    allowed_of,
    apply,
    read_config,
)
from jsonrpc_iot.tuya import Point

FILE = """
bind = ["http://127.0.0.1:8080/rpc"]
keys = "keys.toml"
allow = ["lamp.*"]
announce = "hall gateway"
console = true

[devices]
kitchen = "tcp://127.0.0.1:1"
hall = ["tcp://127.0.0.1:1", "udp://127.0.0.1:2"]

[devices.door]
url = "tcp://127.0.0.1:3"
wait = 5
timeout = 2.5
deny = ["door.reset"]
requires = "door"

[devices.lamp]
url = "tuya-dp:///dev/ttyS1"
points = { 1 = "switch", 2 = { name = "brightness", min = 10 } }
"""


def read(folder: Path, text: str) -> GatewayConfig:
    file = folder / "gateway.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    return read_config(file)


def test_it_says_where_devices_are_and_what_holds_for_them(tmp_path: Path) -> None:
    config = read(tmp_path, FILE)
    assert config == GatewayConfig(
        bind=["http://127.0.0.1:8080/rpc"],
        keys="keys.toml",
        allow=["lamp.*"],
        announce="hall gateway",
        console=True,
        devices={
            "kitchen": DeviceConfig("tcp://127.0.0.1:1"),
            "hall": DeviceConfig(["tcp://127.0.0.1:1", "udp://127.0.0.1:2"]),
            "door": DeviceConfig(
                "tcp://127.0.0.1:3", 5.0, 2.5, deny=["door.reset"], requires="door"
            ),
            "lamp": DeviceConfig(
                "tuya-dp:///dev/ttyS1", points={1: "switch", 2: Point("brightness", min=10)}
            ),
        },
    )
    assert read(tmp_path, "") == GatewayConfig()


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        (
            "bimd = []",
            1,
            "bimd: unknown, did you mean bind? There are bind, keys, allow, homeass",
        ),
        (
            "\n[devices.a]\nurl = 'tcp://h'\nwiat = 1",
            4,
            "devices.a.wiat: unknown, did you mean wait",
        ),
        ("[devices.a]\nwait = 1", 1, "missing required field `url`"),
        ("[devices]\na = 'udp://h?pks=env:A'", 2, "devices.a: udp://h?pks=env:A: unknown option"),
        ("[devices]\na = 'udp://h?psk=file:/nowhere'", 2, "psk: cannot read /nowhere"),
        ("[devices.a]\nurl = 'tcp://h'\nwait = 'x'", 3, "devices.a.wait: Expected `float`"),
        ("[devices]\na = 'nonsense://x'", 2, "unknown scheme 'nonsense'"),
        (
            "[devices.a.points.2]\nname = 'x'\nmni = 1",
            3,
            "devices.a.points.2.mni: unknown, did you mean min? There are name, kind, min",
        ),
        ("[devices.a.points]\n2 = 'x'\n3 = {min = 1}", 3, "missing required field `name`"),
        ("[devices.a.points]\n2 = {name = 'get'}", 2, "'get' cannot be the name"),
        ("[devices.a]\nurl = 'tcp://h'\npoints = {1 = 'x'}", 1, "at tuya-dp:// or uart://"),
        (
            "[devices.a]\nurl = 'uart:///x'\npoints = {1 = 'x', 300 = 'y'}",
            1,
            "ids are 1 to 255",
        ),
        (
            "[devices.a]\nurl = 'uart:///x'\npoints = {one = 'x'}",
            3,
            "points.one: an id is a number",
        ),
        ("[devices]\na = 'tcp://h'\na = 'tcp://i'", 3, "not valid TOML"),
        ("[devices.a]\nurl = 'tcp://h'\n[devices.a]\nurl = 'tcp://i'", 3, "not valid TOML"),
        ("[devices]\n'a/b' = 'tcp://h'", 2, "cannot be the name"),
        ("[devices]\na = []", 2, "needs a URL"),
        ("bind = 5", 1, "bind: Expected `array`, got `int`"),
        ("devices = 5", 1, "a table is expected"),
        ("a = ", 1, "not valid TOML"),
        ("a = \udcff", 1, "not valid TOML"),
    ],
)
def test_mistakes_are_told_with_their_line(
    tmp_path: Path, text: str, line: int, complaint: str
) -> None:
    with pytest.raises(UsageError) as refused:
        read(tmp_path, text)
    assert complaint in str(refused.value)
    assert f"line {line}" in str(refused.value)


def test_what_has_not_changed_is_left_alone() -> None:
    gateway = Gateway()
    told: list[tuple[str, bool]] = []
    gateway.changed.subscribe(lambda change: told.append((change.name, change.removed)))
    before = GatewayConfig(devices={name: DeviceConfig("tcp://h:1") for name in "abc"})
    apply(gateway, GatewayConfig(), before)
    told.clear()
    devices = {"a": DeviceConfig("tcp://h:1"), "b": DeviceConfig("tcp://h:2")}
    apply(gateway, before, GatewayConfig(devices=devices | {"d": DeviceConfig("tcp://h:1")}))
    assert sorted(told) == [("b", False), ("b", True), ("c", True), ("d", False)]
    assert [each.name for each in gateway.devices()] == ["a", "b", "d"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("sys.info", ["sys.info"]),
        ("lamp.set", ["lamp.set", "set"]),
        ("lamp.*", ["lamp.*", "*"]),
        ("la*", ["la*", "*"]),
        ("door.*", ["door.*"]),
    ],
)
def test_patterns_are_of_names_with_the_devices_or_without(pattern: str, found: list[str]) -> None:
    assert allowed_of("lamp", [pattern])[: len(found)] == found
