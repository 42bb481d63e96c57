"""The files in examples/novacloud-cluster do what the page about several nodes says."""

import re
import shlex
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.cli import ROOT as PROGRAM
from jsonrpc_iot.cli._nova_metrics import serving_metrics
from jsonrpc_iot.cli.command.parse import parse
from jsonrpc_iot.novacloud.bus.postgres import PostgresBus
from jsonrpc_iot.novacloud.platform.drain import drain
from jsonrpc_iot.novacloud.platform.metrics import Metrics
from tests._system import require_command
from tests.brokers import Broker
from tests.cli.program import listening, started
from tests.places import ROOT
from tests.ports import free_port
from tests.waiting import SECONDS

from .nodes import node
from .rig import GONE, Device, Rig
from .store.postgres.databases import empty_database

pytestmark = pytest.mark.anyio

FOLDER = ROOT / "examples" / "novacloud-cluster"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def url() -> Iterator[str]:
    with empty_database() as url:
        yield url


def test_the_options_of_the_unit_are_those_of_the_program() -> None:
    unit = (FOLDER / "novacloud-node@.service").read_text(encoding="utf-8").replace("\\\n", "")
    (line,) = re.findall(r"^ExecStart=(.*)", unit, re.MULTILINE)
    words = shlex.split(line.replace("$NOVACLOUD_OPTIONS", "").replace("%i", "1"))
    _, values, _ = parse(PROGRAM, words[1:])
    assert values["port"] == 8101
    (stop,) = re.findall(r"^TimeoutStopSec=(\d+)", unit, re.MULTILINE)
    assert values["drain"] < int(stop)


def test_the_options_of_the_compose_file_are_those_of_the_program() -> None:
    text = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    words = re.findall(r"^  - (--\S+)", text, re.MULTILINE)
    _, values, _ = parse(PROGRAM, ["nova", "platform", *words])
    assert values["auto_define"]
    (grace,) = re.findall(r"stop_grace_period: (\d+)s", text)
    assert values["drain"] < int(grace)


class Balancer(Broker):
    """HAProxy as the example has it, before nodes of this machine.

    Args:
        nodes: the ports for devices and for /ready of each.
        patience: how long a node may take to say whether it is ready.
    """

    def __init__(self, *nodes: tuple[int, int], patience: str = "6s") -> None:
        text = (FOLDER / "haproxy.cfg").read_text(encoding="utf-8")
        text, ports = re.subn(r"bind :8100", "bind 127.0.0.1:{port}", text)
        text, pauses = re.subn(r"check port 9100 inter 2s", "check inter 50ms", text)
        text, waits = re.subn(r"timeout check 6s", f"timeout check {patience}", text)
        text, most = re.subn(r"maxconn 200000", "maxconn 100", text)  # each needs two files
        assert (ports, pauses, waits, most) == (1, 1, 1, 1)
        head, mark, _ = text.partition("    server north")
        assert mark
        servers = "".join(
            f"    server {name} 127.0.0.1:{port} port {ready}\n"
            for name, (port, ready) in zip(("north", "south"), nodes, strict=True)
        )
        program = require_command("haproxy")
        super().__init__([program, "-db", "-f", "{folder}/conf"], {"conf": head + servers})


@asynccontextmanager
async def admitted(balancer: Balancer, info: dict[str, str]) -> AsyncIterator[Device]:
    """A device that comes through the balancer, again and again until it is let in."""
    end = anyio.current_time() + SECONDS
    while anyio.current_time() < end:
        async with await anyio.connect_tcp("127.0.0.1", balancer.port) as stream:
            device = Device(stream, info)
            try:
                answer = await device.authenticate()
            except GONE:  # no node was ready
                continue
            assert answer["status"] == "success"
            yield device
            return
    raise AssertionError("no node has let it in")


async def test_a_node_that_stops_gets_no_more_devices(tmp_path: Path, url: str) -> None:
    places = [(free_port(), free_port()) for _ in range(2)]
    async with AsyncExitStack() as stack:
        rigs = {}
        for name, (port, ready) in zip(("north", "south"), places, strict=True):
            bus = PostgresBus(url)
            rig = await stack.enter_async_context(
                node(url, name, tmp_path, bus=bus, proxied=True, port=port)
            )
            where = Url.parse(f"http://127.0.0.1:{ready}")
            await stack.enter_async_context(serving_metrics(where, Metrics(rig.platform)))
            rigs[name] = rig
        balancer = Balancer(*places)
        stack.callback(balancer.stop)
        balancer.start()
        info = await rigs["south"].create()

        async def come() -> str:
            """Which node a device gets to."""
            async with admitted(balancer, info):
                (served,) = [name for name, rig in rigs.items() if rig.platform.presence.sessions]
            await rigs[served].until(lambda: is_left(rigs[served]))
            return served

        seen: set[str] = set()
        with anyio.fail_after(SECONDS):
            while seen != {"north", "south"}:
                seen.add(await come())
        await drain(rigs["north"].platform, 0.0)
        assert {await come() for _ in range(4)} == {"south"}


async def is_left(rig: Rig) -> bool:
    """Whether a node has no device any more."""
    return not rig.platform.presence.sessions


async def test_devices_of_a_frozen_node_come_to_another(tmp_path: Path, url: str) -> None:
    north, south = places = [(free_port(), free_port()) for _ in range(2)]
    options = ("--db", url, "--node", "north", "--port", f"{north[0]}", "--proxy-protocol")
    metrics = ("--metrics", f"http://127.0.0.1:{north[1]}", "--manage", f"pipe://n?dir={tmp_path}")
    async with AsyncExitStack() as stack:
        program = stack.enter_context(started("nova", "platform", *options, *metrics))
        for _ in range(3):
            await anyio.to_thread.run_sync(listening, program)
        rig = await stack.enter_async_context(
            node(url, "south", tmp_path, bus=PostgresBus(url), proxied=True, port=south[0])
        )
        balancer = Balancer(*places, patience="1s")
        stack.callback(balancer.stop)
        balancer.start()
        info = await rig.create()
        async with admitted(balancer, info) as device:
            assert not rig.platform.presence.sessions  # which is not ready, for all one can see
            program.process.send_signal(signal.SIGSTOP)
            where = Url.parse(f"http://127.0.0.1:{south[1]}")
            await stack.enter_async_context(serving_metrics(where, Metrics(rig.platform)))
            await device.wait_closed()
        async with admitted(balancer, info):
            assert rig.platform.presence.sessions
