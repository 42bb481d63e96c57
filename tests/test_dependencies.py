"""What we lean on in other libraries and they do not promise to keep; and what may be installed.

A failure here says what has changed. Look at the code that it names before widening a range in
pyproject.toml.
"""

import ast
import asyncio
import inspect
import re
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.metadata import requires, version

import anyio
import pytest
from bleak.backends.client import BaseBleakClient
from bleak.backends.scanner import BaseBleakScanner
from bumble.controller import Controller
from bumble.device import Device
from bumble.gatt_server import Server as GattServer
from bumble.link import LocalLink
from nats.aio.client import Client as NatsClient
from packaging.requirements import Requirement
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from jsonrpc_iot.novacloud.bus.nats import _Client as GuardedNatsClient
from jsonrpc_iot.testing._controllers import VirtualController, VirtualLink
from jsonrpc_iot.transports.gatt.bumble.backend import BumbleClient, BumbleScanner
from jsonrpc_iot.transports.gatt.bumble.listener import _Server as CommandServer
from jsonrpc_iot.transports.mqtt._bounds import BoundedClient
from jsonrpc_iot.transports.web.uvicorn_http import _GuardedProtocol, _Server
from jsonrpc_iot.transports.web.uvicorn_websocket import BoundedProtocol
from tests.places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


# Versions


@pytest.mark.parametrize(
    "requirement",
    sorted({line.partition(";")[0].strip() for line in requires("jsonrpc-iot") or ()}),
)
def test_what_is_installed_is_in_the_tested_range(requirement: str) -> None:
    wanted = Requirement(requirement)
    found = version(wanted.name)
    assert wanted.specifier.contains(found), (
        f"{wanted.name} {found} is installed, and the tests vouch for {wanted.specifier} only"
    )


REACHED_INTO = {"uvicorn", "websockets", "bumble", "bleak", "dbus-fast", "paho-mqtt", "nats-py"}


def test_whose_insides_we_use_has_a_cap() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    named = [Requirement(line) for lines in extras.values() for line in lines]
    capped = {one.name for one in named if any("<" in str(spec) for spec in one.specifier)}
    open_ended = {one.name for one in named if "<" not in str(one.specifier)}
    assert capped >= REACHED_INTO
    assert not open_ended & REACHED_INTO


# Locks


