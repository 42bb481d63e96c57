"""Devices that connect with TLS."""

import ssl
import uuid
from pathlib import Path

import anyio
import pytest
import trustme

from jsonrpc_iot import connect, serve
from jsonrpc_iot.novacloud import NovaPlatform, SqliteStore, management
from jsonrpc_iot.novacloud.messages import Auth, AuthPayload, Data, encode_line
from tests.novacloud.rig import NO_PAUSES, Device
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio


async def test_a_device_reports_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    url = f"memory://{uuid.uuid4()}"
    store = SqliteStore(tmp_path / "nova.db", durable=False)
    async with (
        NovaPlatform(store, port=0, tls=server, settings=NO_PAUSES) as platform,
        serve(management(platform), url),
        connect(url) as manager,
    ):
        info = await manager.call("device.create", {"name": "lamp"})
        id = info["device_id"]
        sensor = {"device_id": id, "value_key": "t", "type": "number"}
        await manager.call("sensor.define", sensor)
        async with await anyio.connect_tcp("127.0.0.1", platform.port) as plain:
            await plain.send(b'{"type":"auth","payload":{}}\n')
            await Device(plain, info).wait_closed()
        async with (
            manager.notifications() as news,
            await anyio.connect_tcp(
                "127.0.0.1", platform.port, ssl_context=client, tls_standard_compatible=False
            ) as stream,
        ):
            payload = AuthPayload(device_id=id, device_key=info["device_key"])
            await stream.send(encode_line(Auth(payload=payload)))
            with anyio.fail_after(SECONDS):
                assert b'"success"' in await stream.receive()
                await stream.send(encode_line(Data(payload={"t": 1}, timestamp=5)))
                async for each in news:
                    if each.method == "telemetry":
                        assert each.params["values"] == {"t": 1}
                        break
