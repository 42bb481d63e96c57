"""Improv on a virtual radio: our client, and bumble's GATT server with our characteristics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest
from bumble.core import UUID, AdvertisingData
from bumble.device import Connection, Device
from bumble.gatt import Characteristic, CharacteristicValue, Service

from jsonrpc_iot import BindFailed, CallTimeout, ConnectFailed, InvalidUrl, Url
from jsonrpc_iot.protocol.improv import ble
from jsonrpc_iot.services.improv import (
    DeviceInfo,
    ErrorState,
    Improv,
    ImprovError,
    State,
    open_client,
)
from jsonrpc_iot.services.improv.characteristics import Characteristics
from jsonrpc_iot.testing import VirtualRadio, virtual_radio
from jsonrpc_iot.transports.gatt._options import SMALLEST_MTU
from jsonrpc_iot.transports.gatt.bumble import backend
from jsonrpc_iot.transports.gatt.bumble.radio import open_radio
from tests.cli.program import run
from tests.services._wifi import HOME, KEY, instant
from tests.waiting import SECONDS

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]

INFO = DeviceInfo("lamp-firmware", "1.4.0", "ESP32-C3", "Lamp")
URLS = ["http://192.0.2.7/"]
NOTIFIED = (ble.STATE, ble.ERROR, ble.RESULT)


@asynccontextmanager
async def device(
    radio: VirtualRadio, *, wants_button: bool = False
) -> AsyncIterator[Characteristics]:
    """A device called lamp that advertises Improv."""
    url = Url.parse(radio.url("lamp"))
    async with (
        Improv(instant(), INFO, lambda: URLS) as improv,
        open_radio(url, "lamp", "", BindFailed) as adapter,
        anyio.create_task_group() as tasks,
    ):

        def publish(uuid: str, value: bytes, _: object) -> None:
            tasks.start_soon(adapter.notify_subscribers, by_uuid[uuid], value)

        on = Characteristics(improv, publish, wants_button=wants_button)
        stop = on.start(tasks)
        by_uuid = _serve(adapter, on)
        await adapter.start_advertising(
            advertising_data=bytes(
                AdvertisingData(
                    [
                        (
                            AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS,
                            UUID(ble.SERVICE).to_bytes(),
                        ),
                        (AdvertisingData.SHORTENED_LOCAL_NAME, b"lamp"),
                    ]
                )
            ),
            auto_restart=True,
            advertising_interval_min=20,
            advertising_interval_max=20,
        )
        yield on
        stop()
        tasks.cancel_scope.cancel()


def _serve(adapter: Device, on: Characteristics) -> dict[str, Characteristic[bytes]]:
    """Have the adapter serve the characteristics."""
    properties = Characteristic.Properties
    by_uuid: dict[str, Characteristic[bytes]] = {}
    for uuid in (*NOTIFIED, ble.CAPABILITIES):

        def read(_: Connection, uuid: str = uuid) -> bytes:
            return on.read(uuid)

        by_uuid[uuid] = Characteristic(
            uuid,
            properties.READ | (properties.NOTIFY if uuid in NOTIFIED else properties(0)),
            Characteristic.Permissions.READABLE,
            CharacteristicValue(read=read),
        )
    by_uuid[ble.CALL] = Characteristic(
        ble.CALL,
        properties.WRITE,
        Characteristic.Permissions.WRITEABLE,
        CharacteristicValue(write=lambda connection, value: on.write(connection, bytes(value))),
    )
    adapter.add_service(Service(ble.SERVICE, list(by_uuid.values())))
    return by_uuid


async def test_a_device_is_set_up() -> None:
    shown: list[bytes] = []
    with anyio.fail_after(SECONDS):
        async with virtual_radio() as radio, device(radio):
            link = open_client(radio.url("lamp"), lambda _, message: shown.append(message))
            async with link as client:
                assert await client.find() == (State.AUTHORIZED, [])
                assert await client.info() == INFO
                names = [each.ssid for each in await client.scan()]
                assert {"home-network-2g", "coffee-corner"} <= set(names)
                with pytest.raises(ImprovError, match="Unable to connect"):
                    await client.provision(HOME, "not the right key")
                assert await client.provision(HOME, KEY) == URLS
                assert await client.find() == (State.PROVISIONED, URLS)
    assert HOME.encode() in b"".join(shown)
    assert KEY.encode() not in b"".join(shown)


async def test_a_result_that_is_too_long_to_be_notified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "backend_on", partial(backend.backend_on, mtu=SMALLEST_MTU))
    with anyio.fail_after(SECONDS):
        async with (
            virtual_radio() as radio,
            device(radio),
            open_client(radio.url("lamp")) as client,
        ):
            assert await client.info() == INFO
            assert len(await client.scan()) > 3
            assert await client.provision(HOME, KEY) == URLS


async def test_a_button_has_to_be_pressed() -> None:
    with anyio.fail_after(SECONDS):
        async with (
            virtual_radio() as radio,
            device(radio, wants_button=True) as on,
            open_client(radio.url("lamp")) as client,
        ):
            assert await client.find() == (State.AUTHORIZATION_REQUIRED, [])
            with pytest.raises(ImprovError) as refused:
                await client.provision(HOME, KEY)
            assert refused.value.code == ErrorState.NOT_AUTHORIZED
            with pytest.raises(CallTimeout, match="button"):
                await client.authorized(0.01)
            on.authorize()
            await client.authorized()
            assert await client.provision(HOME, KEY) == URLS


async def test_the_program_sets_a_device_up() -> None:
    with anyio.fail_after(SECONDS):
        async with virtual_radio() as radio, device(radio):
            arguments = ("provision", radio.url("lamp"), "--ssid", HOME, "--psk-stdin")
            done = await anyio.to_thread.run_sync(partial(run, *arguments, stdin=KEY.encode()))
    assert done == (0, f"{URLS[0]}\n", "")


async def test_a_device_that_is_not_there() -> None:
    async with virtual_radio() as radio:
        with anyio.fail_after(0.3), pytest.raises(ConnectFailed, match="no such device"):
            async with open_client(radio.url("lamp")):
                pass
    with pytest.raises(InvalidUrl, match="say which device"):
        async with open_client("gatt://"):
            pass
