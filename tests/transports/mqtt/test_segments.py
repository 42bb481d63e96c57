"""`mqtt://…?segment=1` over Mosquitto: big calls expire, and find a server that comes later."""

import anyio
import pytest

from jsonrpc_iot import CallTimeout, Dispatcher, connect, serve
from tests.brokers import mosquitto, new_topic

from .test_mqtt import Raw

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]

SECONDS = 20.0
OPTIONS = "?segment=1&max=200"
BIG = "x" * 1000


@pytest.mark.parametrize("params", [["small"], [BIG]], ids=["small", "big"])
async def test_a_request_expires_with_its_call(params: list[str]) -> None:
    topic = new_topic()
    raw = Raw(mosquitto())
    try:
        await raw.subscribe(topic)
        async with connect(mosquitto().url(OPTIONS, topic=topic), extensions=False) as client:
            with pytest.raises(CallTimeout):
                await client.call("echo", params, timeout=1.5)
            await client.notify("the.end")
        shown = []
        while (last := await raw.receive()).payload != b'{"method":"the.end"}':
            shown.append(last)
        assert len(shown) >= (6 if params == [BIG] else 1)
        for message in shown:
            assert message.properties is not None
            assert message.properties.MessageExpiryInterval in {0, 1, 2}  # type: ignore[attr-defined]
        assert not hasattr(last.properties, "MessageExpiryInterval")
    finally:
        raw.close()


@pytest.mark.parametrize("value", ["small", BIG], ids=["small", "big"])
async def test_a_call_reaches_a_server_that_comes_later(value: str) -> None:
    device = Dispatcher()
    device.method("echo")(lambda value: value)
    url = mosquitto().url(OPTIONS, topic=new_topic())
    sent = anyio.Event()
    answers: list[object] = []

    with anyio.fail_after(SECONDS):
        async with connect(url, trace=lambda *_: sent.set()) as client:

            async def call() -> None:
                answers.append(await client.call("echo", [value], timeout=SECONDS))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await sent.wait()
                await anyio.wait_all_tasks_blocked()
                async with serve(device, url, grace=0.5):
                    while not answers:  # noqa: ASYNC110  # the server is to stay until then
                        await anyio.sleep(0.01)
    assert answers == [value]
