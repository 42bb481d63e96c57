"""Devices that prove who they are by a certificate."""

import datetime as dt
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from jsonrpc_iot.cli._nova_files import PlatformFiles
from jsonrpc_iot.novacloud import NovaDevice, NovaPlatform, SqliteStore
from tests.novacloud.rig import GONE, Device, Rig, running
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio

OURS, STRANGE = trustme.CA(), trustme.CA()
ALSO = "lamp@example.org"  # Python 3.13 refuses an empty list of alternative names


def server_files(folder: Path, more: bytes = b"") -> PlatformFiles:
    """What `--cert` and `--ca` have the platform do."""
    cert, ca = folder / "cert.pem", folder / "ca.pem"
    OURS.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(cert))
    ca.write_bytes(OURS.cert_pem.bytes() + more)
    return PlatformFiles(cert=cert, ca=ca)


@asynccontextmanager
async def proving(folder: Path, more: bytes = b"") -> AsyncIterator[Rig]:
    """A platform whose devices need certificates."""
    tls = server_files(folder, more).tls()
    async with running(folder, tls=tls, certificates=True) as rig:
        yield rig


@asynccontextmanager
async def link(
    rig: Rig, info: dict[str, str], leaf: trustme.LeafCert | None
) -> AsyncIterator[Device]:
    """A connection with a certificate, whose handshake the client takes for done."""
    context = ssl.create_default_context()
    OURS.configure_trust(context)
    if leaf is not None:
        leaf.configure_cert(context)
    async with await anyio.connect_tcp(
        "127.0.0.1", rig.platform.port, ssl_context=context, tls_standard_compatible=False
    ) as stream:
        yield Device(stream, {"device_key": "", **info})  # as far as it is used, they are alike


async def answer(
    rig: Rig, info: dict[str, str], leaf: trustme.LeafCert | None, **payload: object
) -> dict[str, Any]:
    """What a device is told that sends only its id."""
    async with link(rig, info, leaf) as device:
        payload = {"device_id": info["device_id"], **payload}
        await device.send({"type": "auth", "payload": payload})
        answer: dict[str, Any] = (await device.receive())["payload"]
        return answer


def leaf(info: dict[str, str], authority: trustme.CA = OURS, **more: Any) -> trustme.LeafCert:
    return authority.issue_cert(ALSO, common_name=info["device_id"], **more)


async def test_a_certificate_takes_the_place_of_the_key(tmp_path: Path) -> None:
    async with proving(tmp_path) as rig:
        info = await rig.create(t="number")
        for key in ({}, {"device_key": "wrong"}, {"device_key": info["device_key"]}):
            assert (await answer(rig, info, leaf(info), **key))["status"] == "success"
        upper = OURS.issue_cert(ALSO, common_name=info["device_id"].upper())
        assert (await answer(rig, info, upper))["status"] == "success"
        async with link(rig, info, leaf(info)) as device:
            await device.authenticate()
            await device.data(t=3)
            assert (await rig.push("telemetry"))["values"] == {"t": 3}


async def test_our_device_proves_itself_by_its_certificate(tmp_path: Path) -> None:
    async with proving(tmp_path) as rig:
        info = await rig.create(t="number")
        context = ssl.create_default_context()
        OURS.configure_trust(context)
        leaf(info).configure_cert(context)
        key = "any key, for none is looked at"
        async with NovaDevice(
            "127.0.0.1",
            rig.platform.port,
            device_id=info["device_id"],
            device_key=key,
            tls=context,
        ) as device:
            await device.report({"t": 9})
            assert (await rig.push("telemetry"))["values"] == {"t": 9}


async def test_who_proves_nothing_learns_why(tmp_path: Path) -> None:
    async with proving(tmp_path) as rig:
        info, other = await rig.create(), await rig.create("other")
        two = OURS.issue_cert("a.example", common_name=None)
        refused = {
            "no certificate": (await answer(rig, info, None))["message"],
            f"for '{other['device_id']}'": (await answer(rig, info, leaf(other)))["message"],
            "one subject name": (await answer(rig, info, two))["message"],
        }
        for part, message in refused.items():
            assert part in message
        key = {"device_key": info["device_key"]}
        assert (await answer(rig, info, None, **key))["status"] == "error"
        told = (await rig.call("device.get", device_id=info["device_id"]))["refused"]
        assert told["address"] == "127.0.0.1"
        assert "no certificate" in told["reason"]
        stranger = {"device_id": "0b6f8f2e-5e0c-4d8e-9f6a-2f4c8d1f7a11"}
        assert (await answer(rig, stranger, leaf(stranger)))["message"] == "unknown device"
        named = {"device_id": "lamp"}
        assert (await answer(rig, named, leaf(named)))["status"] == "error"
        assert (await rig.stats())["failed_auths"] == 6
        assert (await rig.call("device.get", device_id=info["device_id"]))["counts"][
            "failed_auths"
        ] == 4


