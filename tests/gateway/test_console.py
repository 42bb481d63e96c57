"""The console of one device: what passes through it, and who may come in."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest

from jsonrpc_iot import DeviceOffline, Keyring, RpcError, connect, serve
from jsonrpc_iot.gateway import DeviceState
from jsonrpc_iot.gateway.console import console_of
from jsonrpc_iot.protocol.backoff import Backoff
from jsonrpc_iot.trust.keyring import bearer_token
from tests.asgi.conftest import Device
from tests.waiting import SECONDS, Tally, eventually

pytestmark = pytest.mark.anyio

SPENT = "This key is spent; start the console again for a new one"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop is enough: the ways to the device have tests on all."""
    return "asyncio"


@pytest.fixture
def device() -> Device:
    return Device()


class Console:
    """A console, as browsers use it.

    Args:
        address: that it prints.
        http: asks it.
    """

    def __init__(self, address: str, http: httpx2.AsyncClient) -> None:
        self.url, _, self.key = address.partition("#")
        self.http = http

    async def show(self, key: str | None) -> httpx2.Response:
        """Show a key, as a page does that has found it in its address."""
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return await self.http.post(".console/session", headers=headers)

    async def session(self) -> str:
        """Open the page, for the first time."""
        return str((await self.show(self.key)).json()["token"])

    def socket(self, token: str, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Connect as the page does, with a session."""
        monkeypatch.setenv("SESSION", token)
        return connect(self.url.replace("http:", "ws:") + "?token=env:SESSION")

    async def call(self, token: str | None, method: str, params: object = ()) -> httpx2.Response:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        return await self.http.post(
            "", json={"id": 1, "method": method, "params": params}, headers=headers
        )


@asynccontextmanager
async def console(where: Any, **options: Any) -> AsyncIterator[Console]:
    async with (
        console_of(where, **options) as address,
        httpx2.AsyncClient(
            base_url=address.partition("#")[0], trust_env=False, timeout=SECONDS
        ) as http,
    ):
        yield Console(address, http)


async def test_exactly_one_page_is_let_in_by_a_key(device: Device) -> None:
    async with console(device.dispatcher) as it:
        assert urlsplit(it.url).hostname == "127.0.0.1"
        answers: list[httpx2.Response] = []

        async def show() -> None:
            answers.append(await it.show(it.key))

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(show)
        (first,) = [each for each in answers if each.status_code == 200]
        assert first.headers["cache-control"] == "no-store"
        others = [each for each in answers if each is not first]
        assert {(each.status_code, each.json()["error"]["message"]) for each in others} == {
            (401, SPENT)
        }
        token = first.json()["token"]
        for _ in range(2):  # the page, and when it is loaded again
            assert (await it.call(token, "add", [1, 2])).json()["result"] == 3


async def test_other_users_of_the_machine_stay_outside(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    async with console(device.dispatcher) as it:
        for key in (None, it.key[:-1]):
            assert (await it.show(key)).status_code == 401
            answer = await it.call(key, "add", [1, 2])
            assert answer.json()["error"]["code"] == -32005
        # By itself the key opens nothing either: who used it so would stay unseen.
        assert (await it.call(it.key, "add", [1, 2])).json()["error"]["code"] == -32005
        assert (await it.http.get("openrpc.json")).status_code == 401
        token = await it.session()
        assert (await it.call(it.key, "add", [1, 2])).json()["error"]["message"] == SPENT
        assert it.key not in caplog.text
        assert token not in caplog.text
    assert "proof by key was refused" in caplog.text


async def test_wrong_keys_are_answered_more_and_more_slowly(device: Device) -> None:
    async with console(device.dispatcher) as it:
        waits = []
        for _ in range(4):
            begun = anyio.current_time()
            assert (await it.show("wrong")).status_code == 401
            waits.append(anyio.current_time() - begun)
        assert (await it.show(it.key)).status_code == 200
    assert all(wait >= 0.04 * 2**number for number, wait in enumerate(waits))


async def test_pages_and_names_of_others_cannot_use_the_key(device: Device) -> None:
    async with console(device.dispatcher) as it:
        bearer = {"authorization": f"Bearer {it.key}"}
        for strange in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
            answer = await it.http.post(".console/session", headers=bearer | strange)
            assert answer.status_code == 403
        assert (await it.http.get(".console/session", headers=bearer)).status_code == 405
        assert (await it.show(it.key)).status_code == 200


async def test_a_keyring_lets_its_own_in_as_well(device: Device, tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.touch(mode=0o600)
    keyring = Keyring(path)
    token = bearer_token(keyring.add("app", permissions=["*"]))
    async with console(device.dispatcher, keyring=keyring) as it:
        assert (await it.call(token, "add", [1, 2])).json()["result"] == 3
        session = await it.session()
        assert (await it.call(session, "add", [1, 2])).json()["result"] == 3
        keyring.revoke("app")
        await eventually(lambda: keyring.by_token(token) is None)
        assert (await it.call(token, "add", [1, 2])).status_code == 401
        assert (await it.call(session, "add", [1, 2])).json()["result"] == 3


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:0", "udp://127.0.0.1:0", "memory://looked-at"])
async def test_the_page_speaks_as_if_with_the_device(
    url: str, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        serve(device.dispatcher, url) as server,
        console(server.urls[0]) as it,
        it.socket(await it.session(), monkeypatch) as page,
        page.notifications() as news,
    ):
        document = await page.call("rpc.discover", result=dict[str, Any])
        assert document["info"]["title"] == "Lamp"
        assert "gateway.devices" not in json.dumps(document)
        assert await page.call("rpc.ping") is True
        assert await page.call("add", [1, 2]) == 3
        items = [each async for each in page.stream("count", [300])]
        assert items == list(range(300))
        with pytest.raises(RpcError) as wrong:
            await page.call("add", ["x", 2])
        assert (wrong.value.code, wrong.value.data["path"]) == (-32602, "$[0]")
        with anyio.move_on_after(SECONDS) as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(page.call, "wait")
                await device.started.wait()
                tasks.cancel_scope.cancel()
            await device.ended.wait()
        assert not scope.cancelled_caught
        device.dispatcher.emit("lamp.changed", {"level": 4})
        with anyio.fail_after(SECONDS):
            heard = await news.receive()
        assert (heard.method, heard.params) == ("lamp.changed", {"level": 4})


async def test_a_device_may_come_later_and_go(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"pipe://lamp?dir={tmp_path}"
    changes = Tally()

    async def becomes(online: bool) -> DeviceState:
        with anyio.fail_after(SECONDS):
            while not changes.items or changes.items[-1].online is not online:
                await changes.reach(len(changes.items) + 1)
        state: DeviceState = changes.items[-1]
        return state

    async with console(url, on_change=changes.add) as it:
        assert (await becomes(False)).last_error
        token = await it.session()
        for method in ("rpc.ping", "add"):
            answer = (await it.call(token, method)).json()["error"]
            assert answer["code"] == DeviceOffline.code
        assert (await it.call(None, "rpc.ping")).json()[
            "result"
        ] is True  # a stranger learns nothing
        gone, leave = anyio.Event(), anyio.Event()

        async def be_there() -> None:
            async with serve(device.dispatcher, url):
                await leave.wait()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(be_there)
            await becomes(True)
            async with it.socket(token, monkeypatch) as page:
                page.lost.subscribe(lambda why: gone.set())
                assert await page.call("add", [1, 2]) == 3
                leave.set()
                await becomes(False)
                with anyio.fail_after(SECONDS):  # as if it had a connection to the device itself
                    await gone.wait()
        async with serve(device.dispatcher, url):
            await becomes(True)
            assert (await it.call(token, "add", [1, 2])).json()["result"] == 3


async def test_a_console_ends_under_an_open_page_without_a_word(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with console_of(device.dispatcher):
            raise ZeroDivisionError
    found: list[tuple[Console, str]] = []
    opened, stop, gone = anyio.Event(), anyio.Event(), anyio.Event()

    async def run() -> None:
        async with console(device.dispatcher) as it:
            found.append((it, await it.session()))
            opened.set()
            await stop.wait()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await opened.wait()
        it, token = found[0]
        async with it.socket(token, monkeypatch) as page:
            page.lost.subscribe(lambda why: gone.set())
            assert await page.call("add", [1, 2]) == 3
            stop.set()
            with anyio.fail_after(SECONDS):
                await gone.wait()


async def test_a_device_is_looked_for_at_once_while_somebody_waits_for_it(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Backoff, "next_pause", lambda self: 3600.0)
    url = f"pipe://lamp?dir={tmp_path}"
    changes = Tally()
    async with console(url, on_change=changes.add) as it:
        await changes.reach(1)
        token = await it.session()
        async with serve(device.dispatcher, url):
            await it.call(None, "rpc.ping")  # a stranger has nothing done
            assert len(changes.items) == 1
            assert (await it.call(token, "rpc.ping")).json()["error"]["code"] == DeviceOffline.code
            await changes.reach(2)
            assert changes.items[-1].online
