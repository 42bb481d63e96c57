"""Improv on a virtual radio: our client and our device."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest

from jsonrpc_iot import CallTimeout, ConnectFailed, InvalidUrl
from jsonrpc_iot.services.improv import (
    DeviceInfo,
    ErrorState,
    Improv,
    ImprovError,
    State,
    open_client,
    serve_bluetooth,
)
from jsonrpc_iot.services.wifi import SimulatedWifi
from jsonrpc_iot.testing import VirtualRadio, virtual_radio
from jsonrpc_iot.transports.gatt import _scan
from jsonrpc_iot.transports.gatt._options import SMALLEST_MTU
from jsonrpc_iot.transports.gatt.bumble import backend
from tests.cli.program import run
from tests.services._wifi import HOME, KEY, instant
from tests.waiting import SECONDS

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]

INFO = DeviceInfo("lamp-firmware", "1.4.0", "ESP32-C3", "Lamp")
URLS = ["http://192.0.2.7/"]


@asynccontextmanager
async def device(
    radio: VirtualRadio,
    *,
    wifi: SimulatedWifi | None = None,
    wants_button: bool = False,
    options: str = "",
) -> AsyncIterator[Improv]:
    """A device called lamp."""
    async with (
        Improv(wifi or instant(), INFO, lambda: URLS, wants_button=wants_button) as improv,
        anyio.create_task_group() as tasks,
    ):
        await tasks.start(serve_bluetooth, improv, radio.url("lamp") + options)
        yield improv
        tasks.cancel_scope.cancel()


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
            device(radio, wants_button=True) as improv,
            open_client(radio.url("lamp")) as client,
        ):
            assert await client.find() == (State.AUTHORIZATION_REQUIRED, [])
            with pytest.raises(ImprovError) as refused:
                await client.provision(HOME, KEY)
            assert refused.value.code == ErrorState.NOT_AUTHORIZED
            with pytest.raises(CallTimeout, match="button"):
                await client.authorized(0.01)
            improv.authorize()
            await client.authorized()
            assert await client.provision(HOME, KEY) == URLS


async def test_the_program_sets_a_device_up() -> None:
    with anyio.fail_after(SECONDS):
        async with virtual_radio() as radio, device(radio):
            arguments = ("provision", radio.url("lamp"), "--ssid", HOME, "--psk-stdin")
            done = await anyio.to_thread.run_sync(partial(run, *arguments, stdin=KEY.encode()))
    assert done == (0, f"{URLS[0]}\n", "")


async def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_scan, "_MARGIN_SECONDS", SECONDS - 0.1)
    async with virtual_radio() as radio:
        with anyio.fail_after(SECONDS), pytest.raises(ConnectFailed, match="no such device"):
            async with open_client(radio.url("lamp")):
                pass
    with pytest.raises(InvalidUrl, match="say which device"):
        async with open_client("gatt://"):
            pass
