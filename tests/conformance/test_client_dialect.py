"""In which dialect a client speaks, and which extensions it uses with whom (section 1)."""

import anyio
import pytest

from jsonrpc_iot import CallTimeout, Dispatcher

from .far_end import Ping, far_end

pytestmark = pytest.mark.anyio

V2 = '"jsonrpc":"2.0",'


async def test_the_iot_dialect_is_the_default() -> None:
    async with far_end() as far:
        opened = await far.opened("get", {"a": 1})
        assert opened.request == {"id": opened.id, "method": "get", "params": {"a": 1}}


async def test_the_dialect_is_settable() -> None:
    async with far_end(dialect="jsonrpc2") as far:
        assert (await far.opened()).request["jsonrpc"] == "2.0"
        await far.client.notify("x")
        assert await far.receive() == {"jsonrpc": "2.0", "method": "x"}


async def test_the_first_ping_is_in_the_configured_dialect() -> None:
    async with far_end("open") as far:
        assert "jsonrpc" not in far.ping
        assert "jsonrpc" not in (await far.opened()).request
    async with far_end("open", dialect="jsonrpc2") as far:
        assert far.ping["jsonrpc"] == "2.0"
        assert (await far.opened()).request["jsonrpc"] == "2.0"


@pytest.mark.parametrize(
    "body",
    [
        '"method":"note"',
        '"method":"note","params":{"a":[1]}',
        '"id":5,"method":"no.such"',
        '"id":%d,"result":1',
        '"id":%d,"error":{"code":1,"message":"m"}',
    ],
)
async def test_the_last_valid_message_sets_the_dialect(body: str) -> None:
    async with far_end() as far:
        for member, expected in ((V2, True), ("", False), (V2, True), (V2, True)):
            opened = await far.opened()
            await far.send(f"{{{member}{body}}}".replace("%d", str(opened.id)))
            if '"id":5' in body:
                assert (await far.receive())["id"] == 5
            await far.expect_silence()
            assert ("jsonrpc" in (await far.opened()).request) is expected


@pytest.mark.parametrize(
    "text",
    [
        '{"jsonrpc":"2.0","id":5,"method":5}',
        '{"jsonrpc":"2.0"}',
        '{"jsonrpc":"2.0","id":true,"method":"x"}',
        '{"jsonrpc":"2.0","id":5,"method":"x","params":5}',
        '{"jsonrpc":"2.0","method":"x"',
        '{"jsonrpc":"2.0","method":"x","params":[NaN]}',
        '{"jsonrpc":"1.0","id":5,"method":"x"}',
        "[]",
        "7",
    ],
)
async def test_an_invalid_message_sets_no_dialect(text: str) -> None:
    async with far_end() as far:
        await far.send(text)
        assert "error" in await far.receive()
        assert "jsonrpc" not in (await far.opened()).request


# Extensions


async def test_a_ping_goes_first_and_is_not_waited_for() -> None:
    async with far_end("open") as far:
        opened = await far.opened(timeout=5)
        assert set(opened.request) == {"id", "method"}
        await far.send(f'{{"id":{opened.id},"result":1}}')
        assert await opened.call.result() == 1


async def test_a_known_peer_is_told_how_long_the_caller_waits() -> None:
    async with far_end("true") as far:
        request = (await far.opened(timeout=5)).request
        assert isinstance(request["timeout"], int | float)
        assert 0 < request["timeout"] <= 5


@pytest.mark.parametrize("ping", ["refused", "open"])
async def test_an_unknown_peer_sees_no_extensions(ping: Ping) -> None:
    async with far_end(ping) as far:
        opened = await far.opened(timeout=0.02)
        assert set(opened.request) == {"id", "method"}
        with pytest.raises(CallTimeout):
            await opened.call.result()
        await far.expect_silence()


@pytest.mark.parametrize("answer", ["false", "1", '"true"', "null", "[true]", '"pong"'])
async def test_only_true_shows_that_the_peer_knows_extensions(answer: str) -> None:
    async with far_end("open") as far:
        await far.send(f'{{"id":{far.ping["id"]},"result":{answer}}}')
        await far.expect_silence()
        assert "timeout" not in (await far.opened(timeout=5)).request


async def test_extensions_may_be_decided_without_asking() -> None:
    async with far_end(extensions=True) as far:
        assert "timeout" in (await far.opened(timeout=5)).request
    async with far_end(extensions=False) as far:
        assert "timeout" not in (await far.opened(timeout=5)).request


@pytest.mark.parametrize(
    "used",
    [
        '{"id":5,"method":"no.such","timeout":5}',
        '{"id":5,"method":"no.such","retry":true}',
        '{"id":5,"method":"no.such","stream":true}',
        '{"method":"rpc.cancel","params":{"id":5}}',
    ],
)
async def test_a_peer_that_uses_an_extension_knows_them(used: str) -> None:
    async with far_end("refused", dispatcher=Dispatcher()) as far:
        assert "timeout" not in (await far.opened(timeout=5)).request
        await far.send(used)
        if '"id":5,' in used:
            assert (await far.receive())["id"] == 5
        await far.expect_silence()
        assert "timeout" in (await far.opened(timeout=5)).request


async def test_a_call_that_runs_out_of_time_is_cancelled_at_the_peer() -> None:
    async with far_end("true") as far:
        opened = await far.opened(timeout=0.02)
        with pytest.raises(CallTimeout):
            await opened.call.result()
        assert await far.receive() == {"method": "rpc.cancel", "params": {"id": opened.id}}
        await far.send(f'{{"id":{opened.id},"error":{{"code":-32003,"message":"Cancelled"}}}}')
        await far.expect_silence()
        again = await far.opened()
        assert again.id != opened.id
        await far.send(f'{{"id":{again.id},"result":1}}')
        assert await again.call.result() == 1


async def test_a_call_that_is_cancelled_here_is_cancelled_at_the_peer() -> None:
    async with far_end("true") as far, anyio.create_task_group() as task_group:
        task_group.start_soon(far.client.call, "get")
        request = await far.receive()
        task_group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            cancel = await far.receive()
            assert cancel == {"method": "rpc.cancel", "params": {"id": request["id"]}}
            await far.send(f'{{"id":{request["id"]},"result":"late"}}')
            await far.expect_silence()


async def test_a_call_that_is_cancelled_is_forgotten_by_an_unknown_peer() -> None:
    async with far_end("refused") as far, anyio.create_task_group() as task_group:
        task_group.start_soon(far.client.call, "get")
        request = await far.receive()
        task_group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await far.send(f'{{"id":{request["id"]},"result":"late"}}')
            await far.expect_silence()
