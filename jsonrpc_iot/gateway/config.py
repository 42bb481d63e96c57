"""The file of a gateway: its devices and addresses, in TOML. Each mistake is told with its line.

bind = ["mqtt://broker/home", "http://127.0.0.1:8080/rpc"]

[devices]
kitchen = "uart:///dev/ttyUSB0"

[devices.door]
url = ["udp://192.0.2.7?psk=env:DOOR", "gatt://door"]
wait = 5.0
allow = ["door.*"]

[devices.lamp]
url = "tuya-dp:///dev/ttyS1"
points = { 1 = "switch", 2 = { name = "brightness", min = 10, max = 1000 } }
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, structs

from ..dispatch.declare.target import CALL_SECONDS
from ..errors import UsageError
from ..transports.secrets import check_secrets
from ..trust.entries import line_of, syntax_problem
from ..tuya.device import TuyaDevice
from ..tuya.points import Point
from .gateway import Gateway

T = TypeVar("T")

_LONGEST_FILE = 1 << 24
_UNKNOWN = re.compile(r"unknown field `(.*)`", re.DOTALL)
_MEMBER = re.compile(r" - at `\$\.(\w+)")


class DeviceConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What the file says of a device; see `Gateway.add`.

    Args:
        url: where it is; several are tried in order.
        wait: seconds that a call waits for it where it is away.
        timeout: seconds that it may take for a call whose caller does not say.
        allow: names that may be used there.
        deny: those that may not.
        requires: the permission that a caller needs.
        points: of a Tuya device; see `TuyaDevice`.
        title: what Home Assistant calls it.
        area: the room that it is in, for Home Assistant.
        icon: that it has there.
    """

    url: str | list[str]
    wait: float = 0.0
    timeout: float = CALL_SECONDS
    allow: list[str] = []
    deny: list[str] = []
    requires: str | None = None
    points: dict[int, str | Point] = {}
    title: str | None = None
    area: str | None = None
    icon: str | None = None

    def add_to(self, gateway: Gateway, name: str) -> None:
        """Add the device to a gateway; see `Gateway.add`, which says what is raised.

        Raises:
            InvalidUrl: a secret that a URL names is not there, too: nobody would be told later.
        """
        urls = [self.url] if isinstance(self.url, str) else self.url
        for each in urls:
            check_secrets(each)
        ways = [TuyaDevice(each, self.points) for each in urls] if self.points else urls
        gateway.add(
            name,
            ways,
            wait=self.wait,
            timeout=self.timeout,
            allow=self.allow,
            deny=self.deny,
            requires=self.requires,
        )


class GatewayConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What the file says.

    Args:
        bind: the URLs to serve at.
        keys: the file of the keyring; where it is relative, from this file's folder.
        allow: patterns of the names that may be used, of any device that has none of its own:
            names with the device's before them, or without.
        homeassistant: show the devices to Home Assistant.
        announce: a name to be found under by mDNS.
        console: give browsers a page, at the addresses of HTTP.
        devices: by name.
    """

    bind: list[str] = []
    keys: str | None = None
    allow: list[str] = []
    homeassistant: bool = False
    announce: str | None = None
    console: bool = False
    devices: dict[str, DeviceConfig] = {}


def read_config(path: Path) -> GatewayConfig:
    """Read a file.

    Raises:
        UsageError: it cannot be read, or has a mistake; the text names the file and the line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST_FILE)
    except OSError as error:
        raise UsageError(f"{path}: cannot read it: {error.strerror}") from None
    text = data.decode("utf-8-sig", errors="surrogateescape")  # which TOML does not allow
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}, {syntax_problem(text, error)}") from None
    return _Reader(path, text).read(tables)


class _Reader:
    """Checks the tables of one file."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text

    def read(self, tables: dict[str, Any]) -> GatewayConfig:
        named = tables.pop("devices", {})
        if not isinstance(named, dict):
            raise self._error(["devices"], "a table is expected: [devices.NAME]")
        config = self._convert(tables, GatewayConfig, [])
        devices = {name: self._device(name, value) for name, value in named.items()}
        return structs.replace(config, devices=devices)

    def _device(self, name: str, value: object) -> DeviceConfig:
        members = {"url": value} if isinstance(value, str | list) else value
        where = ["devices", name]
        if isinstance(members, dict) and isinstance(points := members.get("points"), dict):
            each = {id: self._point(point, [*where, "points", id]) for id, point in points.items()}
            members = members | {"points": each}
        config = self._convert(members, DeviceConfig, where)
        try:
            config.add_to(Gateway(), name)
        except ValueError as error:
            raise self._error(where, str(error)) from None
        return config

    def _point(self, value: object, where: list[str]) -> object:
        if not where[-1].isdecimal():
            raise self._error(where, "an id is a number")
        return self._convert(value, Point, where) if isinstance(value, dict) else value

    def _convert(self, value: object, kind: type[T], where: list[str]) -> T:
        try:
            return msgspec.convert(value, kind, str_keys=True)
        except msgspec.ValidationError as error:
            problem = str(error)
        if unknown := _UNKNOWN.search(problem):
            known = structs.fields(kind)  # type: ignore[arg-type]  # it is a Struct
            raise self._unknown([*where, unknown[1]], [field.name for field in known])
        member = _MEMBER.search(problem)
        where = [*where, *(member.groups() if member else ())]
        raise self._error(where, problem.partition(" - at ")[0])

    def _unknown(self, where: list[str], known: list[str]) -> UsageError:
        near = get_close_matches(where[-1], known, 1)
        meant = f", did you mean {near[0]}?" if near else "."
        return self._error(where, f"unknown{meant} There are {', '.join(known)}")

    def _error(self, where: list[str], problem: str) -> UsageError:
        line = line_of(self._text, where)
        return UsageError(f"{self._path}, line {line}: {'.'.join(where)}: {problem}")


def apply(gateway: Gateway, before: GatewayConfig, after: GatewayConfig) -> None:
    """Have a gateway as a file says; what has not changed goes on undisturbed.

    Args:
        gateway: has what the file said before, and perhaps more.
        before: that.
        after: what it says now.

    Raises:
        ValueError: a device's name is taken by one that was not from the file.
    """
    old, new = _devices(before), _devices(after)
    for name in old:
        if old[name] != new.get(name):
            gateway.remove(name)
    for name, config in new.items():
        if old.get(name) != config:
            config.add_to(gateway, name)


def _devices(config: GatewayConfig) -> Mapping[str, DeviceConfig]:
    """The devices, with the patterns that hold for all, and without how they are shown."""
    plain = dict.fromkeys(("title", "area", "icon"))
    return {
        name: structs.replace(each, allow=each.allow or allowed_of(name, config.allow), **plain)
        for name, each in config.devices.items()
    }


def allowed_of(name: str, patterns: Iterable[str]) -> list[str]:
    """The patterns of names of one device that patterns of all names stand for.

    Args:
        name: the device's.
        patterns: of names with the device's before them, or without.
    """
    found: list[str] = []
    for pattern in patterns:
        found.append(pattern)
        if pattern.startswith(f"{name}."):
            found.append(pattern.removeprefix(f"{name}."))
        elif pattern.endswith("*") and f"{name}.".startswith(pattern[:-1]):
            found.append("*")
    return found
