"""Who may manage a platform: permissions, strangers, and what is warned of."""

import logging
from pathlib import Path

import pytest

from jsonrpc_iot import Channel, Unauthorized, asgi_app, connect, serve
from jsonrpc_iot.novacloud import NovaPlatform, SqliteStore, management

pytestmark = pytest.mark.anyio

READ = {
    "actuator.list",
    "command.get",
    "command.list",
    "device.get",
    "device.list",
    "device.page",
    "events.subscribe",
    "events.unsubscribe",
    "job.get",
    "job.page",
    "platform.health",
    "platform.nodes",
    "platform.ignored_page",
    "platform.refused_page",
    "platform.stats",
    "retention.list",
    "sensor.list",
    "status.history",
    "status.latest",
    "telemetry.latest",
    "telemetry.latest_all",
    "telemetry.page",
    "telemetry.query",
}
COMMAND = READ | {
    "command.broadcast",
    "command.cancel",
    "command.send",
    "device.call",
    "platform.message",
}
ADMIN = COMMAND | {
    "actuator.define",
    "actuator.delete",
    "audit.page",
    "device.create",
    "device.delete",
    "device.rotate_key",
    "device.update",
    "platform.backup",
    "retention.clear",
    "retention.set",
    "sensor.define",
    "sensor.delete",
    "sensor.update",
    "telemetry.delete",
}


@pytest.fixture
def platform(tmp_path: Path) -> NovaPlatform:
    return NovaPlatform(SqliteStore(tmp_path / "nova.db"), port=0)


@pytest.mark.parametrize(
    ("permissions", "methods"),
    [
        (None, set[str]()),
        ([], set()),
        (["nova:read"], READ),
        (["nova:command"], COMMAND),
        (["nova:admin"], ADMIN),
        (["*"], ADMIN),
    ],
)
async def test_a_permission_includes_those_below_it(
    platform: NovaPlatform, permissions: list[str] | None, methods: set[str]
) -> None:
    def judge(channel: Channel) -> list[str] | None:
        return permissions

    dispatcher = management(platform)
    async with (
        platform,
        serve(dispatcher, "memory://nova", authenticate=judge) as server,
        connect(server.urls[0]) as client,
        client.notifications() as news,
    ):
        found = await client.call("rpc.methods", result=list[str])
        assert {each for each in found if not each.startswith("rpc.")} == methods
        described = (await client.call("rpc.discover")).get("x-notifications", [])
        assert bool([e for e in described if e["name"] == "telemetry"]) is bool(methods)
        if permissions is None:
            with pytest.raises(Unauthorized):
                await client.call("device.create", {"name": "mine"})
            assert server.broadcast("last") == 0
            return
        dispatcher.emit("device.online", {"device_id": "a"})
        dispatcher.emit("last")
        heard = [(await news.receive()).method]
        heard += [] if heard == ["last"] else [(await news.receive()).method]
        assert ("device.online" in heard) is bool(methods)


@pytest.mark.parametrize(
    ("url", "is_warned"),
    [
        ("memory://nova", False),
        ("unix://{folder}/nova.sock", False),
        ("tcp://127.0.0.1:0", True),
        ("udp://127.0.0.1:0", True),
    ],
)
async def test_without_a_keyring_pipes_alone_manage_without_a_warning(
    platform: NovaPlatform,
    url: str,
    is_warned: bool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        async with (
            platform,
            serve(management(platform), url.format(folder=tmp_path)) as server,
            connect(server.urls[0]) as client,
        ):
            assert await client.call("device.list") == []
    assert ("whoever reaches it may do everything" in caplog.text) is is_warned


async def test_who_has_a_key_of_the_url_is_the_only_one_to_manage(
    platform: NovaPlatform, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOVA_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    async with (
        platform,
        serve(management(platform), "tcp://127.0.0.1:0?psk=env:NOVA_KEY") as server,
        connect(server.urls[0].partition("?")[0]) as client,
        connect(server.urls[0]) as known,
    ):
        assert await known.call("device.list") == []
        with pytest.raises(Unauthorized):
            await client.call("device.list")
    assert "may do everything" not in caplog.text


async def test_an_application_is_managed_likewise(platform: NovaPlatform) -> None:
    import httpx2

    async with platform:
        for app, status in (
            (asgi_app(management(platform)), 200),
            (asgi_app(management(platform), authenticate=lambda channel: None), 401),
        ):
            transport = httpx2.ASGITransport(app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://nova") as http:
                answer = await http.post("/rpc/device.list", json={})
                assert answer.status_code == status
