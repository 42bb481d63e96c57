"""Wrong tokens are answered later each time, and right ones at once, over whatever they come."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from jsonrpc_iot import (
    Busy,
    CallTimeout,
    Channel,
    Client,
    Dispatcher,
    Limits,
    Server,
    Unauthorized,
    connect,
    serve,
)
from jsonrpc_iot.channel.info import ChannelAttribute
from jsonrpc_iot.trust.keyring import Keyring
from jsonrpc_iot.trust.keys import bearer_token
from tests.waiting import SECONDS, eventually

pytestmark = pytest.mark.anyio

WEB = pytest.mark.only_on("asyncio")
CHANNELS = (
    "tcp://127.0.0.1:0",
    "udp://127.0.0.1:0",
    pytest.param("ws://127.0.0.1:0/rpc", marks=WEB),
)
WRONG = "wrong"


@asynccontextmanager
async def serving(url: str, folder: Path, **more: Any) -> AsyncIterator[tuple[Server, str]]:
    """A server, and a token that its keyring knows."""
    file = folder / "keys.toml"
    file.touch(mode=0o600)
    keyring = Keyring(file)
    token = bearer_token(keyring.add("app"))
    with anyio.fail_after(2 * SECONDS):
        async with serve(Dispatcher(), url, keyring=keyring, grace=0.5, **more) as server:
            yield server, token


async def seconds_of(client: Client, token: str) -> float:
    """How long a proof takes, right or wrong."""
    began = anyio.current_time()
    if token.startswith(WRONG):
        with pytest.raises(Unauthorized):
            await client.call("rpc.authenticate", [token])
    else:
        assert await client.call("rpc.authenticate", [token]) is True
    return anyio.current_time() - began


def waiting(server: Server) -> int:
    """How many wrong proofs wait for their answer."""
    return sum(server._door.refuser.refusals._waiting.values())


async def wait_for_refusals(server: Server, count: int) -> None:
    await eventually(lambda: waiting(server) == count)


def make_slow(server: Server) -> None:
    """Have wrong proofs from here wait for as long as any do."""
    for _ in range(8):
        server._door.refuser.refusals.begin("127.0.0.1", anyio.current_time())
        server._door.refuser.refusals.end("127.0.0.1")


@pytest.mark.parametrize("url", CHANNELS)
async def test_each_wrong_token_waits_longer_and_a_right_one_does_not(
    url: str, tmp_path: Path
) -> None:
    async with serving(url, tmp_path) as (server, token), connect(server.urls[0]) as client:
        waits = [await seconds_of(client, f"{WRONG}{number}") for number in range(5)]
        assert waits[4] >= 0.75
        assert waits[4] > waits[3] > waits[2]
        assert await seconds_of(client, token) < waits[4]


@pytest.mark.parametrize("url", CHANNELS)
async def test_a_right_token_overtakes_wrong_ones_of_its_address(url: str, tmp_path: Path) -> None:
    async with serving(url, tmp_path) as (server, token), connect(server.urls[0]) as client:
        make_slow(server)
        async with connect(server.urls[0]) as other, anyio.create_task_group() as tasks:
            tasks.start_soon(seconds_of, client, WRONG)
            await wait_for_refusals(server, 1)
            await seconds_of(other, token)
            await seconds_of(client, token)  # on the same connection, too
            assert waiting(server) == 1
            server._door.refuser.close()


@WEB
async def test_over_http_it_is_the_same(tmp_path: Path) -> None:
    async with (
        serving("http://127.0.0.1:0/rpc", tmp_path) as (server, token),
        httpx2.AsyncClient() as web,
    ):

        async def ask(token: str, status: int) -> float:
            began = anyio.current_time()
            reply = await web.post(
                server.urls[0],
                content=b'{"id":1,"method":"rpc.ping"}',
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            )
            assert reply.status_code == status
            return anyio.current_time() - began

        waits = [await ask(WRONG, 401) for _ in range(5)]
        assert waits[4] >= 0.75
        make_slow(server)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, WRONG, 401)
            await wait_for_refusals(server, 1)
            await ask(token, 200)
            assert waiting(server) == 1
            server._door.refuser.close()


@WEB
async def test_the_token_of_a_url_is_guarded_as_well(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("right")
    async with (
        serving(f"http://127.0.0.1:0/rpc?token=file:{secret}", tmp_path) as (server, _),
        httpx2.AsyncClient() as web,
    ):
        url = server.urls[0].partition("?")[0]
        began = anyio.current_time()
        for number in range(5):
            headers = {
                "Authorization": f"Bearer {WRONG}{number}",
                "Content-Type": "application/json",
            }
            assert (await web.post(url, content=b"{}", headers=headers)).status_code == 401
        assert anyio.current_time() - began >= 1.5


@pytest.mark.parametrize("url", CHANNELS[:2])
async def test_who_does_not_wait_for_the_answer_learns_nothing_sooner(
    url: str, tmp_path: Path
) -> None:
    async with serving(url, tmp_path) as (server, _):
        make_slow(server)
        answers: list[bytes] = []
        async with connect(
            server.urls[0], extensions=True, trace=lambda way, data: answers.append(data)
        ) as client:
            with pytest.raises(CallTimeout):
                await client.call("rpc.authenticate", [WRONG], timeout=0.1)
            await anyio.sleep(0.2)
            assert not [each for each in answers if b"error" in each]
            assert waiting(server) == 1
            server._door.refuser.close()


async def test_another_address_waits_no_longer(tmp_path: Path) -> None:
    async with serving("tcp://127.0.0.1:0", tmp_path) as (server, _):
        make_slow(server)
        refusals = server._door.refuser.refusals
        assert refusals.begin("127.0.0.1", anyio.current_time()) > 0.7
        assert refusals.begin("127.0.0.2", anyio.current_time()) < 0.1
        refusals.end("127.0.0.1")
        refusals.end("127.0.0.2")


async def test_many_at_once_are_bounded_and_a_known_token_passes(tmp_path: Path) -> None:
    asked = 0

    def authenticate(channel: Channel) -> Any:
        nonlocal asked
        token = channel.extra(ChannelAttribute.bearer_token, None)
        asked += token is not None
        return channel.principal

    limits = Limits(refusals_waiting=64)
    async with serving("udp://127.0.0.1:0", tmp_path, authenticate=authenticate, limits=limits) as (
        server,
        token,
    ):
        async with connect(server.urls[0]) as client, anyio.create_task_group() as tasks:
            await client.call("rpc.ping")
            make_slow(server)

            async def try_one(number: int) -> None:
                with pytest.raises((Unauthorized, Busy)):
                    await client.call("rpc.authenticate", [f"{WRONG} {number}"])

            for number in range(20):
                tasks.start_soon(try_one, number)
            await wait_for_refusals(server, 4)
            await seconds_of(client, token)
            assert waiting(server) == 4
            tasks.cancel_scope.cancel()
        assert server._door.refuser.refusals.turned_away >= 16
        assert asked < 20


async def test_a_server_that_leaves_waits_for_no_wrong_proof(tmp_path: Path) -> None:
    async with (
        serving("tcp://127.0.0.1:0", tmp_path) as (server, _),
        connect(server.urls[0]) as client,
    ):
        refuser = server._door.refuser
        make_slow(server)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(seconds_of, client, WRONG)
            await wait_for_refusals(server, 1)
            refuser.close()  # as a server does first of all
            began = anyio.current_time()
        assert anyio.current_time() - began < 2


@WEB
async def test_they_wait_also_when_an_address_below_has_gone(tmp_path: Path) -> None:
    async with (
        serving("ws://127.0.0.1:0/rpc", tmp_path) as (server, _),
        connect(server.urls[0]) as client,
    ):
        async with server.below("lamp", Dispatcher()):
            pass
        assert [await seconds_of(client, WRONG) for _ in range(4)][3] >= 0.35