async def test_a_disabled_device_stays_out(tmp_path: Path) -> None:
    async with proving(tmp_path) as rig:
        info = await rig.create()
        await rig.call("device.update", device_id=info["device_id"], enabled=False)
        assert (await answer(rig, info, leaf(info)))["message"] == "the device is disabled"


async def refusal(rig: Rig, info: dict[str, str], leaf: trustme.LeafCert | None) -> str:
    """Why the platform ends a connection in its handshake."""
    with pytest.raises((*GONE, ssl.SSLError)):
        await answer(rig, info, leaf)
    await rig.until_stat("failed_auths")
    refused = (await rig.stats())["refused"]
    assert refused["address"] == "127.0.0.1"
    return str(refused["reason"])


@pytest.mark.parametrize("kind", ["strange", "expired", "revoked"])
async def test_a_bad_certificate_is_refused_and_noted(tmp_path: Path, kind: str) -> None:
    past = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
    info = {"device_id": "0b6f8f2e-5e0c-4d8e-9f6a-2f4c8d1f7a11"}
    bad = {
        "strange": leaf(info, STRANGE),
        "expired": leaf(info, not_before=past, not_after=past + dt.timedelta(days=1)),
        "revoked": leaf(info),
    }[kind]
    more = revoking(bad) if kind == "revoked" else b""
    async with proving(tmp_path, more) as rig:
        reason = await refusal(rig, info, bad)
        assert reason.startswith("its certificate is refused: ")
        assert {"strange": "authority", "expired": "expired", "revoked": "revoked"}[kind] in (
            reason.replace("local issuer", "authority").replace("self-signed", "authority")
        )
        good = await rig.create()
        assert (await answer(rig, good, leaf(good)))["status"] == "success"


async def test_a_program_may_demand_a_certificate(tmp_path: Path) -> None:
    tls = server_files(tmp_path).tls()
    assert tls is not None
    tls.verify_mode = ssl.CERT_REQUIRED
    async with running(tmp_path, tls=tls, certificates=True) as rig:
        info = await rig.create()
        assert await refusal(rig, info, None) == "it has no certificate"
        assert (await answer(rig, info, leaf(info)))["status"] == "success"


async def test_no_tls_is_no_handshake(tmp_path: Path) -> None:
    async with proving(tmp_path) as rig:
        info = await rig.create()
        async with rig.link(info) as device:
            await device.send({"type": "auth", "payload": {}})
            await device.wait_closed()
        assert "handshake" in (await rig.stats())["refused"]["reason"]


async def test_without_certificates_a_key_is_needed(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        info = await rig.create()
        async with rig.link(info) as device:
            payload = {"device_id": info["device_id"]}
            await device.send({"type": "auth", "payload": payload})
            assert (await device.receive())["payload"] == {
                "status": "error",
                "message": "unknown device or wrong key",
            }


def test_a_context_that_asks_for_no_certificate_proves_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "nova.db")
    for tls in (None, ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)):
        with pytest.raises(ValueError, match="asks"):
            NovaPlatform(store, tls=tls, certificates=True)


async def test_other_authorities_hold_from_the_next_connection_on(tmp_path: Path) -> None:
    async with proving(tmp_path) as rig:
        info = await rig.create()
        async with link(rig, info, leaf(info)) as device:
            assert (await device.authenticate())["status"] == "success"
            (tmp_path / "ca.pem").write_bytes(STRANGE.cert_pem.bytes())
            files = PlatformFiles(cert=tmp_path / "cert.pem", ca=tmp_path / "ca.pem")
            files.read_again(rig.platform)
            await refusal(rig, info, leaf(info))
            assert (await answer(rig, info, leaf(info, STRANGE)))["status"] == "success"
            with anyio.fail_after(SECONDS):
                await device.wait_closed()  # replaced by the newer one


def revoking(bad: trustme.LeafCert) -> bytes:
    """A list of our authority's on which one certificate stands, in PEM."""
    now = dt.datetime.now(dt.UTC)
    number = x509.load_pem_x509_certificate(bad.cert_chain_pems[0].bytes()).serial_number
    revoked = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now).build()
    crl = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(OURS._certificate.subject)
        .last_update(now - dt.timedelta(days=1))
        .next_update(now + dt.timedelta(days=1))
        .add_revoked_certificate(revoked)
        .sign(OURS._private_key, hashes.SHA256())
    )
    from cryptography.hazmat.primitives.serialization import Encoding

    return crl.public_bytes(Encoding.PEM)
