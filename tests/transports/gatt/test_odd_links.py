"""Links that change, that refuse, and on which much comes at once."""

import asyncio
import json

import anyio
import pytest
from bumble.att import ATT_Error, ErrorCode
from bumble.core import UUID
from bumble.device import Advertisement, Connection
from bumble.device import Peer as BumblePeer

from jsonrpc_iot import Client, TransportError, connect, serve
from jsonrpc_iot.testing import VirtualRadio
from jsonrpc_iot.transports.gatt import RX, SERVICE, TX
from tests.waiting import SECONDS

from .rig import adapter, channel_to, device, foreign_device

pytestmark = pytest.mark.anyio


class Moody:
    """A device that refuses long writes and one method, and answers the others late or at once."""

    def __init__(self) -> None:
        self.send, self.todo = anyio.create_memory_object_stream[bytes](100)
        self.slow = anyio.Event()

    def write(self, connection: Connection, value: bytes) -> None:
        if len(value) > 100:
            raise ATT_Error(ErrorCode.INVALID_ATTRIBUTE_LENGTH)
        if b"secret" in value:
            raise ATT_Error(ErrorCode(0x80))
        self.send.send_nowait(bytes(value))


async def test_a_refused_write_fails_its_call_alone(radio: VirtualRadio) -> None:
    moody = Moody()
    with anyio.fail_after(SECONDS):
        async with (
            foreign_device(radio, moody.write) as foreign,
            anyio.create_task_group() as tasks,
        ):

            async def answer() -> None:
                with moody.todo:
                    async for message in moody.todo:
                        await answer_one(message)

            async def answer_one(message: bytes) -> None:
                request = json.loads(message)
                if request["method"] == "slow":
                    tasks.start_soon(answer_later, request["id"])
                else:
                    await tell(request["id"])

            async def answer_later(id: int) -> None:
                await moody.slow.wait()
                await tell(id)

            async def tell(id: int) -> None:
                await foreign.notify(RX, json.dumps({"id": id, "result": True}).encode())

            tasks.start_soon(answer)
            async with connect(radio.url("lamp"), extensions=False) as client:
                async with anyio.create_task_group() as calls:

                    async def call_slow(client: Client = client) -> None:
                        assert await client.call("slow") is True

                    calls.start_soon(call_slow)
                    with pytest.raises(
                        TransportError, match=r"^set: .* refused the message: GATT Protocol Error"
                    ):
                        await client.call("set", ["y" * 150])
                    assert await client.call("next") is True
                    with pytest.raises(TransportError, match=r"^secret: .* refused the message"):
                        await client.call("secret")
                    moody.slow.set()
                assert await client.call("after") is True
            moody.send.close()


async def test_a_burst_of_notifications_ends_no_link(radio: VirtualRadio) -> None:
    """Nobody reads while they come; the response behind them is there all the same."""
    with anyio.fail_after(SECONDS):
        async with (
            foreign_device(radio, lambda connection, value: None) as foreign,
            channel_to(radio) as channel,
        ):
            for number in range(400):
                await foreign.notify(RX, b'{"method":"n","params":[%d]}' % number)
            await foreign.notify(RX, b'{"id":1,"result":true}')
            heard: list[bytes] = []
            while not heard or b"result" not in heard[-1]:
                heard += await channel.receive_batch()
            assert len(heard) == 401
            assert channel.missed == 0
            await channel.send(b'{"method":"still"}')


async def test_an_mtu_that_grows_late_counts(radio: VirtualRadio) -> None:
    with anyio.fail_after(SECONDS):
        async with serve(device(), radio.url("lamp"), grace=0.2), adapter(radio, "phone") as phone:
            found: asyncio.Future[Advertisement] = asyncio.get_running_loop().create_future()

            def note(advertisement: Advertisement) -> None:
                if not found.done():
                    found.set_result(advertisement)

            phone.on("advertisement", note)
            await phone.start_scanning()
            address = (await found).address
            await phone.stop_scanning()
            connection = await phone.connect(address)
            peer = BumblePeer(connection)
            (service,) = await peer.discover_service(SERVICE)
            await service.discover_characteristics()
            by_uuid = {each.uuid: each for each in service.characteristics}
            tx, rx = by_uuid[UUID(TX)], by_uuid[UUID(RX)]
            heard: list[bytes] = []
            came = anyio.Event()

            def hear(value: bytes) -> None:
                heard.append(bytes(value))
                came.set()

            await rx.discover_descriptors()
            await rx.subscribe(hear)
            await tx.write_value(b'{"method":"a"}', with_response=True)  # at an MTU of 23
            await peer.request_mtu(247)
            request = b'{"method":"echo","params":["%s"],"id":1}' % (b"x" * 60)
            await tx.write_value(request, with_response=True)
            await came.wait()
            assert json.loads(heard[0]) == {"id": 1, "result": "x" * 60}
            await connection.disconnect()
