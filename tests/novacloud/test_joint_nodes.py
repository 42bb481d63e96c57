"""Three nodes, one PostgreSQL and devices, of which anything dies: once executed, once stored."""

import random
import signal
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.abc import ByteStream

from jsonrpc_iot import Client, JsonRpcIotError, RpcError, connect
from jsonrpc_iot.novacloud import DeviceSettings, NovaDevice, Schedule
from jsonrpc_iot.novacloud.platform.admission import hash_key
from jsonrpc_iot.novacloud.store.postgres.store import PostgresStore
from jsonrpc_iot.novacloud.store.registry import DeviceRow
from tests.cli.program import Running, listening, started
from tests.novacloud.servers import Postgres, new_postgres

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

_DEVICES = 24
_NAMES = "north", "south", "west"
_SECONDS = 30.0
_KEY = "correct horse battery staple"
_SETTINGS = DeviceSettings(
    auth_seconds=2.0,
    drain_rate=1000,
    close_seconds=0.1,
    schedule=Schedule(first=0.1, longest=0.5, after_stable=0.2),
)


class Node:
    """A process of `nova platform`.

    Args:
        name: of the node.
        url: of the database.
        settings: the platform's, a file.
    """

    program: Running

    def __init__(self, name: str, url: str, settings: Path) -> None:
        self._options = ("--db", url, "--node", name, "--settings", str(settings))
        self.name = name
        self.port = 0
        self.manage = ""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it; it is killed at the end."""
        options = ("--port", "0", "--manage", "tcp://127.0.0.1:0", "--drain", "0.5")
        with started("nova", "platform", *self._options, *options) as self.program:
            yield
            self.port = 0

    async def ready(self) -> None:
        """Wait until it listens."""
        url = await anyio.to_thread.run_sync(listening, self.program)
        self.manage = await anyio.to_thread.run_sync(listening, self.program)
        self.port = int(url.rpartition(":")[2])


class Balancer:
    """Takes connections of devices to nodes in turn; one that is away is left out.

    Args:
        nodes: which.
    """

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
            anyio.create_task_group() as tasks,
        ):
            self.port = listener.extra(anyio.abc.SocketAttribute.local_port)
            tasks.start_soon(listener.serve, self._serve)
            yield
            tasks.cancel_scope.cancel()

    async def _serve(self, near: ByteStream) -> None:
        async with near:
            for node in random.sample(self._nodes, len(self._nodes)):
                with suppress(OSError):
                    if node.port:
                        async with (
                            await anyio.connect_tcp("127.0.0.1", node.port) as far,
                            anyio.create_task_group() as tasks,
                        ):
                            tasks.start_soon(_pump, near, far, tasks.cancel_scope)
                            tasks.start_soon(_pump, far, near, tasks.cancel_scope)
                        return


async def _pump(near: ByteStream, far: ByteStream, scope: anyio.CancelScope) -> None:
    with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        async for data in near:
            await far.send(data)
    scope.cancel()


class Fleet:
    """Devices that report and obey, and somebody who commands them.

    Args:
        ids: of the devices.
        nodes: to ask.

    Attributes:
        executed: how often each command was.
        reports: that each device has made.
        outcomes: of commands, as far as their sender was told.
    """

    def __init__(self, ids: list[str], nodes: list[Node]) -> None:
        self._ids = ids
        self._nodes = nodes
        self._is_over = False
        self._numbers = 0
        self.devices: list[NovaDevice] = []
        self.executed = Counter[int]()
        self.reports = Counter[str]()
        self.outcomes = Counter[str]()

    @asynccontextmanager
    async def running(self, port: int) -> AsyncIterator[None]:
        """Have all connected and at work."""
        async with AsyncExitStack() as stack:
            for id in self._ids:
                device = NovaDevice(
                    "127.0.0.1", port, device_id=id, device_key=_KEY, settings=_SETTINGS
                )
                device.dispatcher.method("light")(self._execute)
                self.devices.append(await stack.enter_async_context(device))
            tasks = await stack.enter_async_context(anyio.create_task_group())
            for id, device in zip(self._ids, self.devices, strict=True):
                tasks.start_soon(self._report, id, device)
            for _ in range(4):
                tasks.start_soon(self._command)
            yield
            tasks.cancel_scope.cancel()

    async def finish(self, postgres: Postgres) -> None:
        """Make no more reports and commands, and wait until all of them are through."""
        self._is_over = True
        await self.all(lambda device: device.is_connected and device.outbox.rows == 0)
        open_ones = "SELECT count(*) FROM novacloud.commands WHERE finished IS NULL"
        with anyio.fail_after(_SECONDS):
            while await anyio.to_thread.run_sync(postgres.sql, open_ones) != "0":  # noqa: ASYNC110
                await anyio.sleep(0.1)

    async def all(self, check: Any) -> None:
        """Wait until something is true of each device."""
        with anyio.fail_after(_SECONDS):
            while not all(check(device) for device in self.devices):  # noqa: ASYNC110
                await anyio.sleep(0.05)

    async def _execute(self, number: int) -> int:
        self.executed[number] += 1
        return number

    async def _report(self, id: str, device: NovaDevice) -> None:
        while not self._is_over:
            await device.report({"n": self.reports[id]}, timestamp=self.reports[id])
            self.reports[id] += 1
            await anyio.sleep(0.1)

    async def _command(self) -> None:
        while not self._is_over:
            node = random.choice(self._nodes)
            with suppress(JsonRpcIotError, OSError), anyio.move_on_after(1.0):
                async with connect(node.manage) as client:
                    while not self._is_over:
                        await self._send(client)
            await anyio.sleep(0.05)

    async def _send(self, client: Client) -> None:
        self._numbers += 1
        command = {"light": self._numbers}
        id = random.choice(self._ids)
        params = {"device_id": id, "payload": command, "expires": 300, "timeout": 0.3}
        outcome = await client.call("command.send", params, timeout=3)
        self.outcomes[outcome["status"]] += 1


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    server = new_postgres()
    yield server
    server.stop()


async def _prepare(url: str) -> list[str]:
    """Devices, each with a sensor and an actuator."""
    async with PostgresStore(url) as store:
        ids = [str(uuid.uuid4()) for _ in range(_DEVICES)]
        for id in ids:
            await store.create_device(DeviceRow(device_id=id, name=id, key_hash=hash_key(_KEY)))
            await store.define_sensor(id, "n", "number")
            await store.define_actuator(id, "light", "number")
    return ids


async def _until_nodes(node: Node, count: int) -> None:
    """Wait until so many nodes live; the database may be away meanwhile."""
    with anyio.fail_after(_SECONDS):
        async with connect(node.manage) as client:
            while True:
                with suppress(RpcError):
                    if len(await client.call("platform.nodes")) == count:
                        return
                await anyio.sleep(0.1)


def _restart(postgres: Postgres) -> None:
    """Kill the database, and start it again."""
    postgres.stop()
    postgres.start()


@pytest.mark.timeout(120)
async def test_whatever_dies_nothing_is_lost_or_done_twice(
    tmp_path: Path, postgres: Postgres
) -> None:
    url = postgres.database_url()
    ids = await _prepare(url)
    settings = tmp_path / "settings.toml"
    settings.write_text("settle_seconds = 0\nflap_delay = 0\n")
    north, south, west = nodes = [Node(name, url, settings) for name in _NAMES]
    balancer, fleet = Balancer(nodes), Fleet(ids, nodes)
    async with balancer.running(), fleet.running(balancer.port):
        with south.running(), west.running():
            with north.running():
                for node in nodes:
                    await node.ready()
                await fleet.all(lambda device: device.is_connected)
                south.program.process.send_signal(signal.SIGSTOP)
            with north.running():  # the one before was killed, and has its name for some seconds
                await north.ready()
                await _until_nodes(west, 2)
                await anyio.to_thread.run_sync(_restart, postgres)
                south.program.process.send_signal(signal.SIGCONT)
                await _until_nodes(west, 3)
                await fleet.finish(postgres)
                executed, reports = fleet.executed, fleet.reports
                for node in nodes:
                    node.program.process.terminate()
                for node in nodes:
                    assert (await anyio.to_thread.run_sync(node.program.finish)).code == 0
    assert set(executed.values()) == {1}
    sent = int(postgres.sql("SELECT count(*) FROM novacloud.commands"))
    done = int(postgres.sql("SELECT count(*) FROM novacloud.commands WHERE status = 'SUCCESS'"))
    assert len(executed) == sent == done > len(ids)
    assert fleet.outcomes.keys() <= {"SUCCESS", "QUEUED", "SENT", "PENDING"}
    stored = postgres.sql(
        "SELECT device_id, count(*), count(DISTINCT whole), max(whole) "
        "FROM novacloud.telemetry JOIN novacloud.sensors ON id = sensor GROUP BY device_id"
    )
    assert {line.split("|")[0]: line.split("|")[1:] for line in stored.splitlines()} == {
        id: [str(count), str(count), str(count - 1)] for id, count in reports.items()
    }
