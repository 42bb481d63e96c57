"""Which bus a URL names, and what of it may be seen."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from jsonrpc_iot import MissingExtra, UsageError
from jsonrpc_iot.novacloud.bus.addresses import NatsAddress
from jsonrpc_iot.novacloud.bus.choice import bus_from
from jsonrpc_iot.novacloud.bus.local import LocalBus
from jsonrpc_iot.novacloud.bus.nats import NatsBus
from jsonrpc_iot.novacloud.bus.postgres import PostgresBus
from tests.brokers import Broker
from tests.novacloud import servers

from .carriers import take

pytestmark = pytest.mark.anyio

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "database", "kind", "address"),
    [
        (None, "nova.db", LocalBus, "local"),
        (None, "postgresql://u:hunter2@db/nova", PostgresBus, "postgresql://db/nova"),
        (None, "postgres://db:5433/nova", PostgresBus, "postgres://db:5433/nova"),
        ("postgresql://u:p@a:1,b/bus", "x", PostgresBus, "postgresql://a:1,b/bus"),
        ("postgresql://[::1]:5/bus", "x", PostgresBus, "postgresql://[::1]:5/bus"),
        ("postgresql:///bus?host=/run", "x", PostgresBus, "postgresql:///bus"),
        ("postgresql://u@db/bus?password=hunter2", "x", PostgresBus, "postgresql://db/bus"),
        ("nats://u:hunter2@a,b:4333", "x", NatsBus, "nats://a:4222,b:4333/novacloud"),
        ("nats://hunter2@a,nats://b/home.2", "x", NatsBus, "nats://a:4222,b:4222/home.2"),
        ("tls://[fd00::1]:4333,b", "x", NatsBus, "tls://[fd00::1]:4333,b:4222/novacloud"),
    ],
)
def test_a_url_names_a_bus(url: str | None, database: str, kind: type, address: str) -> None:
    bus = bus_from(url, database)

    assert type(bus) is kind
    assert bus.address == bus.health().address == address


@pytest.mark.parametrize(
    ("url", "cure"),
    [
        ("mqtt://host", "nats://…, tls://… (NATS over TLS) or postgresql://…"),
        ("host:4222", "nats://…, tls://… (NATS over TLS) or postgresql://…"),
        ("nats://u:hunter2/x@host", "written as in %2F"),
        ("nats://u:hunter2@", "written as in %2F"),
        ("nats://u:hunter2@host:port", "written as in %2F"),
        ("nats://u:hunter2@a,,b", "written as in %2F"),
        ("nats://u:hunter2@[host", "written as in %2F"),
        ("nats://", "written as in %2F"),
        ("nats://host/a b", "cannot begin subjects"),
        ("nats://host/a.>", "cannot begin subjects"),
        ("nats://hunter2@host?nkey=x", "one option"),
        ("nats://host?ca=file", "with tls://"),
        ("nats://u:123/hunter2@host", "cannot begin subjects"),
        ("postgresql://u:hunter2/x@host/db", "written as in %2F"),
        ("postgresql://u:123/hunter2@host/db", "written as in %2F"),
        ("postgresql://u:hunter2#x@host/db", "written as in %2F"),
        ("postgresql://u:hunter2@[host/db", "written as in %2F"),
    ],
)
def test_a_wrong_url_is_refused_with_the_cure(url: str, cure: str) -> None:
    with pytest.raises(UsageError) as refused:
        bus_from(url, "nova.db")

    assert cure in str(refused.value)
    assert SECRET not in str(refused.value)


def test_servers_have_the_password_of_the_first_one() -> None:
    address = NatsAddress.parse("nats://u:p%40ss@a,b,other:word@c")

    assert [(each.user, each.password) for each in address.servers] == [
        ("u", "p@ss"),
        ("u", "p@ss"),
        ("other", "word"),
    ]
    assert address.secrets == {"p@ss", "word"}


@pytest.mark.parametrize(
    ("url", "package"), [("nats://host", "nats"), ("postgresql://host", "asyncpg")]
)
def test_without_its_package_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, url: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(MissingExtra, match="pip install 'jsonrpc-iot"):
        bus_from(url, "nova.db")


@pytest.mark.only_on("trio")
@pytest.mark.parametrize("url", ["nats://127.0.0.1:9", "postgresql://127.0.0.1:9/x"])
async def test_on_trio_it_says_that_it_needs_asyncio(url: str) -> None:
    with pytest.raises(UsageError, match="on asyncio, not on trio"):
        async with bus_from(url, "nova.db"):
            pass


# Servers that want to know who comes


@pytest.fixture(scope="module", params=["password", "token"])
def guarded(request: pytest.FixtureRequest) -> Iterator[tuple[Broker, str]]:
    """A server, and what a URL of it has before the host."""
    if request.param == "password":
        text, proof = (
            f'authorization {{{{ user: "lamp", password: "{SECRET}" }}}}',
            f"lamp:{SECRET}",
        )
    else:
        text, proof = f'authorization {{{{ token: "{SECRET}" }}}}', SECRET
    server = servers.new_nats(text)
    yield server, proof
    server.stop()


@pytest.mark.only_on("asyncio")
async def test_nats_lets_in_who_proves_it(guarded: tuple[Broker, str]) -> None:
    server, proof = guarded
    # The first server is away.
    url = f"nats://{proof}@127.0.0.1:9,{server.host}"
    async with bus_from(url, "x") as here, bus_from(url, "x") as there:
        async with there.subscribe("a") as heard:
            here.publish("a")
            await take(heard, 1)
        assert here.health().bus == "ok"


@pytest.mark.only_on("asyncio")
async def test_wrong_passwords_are_named_and_not_shown(
    guarded: tuple[Broker, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server, proof = guarded
    async with bus_from(f"nats://{proof}wrong@{server.host}", "x") as bus:
        assert "Authorization Violation" in bus.health().bus
        shown = repr(bus.health())
    assert SECRET not in shown + caplog.text
    assert "Authorization Violation" in caplog.text


@pytest.mark.only_on("asyncio")
@pytest.mark.parametrize("host", ["none", "nobody.invalid", "127.0.0.1:9"])
async def test_servers_that_are_not_there_are_named(host: str) -> None:
    async with bus_from(f"nats://lamp:{SECRET}@{host}", "x") as bus:
        assert host in bus.health().bus
        assert SECRET not in bus.health().bus


@pytest.mark.only_on("asyncio")
async def test_a_database_that_is_not_there_is_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "jsonrpc_iot")
    host = servers.postgres().host
    async with bus_from(None, f"postgresql://postgres:{SECRET}@{host}/nosuch") as bus:
        assert 'database "nosuch" does not exist' in bus.health().bus
        shown = repr(bus.health())
    assert SECRET not in shown + caplog.text


# TLS


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Broker, Path]]:
    """A server with TLS, and the certificate of its authority."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        folder / "server.pem"
    )
    name = folder / "server.pem"
    server = servers.new_nats(f'tls {{{{ cert_file: "{name}", key_file: "{name}" }}}}')
    yield server, folder / "ca.pem"
    server.stop()


@pytest.mark.only_on("asyncio")
async def test_nats_over_tls(secure: tuple[Broker, Path]) -> None:
    server, ca = secure
    async with bus_from(f"tls://{server.host}?ca={ca}", "x") as bus:
        assert bus.health().bus == "ok"


@pytest.mark.only_on("asyncio")
async def test_a_certificate_of_nobody_is_refused(secure: tuple[Broker, Path]) -> None:
    server, _ = secure
    async with bus_from(f"tls://{server.host}", "x") as bus:
        assert "certificate verify failed" in bus.health().bus


@pytest.mark.only_on("asyncio")
async def test_no_password_goes_to_a_server_without_tls(guarded: tuple[Broker, str]) -> None:
    server, proof = guarded
    async with bus_from(f"tls://{proof}@{server.host}", "x") as bus:
        assert "does not ask for TLS" in bus.health().bus