def _asked(*, groups: bool) -> Iterator[Requirement]:
    """What pyproject.toml asks for, here."""
    project = PROJECT["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    if groups:
        lists += PROJECT["dependency-groups"].values()
    for line in (line for lines in lists for line in lines if isinstance(line, str)):
        requirement = Requirement(line)
        if requirement.name != PROJECT["project"]["name"]:
            yield requirement


def _locked(name: str) -> dict[str, set[str]]:
    text = (ROOT / name).read_text(encoding="utf-8")
    found: dict[str, set[str]] = {}
    for package, pinned in re.findall(r"^([a-z0-9.-]+)==([^ ;]+)", text, re.MULTILINE):
        found.setdefault(package, set()).add(pinned)
    return found


def _key(requirement: Requirement) -> str:
    return re.sub(r"[-_.]+", "-", requirement.name).lower()


def test_the_lock_has_all_that_is_asked_for() -> None:
    locked = _locked("requirements.lock")
    for requirement in _asked(groups=True):
        pinned = locked.get(_key(requirement), set())
        fits = pinned and all(requirement.specifier.contains(one) for one in pinned)
        assert fits, f"requirements.lock pins {pinned} of {requirement}; run `make lock`"


def test_the_oldest_are_the_floors() -> None:
    locked = _locked("requirements-oldest.lock")
    floors: dict[str, list[str]] = {}
    for requirement in _asked(groups=True):
        floor = [spec.version for spec in requirement.specifier if spec.operator in (">=", "==")]
        floors.setdefault(_key(requirement), []).extend(floor)
    for requirement in _asked(groups=False):
        pinned = locked[_key(requirement)]
        assert any(
            Requirement(f"x=={one}.*").specifier.contains(each)
            for one in floors[_key(requirement)]
            for each in pinned
        ), f"requirements-oldest.lock pins {pinned} of {requirement}, not its floor"


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-oldest.lock"])
def test_a_lock_checks_all_that_is_fetched_and_names_no_place(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
    for entry in re.split(r"\n(?=[a-z])", text)[1:]:
        assert "--hash=sha256:" in entry, entry


# Programs


def test_the_programs_that_tests_run_are_installed_by_make_test() -> None:
    text = (ROOT / "tools" / "system-packages").read_text(encoding="utf-8")
    listed = {line.split()[0] for line in text.split("'")[1].splitlines() if line}
    listed |= {"chromium", "g++"}  # make test-browser and make test-foreign add them
    listed |= {"arm-none-eabi-gcc", "qemu-system-arm", "clang"}  # likewise make test-firmware
    listed |= {"mosquitto_passwd"}  # is in Mosquitto's package
    listed |= {"nats-server"}  # a wheel brings it
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    named = set(re.findall(r"require_command\(\"([^\"]+)\"", sources))
    assert named
    assert named <= listed


# Private parts


def _made_uvicorn(kind: Callable[..., object]) -> object:
    config = Config(asyncio.sleep, ws="none", log_config=None, lifespan="off")
    config.load()
    with closing(asyncio.new_event_loop()) as loop:
        return kind(config, ServerState(), {}, loop)


def _made_bleak(kind: type, *arguments: object, **options: object) -> object:
    """An instance of an abstract class."""
    name = f"Some{kind.__name__}"
    made = type(name, (kind,), dict.fromkeys(kind.__abstractmethods__))  # type: ignore[attr-defined]
    return made(*arguments, **options)


async def _controller() -> Controller:
    return Controller("test")


CENTRAL = "F0:F1:F2:F3:F4:F5"

# Each class of ours, and an instance of what it extends.
EXTENDED: dict[type, Callable[[], object]] = {
    BoundedProtocol: lambda: _made_uvicorn(WebSocketsSansIOProtocol),
    _GuardedProtocol: lambda: _made_uvicorn(H11Protocol),
    BoundedClient: lambda: Client(CallbackAPIVersion.VERSION2),
    GuardedNatsClient: NatsClient,
    _Server: lambda: Server(Config(asyncio.sleep, log_config=None)),
    VirtualLink: LocalLink,
    VirtualController: lambda: anyio.run(_controller),
    CommandServer: lambda: GattServer(Device()),
    BumbleClient: lambda: _made_bleak(
        BaseBleakClient, CENTRAL, disconnected_callback=None, timeout=1.0
    ),
    BumbleScanner: lambda: _made_bleak(BaseBleakScanner, None, None),
}

# What our classes add in public.
ADDED = {
    BoundedProtocol: {"message_seconds"},
    _GuardedProtocol: {"head_seconds", "send_seconds"},
    _Server: {"exiting", "pulse"},
    BoundedClient: {"reader"},
    VirtualLink: {"ports", "is_connectable", "scan_response"},
    VirtualController: {"fall_silent", "unplug"},
    BumbleClient: {"wanted_mtu"},
    BumbleScanner: {"adapter"},
}


@pytest.mark.parametrize("ours", EXTENDED, ids=lambda ours: ours.__name__)
def test_what_we_extend_has_the_parts_that_we_use(ours: type) -> None:
    base = EXTENDED[ours]()
    overridden = {name for name in vars(ours) if not name.startswith("_")}
    needed = (overridden | _borrowed(ours)) - ADDED.get(ours, set())
    place = type(base).__mro__[1 if type(base).__name__.startswith("Some") else 0]
    later = set(re.findall(r"\bself\.(\w+)(?:: [^=\n]+)? = ", inspect.getsource(place)))
    missing = sorted(needed - later - set(dir(base)))
    assert not missing, f"{place.__module__}.{place.__name__} has lost {missing}"


@pytest.mark.parametrize("ours", EXTENDED, ids=lambda ours: ours.__name__)
def test_what_we_override_is_called_as_before(ours: type) -> None:
    for name, function in vars(ours).items():
        theirs = getattr(ours.__mro__[1], name, None)
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        if not inspect.isfunction(theirs) or "VAR_POSITIONAL" in _kinds(function):
            continue
        here, there = (_positional(each) for each in (function, theirs))
        assert len(here) == len(there), (
            f"{theirs.__module__}.{theirs.__qualname__} takes {there}; ours takes {here}"
        )


def _borrowed(ours: type) -> set[str]:
    """The attributes that a class uses of itself and does not have of its own."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(ours)))
    of_self: set[str] = set()
    made: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self", "super()"):
            of_self.add(node.attr)
            if isinstance(node.ctx, ast.Store) and node.attr.startswith("_"):
                made.add(node.attr)
    dunder = {name for name in of_self if name.startswith("__")}
    return of_self - made - dunder - {name for name in vars(ours) if name.startswith("_")}


def _kinds(function: Callable[..., object]) -> set[str]:
    return {each.kind.name for each in inspect.signature(function).parameters.values()}


def _positional(function: Callable[..., object]) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [each.name for each in parameters if each.kind is not each.KEYWORD_ONLY]


@pytest.mark.parametrize(
    "protocol",
    [ClientProtocol(parse_uri("ws://x/")), ServerProtocol()],
    ids=["client", "server"],
)
def test_the_parts_of_websockets_that_it_does_not_document(protocol: object) -> None:
    used = {"events", "close_sent", "close_rcvd", "parser_exc", "reader", "handshake_exc", "debug"}
    missing = sorted(name for name in used if not hasattr(protocol, name))
    assert not missing, f"websockets.protocol.Protocol has lost {missing}"
    assert hasattr(protocol.reader, "buffer"), (  # type: ignore[attr-defined]
        "websockets.streams.StreamReader has no buffer, which says whether a message is unfinished"
    )
