"""A pytest plugin: a device under test, and a client that calls it over any link.

    @pytest.fixture
    def rpc_dispatcher():
        return lamp

    async def test_level(rpc_client):
        assert await rpc_client.call("lamp.set", {"level": 40}) == 0

pytest finds it by its entry point. It stays small, since it is loaded also where nobody uses it:
what the fixtures do is in `rig`.

PYTEST_DONT_REWRITE: no assertion here is for the user.
"""

from __future__ import annotations

from contextlib import closing
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator

    from ..blocking import BlockingClient
    from ..client.client import Client
    from ..dispatch.dispatcher import Dispatcher
    from ..server.server import Server
    from .links import LossyLink
    from .rig import Connect, Rig, Where

_MARKER = """\
rpc_link(*where, faults=…, seed=…, …): the links that an rpc test runs over, one after the other: \
"memory", "tcp", "udp", "pipe", a URL to serve, or Faults(…); keywords are those of LossyLink."""
_RIG = pytest.StashKey["Rig"]()


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a marked test over each of its links."""
    marker = metafunc.definition.get_closest_marker("rpc_link")
    if marker is None or "rpc_where" not in metafunc.fixturenames:
        return
    from .rig import read_marker, show

    try:
        links = read_marker(*marker.args, **marker.kwargs)
    except (TypeError, ValueError) as error:
        text = f"{metafunc.definition.nodeid}: rpc_link: {error}"
        raise pytest.fail.Exception(text, pytrace=False) from None
    # As a marker it also takes the place of a fixture `rpc_where` with parameters of its own.
    metafunc.definition.add_marker(pytest.mark.parametrize("rpc_where", links, ids=show))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the last messages of a test that failed."""
    report = yield
    rig = item.stash.get(_RIG, None)
    if rig is not None and report.failed and (text := rig.story.text()):
        report.sections.append(("rpc messages", text))
    return report


@pytest.fixture
def rpc_dispatcher() -> Dispatcher | object:
    """The device under test: a Dispatcher or an instance of a service; override it."""
    pytest.fail(
        "which device shall be tested? Write a fixture `rpc_dispatcher` that returns your"
        " Dispatcher, or an instance of your service",
        pytrace=False,
    )


@pytest.fixture
def rpc_serve_options() -> dict[str, Any]:
    """Options of `serve` for the device, such as `authenticate`; override it."""
    return {}


@pytest.fixture
def rpc_where(request: pytest.FixtureRequest) -> Where:
    """The link that the test runs over; override it for all tests of a module, or use the marker.

    It is in memory by default, a `LossyLink` without faults where `rpc_link` is asked for, and TCP
    where `rpc_device` is.
    """
    if "rpc_device" in request.fixturenames:
        return "tcp"
    if "rpc_link" in request.fixturenames:
        from .links import Faults

        return Faults()
    return "memory"


@pytest.fixture
def _rpc_rig(
    request: pytest.FixtureRequest,
    rpc_dispatcher: Dispatcher | object,
    rpc_serve_options: dict[str, Any],
    rpc_where: Where,
) -> Iterator[Rig]:
    from .rig import Rig

    try:
        rig = Rig(rpc_dispatcher, rpc_where, rpc_serve_options)
    except (TypeError, ValueError) as error:
        raise pytest.fail.Exception(f"{request.node.nodeid}: {error}", pytrace=False) from None
    request.node.stash[_RIG] = rig
    with closing(rig):
        yield rig


@pytest.fixture
def _rpc_runner(request: pytest.FixtureRequest) -> None:
    """Fail a test that anyio does not run: its loop would stand still while the test runs."""
    item = request.node
    function = getattr(item, "function", None)
    function = getattr(getattr(function, "hypothesis", None), "inner_test", function)
    if not iscoroutinefunction(function):
        advice = "write `async def`, or take the fixture `rpc_device` in a test without async"
    elif item.get_closest_marker("asyncio") or item.get_closest_marker("trio"):
        advice = (
            "mark it with @pytest.mark.anyio alone (and no asyncio_mode = auto), or take the"
            " fixture `rpc_open` and write `async with rpc_open() as client` in the test"
        )
    else:
        return
    pytest.fail(
        f"{item.nodeid}: rpc_client, rpc_connect and rpc_server are for tests that anyio's pytest"
        f" plugin runs: {advice}",
        pytrace=False,
    )


@pytest.fixture
def rpc_link(_rpc_rig: Rig) -> LossyLink:
    """The lossy link between the device and its (first) client."""
    if _rpc_rig.link is None:
        pytest.fail(
            f"rpc_link is a LossyLink, but the test runs over {_rpc_rig.where}: mark it, as in"
            " @pytest.mark.rpc_link(Faults(drop=0.2))",
            pytrace=False,
        )
    return _rpc_rig.link


@pytest.fixture
def rpc_open(_rpc_rig: Rig) -> Connect:
    """Serves the device and connects to it within the test, whatever runs the test.

    It is used as in `async with rpc_open() as client`. Keywords are those of `connect`.
    """
    return _rpc_rig.open


@pytest.fixture
async def rpc_server(
    _rpc_runner: None, anyio_backend: object, _rpc_rig: Rig
) -> AsyncIterator[Server]:
    """The device's `Server`, with its `urls`, its `peers` and `broadcast`."""
    async with _rpc_rig.serve() as server:
        yield server


@pytest.fixture
def rpc_connect(rpc_server: Server, _rpc_rig: Rig) -> Connect:
    """Makes clients of the device, as many as the test wants.

    It is used as in `async with rpc_connect(timeout=1) as client`. Keywords are those of `connect`.
    """
    return _rpc_rig.connect_to(rpc_server)


@pytest.fixture
async def rpc_client(rpc_connect: Connect, _rpc_rig: Rig) -> AsyncIterator[Client]:
    """A client of the device."""
    async with rpc_connect() as client:
        yield client
        _rpc_rig.cut()


@pytest.fixture
def rpc_device(_rpc_rig: Rig) -> Iterator[BlockingClient]:
    """A `BlockingClient` of the device, for a test without async; over TCP by default."""
    try:
        opened = _rpc_rig.open_sync()
    except ValueError as error:
        raise pytest.fail.Exception(f"rpc_device: {error}", pytrace=False) from None
    with opened as client:
        yield client
