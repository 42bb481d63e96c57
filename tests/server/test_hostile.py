"""What strangers send to an open port; the listener and its good clients notice nothing."""

import json
import random

import anyio
import pytest

from jsonrpc_iot import Limits, ParseError, TooLarge
from tests.rig import GONE, Raw, unharmed
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("seed", range(4))
async def test_random_bytes(seed: int) -> None:
    chaos = random.Random(seed)  # not a secret
    async with unharmed(Limits(receive_bytes=1 << 20)) as (server, _):
        for _ in range(5):
            async with Raw.to(server.urls[0]) as raw, anyio.create_task_group() as tasks:
                tasks.start_soon(raw.receive_all)
                try:
                    for _ in range(20):
                        await raw.stream.send(chaos.randbytes(chaos.randrange(1, 5000)))
                    await raw.stream.send_eof()
                except GONE:
                    pass


@pytest.mark.parametrize("seed", range(4))
async def test_damaged_messages(seed: int) -> None:
    """Good requests with a few bytes changed, doubled or missing; a good one ends the matter."""
    chaos = random.Random(seed)  # not a secret
    async with unharmed() as (server, _), Raw.to(server.urls[0]) as raw:
        for _ in range(300):
            message = bytearray(b'{"id":7,"method":"echo","params":[{"a":[1.5,null,"\\u00e9"]}]}')
            for _ in range(chaos.randrange(1, 4)):
                at = chaos.randrange(len(message))
                message[at : at + chaos.randrange(3)] = chaos.randbytes(chaos.randrange(3))
            await raw.send(bytes(message))
        await raw.send("", '{"id":"end","method":"echo","params":["here"]}')
        with anyio.fail_after(SECONDS):
            while True:
                reply = await raw.receive()
                if isinstance(reply, dict) and reply.get("id") == "end":
                    assert reply["result"] == "here"
                    return


@pytest.mark.parametrize("start", [b'{"id":1,"meth', b"[", b"1", b'"\\', b"\xef\xbb\xbf"])
async def test_a_message_that_never_ends(start: bytes) -> None:
    async with (
        unharmed(Limits(message_seconds=0.05)) as (server, _),
        Raw.to(server.urls[0]) as raw,
    ):
        await raw.stream.send(start)
        (farewell,) = await raw.receive_all()
        assert farewell["id"] is None
        assert farewell["error"]["code"] == ParseError.default_code


async def test_a_message_that_trickles_in() -> None:
    """Each byte comes soon after the one before; the message still has one deadline."""
    async with unharmed(Limits(message_seconds=0.1)) as (server, _):
        async with Raw.to(server.urls[0]) as raw, anyio.create_task_group() as tasks:

            async def trickle() -> None:
                while True:
                    await raw.stream.send(b"[")
                    await anyio.sleep(0.01)

            tasks.start_soon(trickle)
            farewell = await raw.receive()
            tasks.cancel_scope.cancel()
        assert farewell["error"]["code"] == ParseError.default_code


async def test_slow_but_complete_messages_are_fine() -> None:
    async with (
        unharmed(Limits(message_seconds=0.3)) as (server, _),
        Raw.to(server.urls[0]) as raw,
    ):
        for id in range(30):  # takes longer than one message may
            text = b'{"id":%d,"method":"echo","params":[1]}\n{"id"' % id
            await raw.stream.send(text)
            await anyio.sleep(0.015)
            await raw.stream.send(b':"x%d","method":"echo","params":[2]}\n' % id)
        assert len(await raw.replies(60)) == 60


