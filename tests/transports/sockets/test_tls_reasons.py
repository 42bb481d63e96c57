"""What a client is told whose TLS connection is refused: the cause, in words, on each transport."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
import trustme

from jsonrpc_iot import ConnectFailed, Dispatcher, connect, serve
from tests.transports.web.websocket_frames import needs_asyncio
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio

SCHEMES = ("tls", "https", "wss")


def url_of(scheme: str, options: str) -> str:
    return f"{scheme}://127.0.0.1:0{'' if scheme == 'tls' else '/rpc'}?{options}"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("name", "days", "knows", "text"),
    [
        ("lamp.example", 1, True, "not valid for '127.0.0.1'; connect by a name that is in it"),
        ("127.0.0.1", -1, True, "expired; or the clock of this machine is wrong"),
        (
            "127.0.0.1",
            1,
            False,
            r"certificate.*; if that is in order, name the authority",
        ),
    ],
    ids=["name", "expired", "authority"],
)
@needs_asyncio
async def test_the_cause(
    scheme: str, name: str, days: int, knows: bool, text: str, tmp_path: Path
) -> None:
    ours, strange = trustme.CA(), trustme.CA()
    end = datetime.now(UTC) + timedelta(days=days)
    certificate = ours.issue_cert(name, not_before=end - timedelta(days=9), not_after=end)
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    (ours if knows else strange).cert_pem.write_to_path(tmp_path / "ca.pem")
    async with serve(Dispatcher(), url_of(scheme, f"cert={tmp_path}/server.pem")) as server:
        with anyio.fail_after(SECONDS), pytest.raises(ConnectFailed, match=text):
            async with connect(f"{server.urls[0]}?ca={tmp_path}/ca.pem"):
                pass


@pytest.mark.parametrize("scheme", SCHEMES[1:])
@needs_asyncio
async def test_a_certificate_that_is_wanted(scheme: str, tmp_path: Path) -> None:
    ours = trustme.CA()
    certificate = ours.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    ours.cert_pem.write_to_path(tmp_path / "ca.pem")
    options = f"cert={tmp_path}/server.pem&ca={tmp_path}/ca.pem"
    async with serve(Dispatcher(), url_of(scheme, options)) as server:
        with (
            anyio.fail_after(SECONDS),
            pytest.raises(ConnectFailed, match=r"give one with \?cert="),
        ):
            async with connect(f"{server.urls[0]}?ca={tmp_path}/ca.pem"):
                pass
