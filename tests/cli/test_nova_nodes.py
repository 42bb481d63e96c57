"""`nova platform` as one of several nodes."""

import json
import signal
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import UsageError
from jsonrpc_iot.cli._nova_record import record_and_bus
from jsonrpc_iot.novacloud.platform.admission import hash_key
from jsonrpc_iot.novacloud.store.postgres.store import PostgresStore
from jsonrpc_iot.novacloud.store.registry import DeviceRow
from tests.novacloud.store.postgres.databases import empty_database

from .program import Running, listening, run, started

KEY = "correct horse battery staple"


@pytest.fixture
def url() -> Iterator[str]:
    with empty_database() as url:
        yield url


@contextmanager
def node(url: str, name: str, folder: Path, *more: str) -> Iterator[tuple[Running, int, str]]:
    """A node; yields also its port and where it is managed."""
    manage = f"pipe://{name}?dir={folder}"
    options = ("--db", url, "--node", name, "--port", "0", "--manage", manage, *more)
    with started("nova", "platform", *options) as program:
        port = int(listening(program).rpartition(":")[2])
        assert listening(program).startswith("pipe://")
        yield program, port, manage


def test_a_name_that_is_taken(url: str, tmp_path: Path) -> None:
    with node(url, "north", tmp_path) as (program, _, manage):
        options = ("--db", url, "--node", "north", "--port", "0")
        done = run("nova", "platform", *options)
        assert done.code == 3
        assert done.complaint == (
            "jsonrpc-iot: --node: a node called 'north' is there already: "
            "give each node its own name"
        )
        [listed] = run("call", manage, "platform.nodes").result
        assert listed["node"] == "north"
        assert program.stop().code == 0


@pytest.mark.parametrize(
    ("db", "bus", "node", "complaint"),
    [
        ("nova.db", None, "north", "--node is for several nodes, which need --db postgresql://"),
        ("nova.db", "nats://127.0.0.1", None, "--bus is for several nodes"),
        ("mysql://127.0.0.1/nova", None, None, "--db: expected a file or postgresql://"),
        ("postgresql://127.0.0.1/nova", "amqp://127.0.0.1", None, "amqp:// is no bus"),
    ],
)
def test_options_that_do_not_fit(
    db: str, bus: str | None, node: str | None, complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        record_and_bus(db, bus, node)


def test_a_database_that_is_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"postgresql://127.0.0.1:{closed.getsockname()[1]}/nova"
    done = run("nova", "platform", "--db", url)
    assert done.code == 3
    assert done.complaint == f"jsonrpc-iot: --db: {url}: nobody answers there"


async def create(url: str, ids: list[str]) -> None:
    """Make devices."""
    async with PostgresStore(url) as store:
        for id in ids:
            await store.create_device(DeviceRow(device_id=id, name=id, key_hash=hash_key(KEY)))


def authenticated(port: int, device_id: str) -> socket.socket:
    """The connection of a device that is let in."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    payload = {"device_id": device_id, "device_key": KEY}
    connection.sendall(json.dumps({"type": "auth", "payload": payload}).encode() + b"\n")
    assert json.loads(connection.recv(1024))["payload"]["status"] == "success"
    return connection


def test_sigterm_lets_devices_go_a_few_at_a_time(url: str, tmp_path: Path) -> None:
    ids = [str(uuid.uuid4()) for _ in range(24)]  # of whom one goes every quarter of a second
    anyio.run(create, url, ids)
    with (
        node(url, "north", tmp_path, "--drain", "60") as (north, port, _),
        node(url, "south", tmp_path) as (south, _, _),
        ExitStack() as stack,
    ):
        devices = [stack.enter_context(authenticated(port, id)) for id in ids]
        north.process.send_signal(signal.SIGTERM)
        north.wait_for_error("jsonrpc-iot: letting devices go, 24 are left; a second signal")
        began = time.monotonic()
        assert devices[0].recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=10)
        assert north.stop().code == 0
        assert time.monotonic() - began < 5
        assert south.stop().code == 0  # nobody is left whom its devices could go to