async def test_megabytes_without_an_end_are_refused_readably() -> None:
    """The sender is still busy when the answer leaves; it must get it all the same."""
    async with unharmed(Limits(receive_bytes=100_000)) as (server, _):
        url = server.urls[0]
        async with Raw.to(url) as raw, anyio.create_task_group() as tasks:

            async def pour() -> None:
                try:
                    for _ in range(100):
                        await raw.stream.send(b"[" + b"1" * 65535)
                except GONE:
                    pass

            tasks.start_soon(pour)
            farewell = await raw.receive()
            assert farewell["id"] is None
            assert farewell["error"]["code"] == TooLarge.default_code
            await raw.receive_all()
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"id":1,"method":"echo","params":['])
async def test_a_hundred_thousand_levels(opening: bytes) -> None:
    limits = Limits(receive_bytes=1 << 23)
    async with unharmed(limits) as (server, _), Raw.to(server.urls[0]) as raw:
        await raw.send(opening * 100_000)
        reply = await raw.receive()
        assert (reply["id"], reply["error"]["code"]) == (None, ParseError.default_code)
        await raw.request(1, "echo", "alive")
        assert await raw.replies(1) == {1: "alive"}


async def test_a_flood_of_notifications() -> None:
    async with unharmed(Limits(in_flight=8)) as (server, device):
        device.gate.set()
        async with Raw.to(server.urls[0]) as raw:
            quick = b'{"method":"echo","params":[1]}\n' * 10_000
            slow = b'{"method":"hold.note","params":[1]}\n' * 2_000
            unknown = b'{"method":"nothing"}\n' * 10_000
            await raw.stream.send(quick + slow + unknown)
            await call_well_meanwhile(server.urls[0])
            await raw.request(1, "echo", "behind")
            assert await raw.replies(1) == {1: "behind"}
        await device.ended.reach(2_000)


async def call_well_meanwhile(url: str) -> None:
    async with Raw.to(url) as raw:
        await raw.request(1, "echo", "in between")
        assert await raw.replies(1) == {1: "in between"}


async def test_a_flood_of_stray_responses() -> None:
    async with unharmed() as (server, _), Raw.to(server.urls[0]) as raw:
        await raw.stream.send(b'{"id":1,"result":1}\n{"id":2,"error":5}\n' * 5_000)
        await raw.request(1, "echo", "behind")
        assert await raw.replies(1) == {1: "behind"}


async def test_a_flood_of_cancels() -> None:
    async with unharmed() as (server, device), Raw.to(server.urls[0]) as raw:
        await raw.request(1, "hold")
        await device.began.reach(1)
        cancel = json.dumps({"method": "rpc.cancel", "params": {"id": 1}}).encode() + b"\n"
        await raw.stream.send(cancel * 5_000)
        (reply,) = (await raw.replies(1)).values()
        assert reply == -32003
        await raw.request(2, "echo", "behind")
        assert await raw.replies(1) == {2: "behind"}


async def test_a_web_browser() -> None:
    async with unharmed() as (server, _), Raw.to(server.urls[0]) as raw:
        await raw.stream.send(b"GET / HTTP/1.1\r\nHost: lamp\r\n\r\n")
        replies = [await raw.receive() for _ in range(2)]
        assert {reply["error"]["code"] for reply in replies} == {ParseError.default_code}
        await call_well_meanwhile(server.urls[0])


async def test_a_call_whose_client_resets_the_connection() -> None:
    async with unharmed() as (server, device):
        for turn in range(20):
            raw = await Raw.open(server.urls[0])
            await raw.request(1, "hold", 1)
            await raw.request(2, "big", 500_000)
            await device.began.reach(turn + 1)
            await raw.reset()
        await device.cancelled.reach(20)
        await call_well_meanwhile(server.urls[0])


async def test_good_clients_meet_a_bad_one() -> None:
    async with (
        unharmed(Limits(message_seconds=0.1, receive_bytes=10_000)) as (server, _),
        Raw.to(server.urls[0]) as good,
    ):
        for id, bad in enumerate((b"\xff" * 5_000, b"[" * 20_000, b'{"a":', b"\x00\n" * 3)):
            async with Raw.to(server.urls[0]) as raw:
                await raw.stream.send(bad)
                await good.request(id, "echo", "unmoved")
                assert await good.replies(1) == {id: "unmoved"}
