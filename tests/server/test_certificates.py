"""Who a client certificate proves, and certificates that are replaced while a server runs."""

import shutil
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import Client, TransportError, Unauthorized, connect, serve
from tests.transports.certificates import Certificates
from tests.waiting import SECONDS

from .test_principals import Keys, keys, lamp

__all__ = ["keys"]

pytestmark = pytest.mark.anyio

WEB = pytest.mark.only_on("asyncio")
URLS = [
    "tls://127.0.0.1:0",
    pytest.param("https://127.0.0.1:0/rpc", marks=WEB),
    pytest.param("wss://127.0.0.1:0/rpc", marks=WEB),
]
KEYRING = '[certificates."gateway.example"]\npermissions = ["switch"]\n'


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("name", ["gateway", "nameless"])
async def test_a_certificate_proves_who_has_it(
    url: str, name: str, keys: Keys, certificates: Certificates
) -> None:
    keys.write(KEYRING)
    keys.keyring.refresh(force=True)
    theirs = f"?ca={certificates.ca}&cert={certificates.server}"
    ours = f"?ca={certificates.ca}&cert={getattr(certificates, name)}"
    async with (
        serve(lamp(), url + theirs, keyring=keys.keyring) as server,
        connect(server.urls[0] + ours) as client,
    ):
        assert await client.call("who") == ["gateway.example", "certificate"]
        assert await client.call("switch") == "switched"


@pytest.mark.parametrize("url", URLS)
async def test_a_certificate_that_the_keyring_does_not_name_is_a_strangers(
    url: str, keys: Keys, certificates: Certificates
) -> None:
    theirs = f"?ca={certificates.ca}&cert={certificates.server}"
    ours = f"?ca={certificates.ca}&cert={certificates.client}"
    async with (
        serve(lamp(), url + theirs, keyring=keys.keyring) as server,
        connect(server.urls[0] + ours) as client,
    ):
        assert await client.call("who") is None
        with pytest.raises(Unauthorized):
            await client.call("switch")


async def may_connect(url: str) -> bool:
    try:
        async with connect(url) as client:
            return bool(await client.call("rpc.ping"))
    except TransportError:
        return False


async def asks(client: Client) -> bool:
    return bool(await client.call("look") == "seen")


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("by", ["time", "reload"])
async def test_a_certificate_is_replaced_while_the_server_runs(
    url: str, by: str, certificates: Certificates, tmp_path: Path
) -> None:
    chain = tmp_path / "chain.pem"
    shutil.copy(certificates.server, chain)
    async with serve(lamp(), f"{url}?cert={chain}") as server:
        old, new = (
            f"{server.urls[0]}?ca={ca}" for ca in (certificates.ca, certificates.strange_ca)
        )
        assert not await may_connect(new)
        async with connect(old) as client:
            assert await asks(client)
            shutil.copy(certificates.strange_server, chain)
            if by == "reload":
                server.reload()
            with anyio.fail_after(SECONDS):
                while not await may_connect(new):  # noqa: ASYNC110  # no event tells
                    await anyio.sleep(0.05)
            assert await asks(client)
        assert not await may_connect(old)


@pytest.mark.parametrize("url", URLS)
async def test_certificates_that_make_no_sense_change_nothing(
    url: str, certificates: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chain = tmp_path / "chain.pem"
    shutil.copy(certificates.server, chain)
    async with serve(lamp(), f"{url}?cert={chain}&key={certificates.server}") as server:
        shutil.copy(certificates.strange_server, chain)
        server.reload()
        server.reload()
        assert await may_connect(f"{server.urls[0]}?ca={certificates.ca}")
    assert caplog.text.count("certificates stay as they were") == 1
    caplog.clear()


@pytest.mark.parametrize("url", URLS)
async def test_authorities_are_replaced_too(
    url: str, certificates: Certificates, tmp_path: Path
) -> None:
    authorities = tmp_path / "ca.pem"
    shutil.copy(certificates.ca, authorities)
    async with serve(lamp(), f"{url}?cert={certificates.server}&ca={authorities}") as server:
        ours = f"{server.urls[0]}?ca={certificates.ca}&cert="
        assert await may_connect(ours + certificates.gateway)
        shutil.copy(certificates.strange_ca, authorities)
        server.reload()
        assert not await may_connect(ours + certificates.gateway)
        assert await may_connect(ours + certificates.strange_client)
