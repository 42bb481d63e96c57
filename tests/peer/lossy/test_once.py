"""Over real sockets: whatever comes late, again or after a restart, a request runs at most once."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest

from jsonrpc_iot import Context, OutcomeUnknown, connect
from jsonrpc_iot.transports import open_channel

from ...brokers import mosquitto
from ...cli.program import run
from .rig import ANYWHERE, LATER_SECONDS, SECONDS, Raw, Relay, raw, serving

pytestmark = pytest.mark.anyio

UNKNOWN = -32011


# Copies


@pytest.mark.parametrize("extension", [{"timeout": 5}, {"retry": False}, {}])
async def test_a_first_copy_that_comes_after_the_repeat_and_the_answer(
    extension: dict[str, Any],
) -> None:
    relay = Relay()
    first = {"id": 7, "method": "toggle", "params": ["a"], **extension}
    async with serving(relay) as server:
        with raw(server.urls[0]) as end:
            answer = await end.exchange(**first | {"retry": True})
            await anyio.sleep(LATER_SECONDS)
            assert await end.exchange(**first) == answer == {"id": 7, "result": 1}
    assert relay.ran == ["a"]


async def test_a_doubled_request_whose_second_copy_is_late() -> None:
    relay = Relay()
    first = {"id": 7, "method": "toggle", "params": ["a"], "timeout": 5}
    async with serving(relay) as server:
        with raw(server.urls[0]) as end:
            answer = await end.exchange(**first)
            await anyio.sleep(LATER_SECONDS)
            assert await end.exchange(**first) == answer
    assert relay.ran == ["a"]


async def test_a_script_that_uses_one_id_for_ever_is_served_each_time() -> None:
    relay = Relay()
    async with serving(relay) as server:
        with raw(server.urls[0]) as end:
            for turn in (1, 2, 3):
                answer = await end.exchange(id=1, method="toggle")
                assert answer == {"id": 1, "result": turn}
                await anyio.sleep(LATER_SECONDS)


PRIME = 2**61 - 1  # modulo which Python hashes numbers
COLLIDING = [(-1, -2), (5, 5 + PRIME), (1.0, 1), ("1", 1), (0, PRIME), (10**29, 10**29 + 1)]


@pytest.mark.parametrize("ids", COLLIDING)
async def test_ids_that_collide_are_different_requests(ids: tuple[Any, Any]) -> None:
    relay = Relay()
    async with serving(relay) as server:
        with raw(server.urls[0]) as end:
            for number, id in enumerate(ids, 1):
                answer = await end.exchange(id=id, method="toggle")
                assert (repr(answer["id"]), answer["result"]) == (repr(id), number)


@pytest.mark.parametrize("ids", COLLIDING)
async def test_a_cancellation_that_comes_first_is_for_its_own_id(ids: tuple[Any, Any]) -> None:
    relay = Relay()
    cancelled, other = ids
    async with serving(relay) as server:
        with raw(server.urls[0]) as end:
            end.send(method="rpc.cancel", params={"id": cancelled})
            assert (await end.exchange(id=other, method="toggle"))["result"] == 1
            answer = await end.exchange(id=cancelled, method="toggle")
            assert answer["error"]["code"] == -32003
    assert len(relay.ran) == 1


# Restarts


async def test_a_repeat_that_a_young_server_does_not_know_is_not_run() -> None:
    relay = Relay()
    first = {"id": 7, "method": "toggle", "timeout": 5}
    async with serving(relay, listening=3.0) as server:
        with raw(server.urls[0]) as end:
            answer = await end.exchange(**first | {"retry": True})
            assert answer["error"]["code"] == UNKNOWN
            assert 3 <= answer["error"]["data"]["listening"] < 3 + SECONDS
            assert await end.exchange(**first | {"retry": True}) == answer
            await anyio.sleep(LATER_SECONDS)
            assert await end.exchange(**first) == answer, "whatever comes later"
            assert (await end.exchange(**first | {"id": 8}))["result"] == 1
    assert len(relay.ran) == 1


async def test_a_young_server_runs_repeats_of_what_is_idempotent() -> None:
    relay = Relay()
    relay.dispatcher.method("read", idempotent=True)(relay.toggle)
    async with serving(relay, listening=0) as server:
        with raw(server.urls[0]) as end:
            assert (await end.exchange(id=7, method="read", retry=True))["result"] == 1


@pytest.mark.parametrize("listening", [0.0, 1000.0])
async def test_servers_that_share_a_port_never_know(listening: float) -> None:
    relay = Relay()
    first = {"id": 7, "method": "toggle", "timeout": 5}
    async with serving(relay, f"{ANYWHERE}?reuse_port=1", listening=listening) as server:
        with raw(server.urls[0]) as end:
            answer = await end.exchange(**first | {"retry": True})
            assert answer["error"]["code"] == UNKNOWN
            assert "data" not in answer["error"]
            assert await end.exchange(**first) == answer
            assert (await end.exchange(id=8, method="toggle", timeout=5))["result"] == 1
            assert (await end.exchange(id=8, method="toggle", retry=True))["result"] == 1


@pytest.mark.only_on("asyncio")
async def test_servers_of_an_mqtt_group_never_know() -> None:
    relay = Relay()
    first = b'{"id":7,"method":"toggle","timeout":5}'
    async with (
        serving(relay, mosquitto().url("?share=relays&qos=0"), listening=1000.0) as server,
        await open_channel(server.urls[0]) as end,
    ):
        for message in (first[:-1] + b',"retry":true}', first):
            await end.send(message)
            error = json.loads(await end.receive())["error"]
            assert error["code"] == UNKNOWN
            assert "data" not in error
        await end.send(first.replace(b"7", b"8"))
        assert json.loads(await end.receive())["result"] == 1


def refuse(end: Raw, request: dict[str, Any], **data: float) -> None:
    """Say that nobody knows whether a request ran."""
    end.send(id=request["id"], error={"code": UNKNOWN, "message": "?", "data": data or None})


async def next_of(end: Raw, method: str) -> Any:
    """The next request of a method; pings are answered meanwhile."""
    while True:
        message = await end.take()
        if message["method"] == method:
            return message
        if "id" in message:
            end.send(id=message["id"], result=True)


@pytest.mark.parametrize("timeout", [SECONDS, None])
async def test_the_client_calls_again_when_nothing_can_have_run(timeout: float | None) -> None:
    got: list[object] = []
    with raw() as end, anyio.fail_after(SECONDS):
        async with connect(end.url, extensions=True) as client, anyio.create_task_group() as tasks:

            async def call() -> None:
                got.append(await client.call("toggle", ["a"], timeout=timeout))

            tasks.start_soon(call)
            lost = await next_of(end, "toggle")
            repeat = await next_of(end, "toggle")
            assert repeat == lost | {"retry": True}
            refuse(end, repeat, listening=100.0)
            new = await next_of(end, "toggle")
            assert new["id"] != lost["id"]
            assert not new.get("retry")
            assert new["params"] == ["a"]
            end.send(id=new["id"], result=5)
    assert got == [5]


async def outcome_unknown(end: Raw, *, stream: bool, **data: float) -> None:
    """Call, and be told that nobody knows."""
    async with connect(end.url, extensions=True) as client, anyio.create_task_group() as tasks:

        async def call() -> None:
            with pytest.raises(OutcomeUnknown):
                await (anext(client.stream("toggle")) if stream else client.call("toggle"))

        tasks.start_soon(call)
        await next_of(end, "toggle")
        refuse(end, await next_of(end, "toggle"), **data)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("data", [{"listening": 0.01}, {}])
async def test_the_client_says_so_when_it_may_have_run(
    stream: bool, data: dict[str, float]
) -> None:
    with raw() as end, anyio.fail_after(SECONDS):
        await outcome_unknown(end, stream=stream, **data)


async def test_a_stream_is_begun_again_when_nothing_can_have_run() -> None:
    got: list[object] = []
    with raw() as end, anyio.fail_after(SECONDS):
        async with connect(end.url, extensions=True) as client, anyio.create_task_group() as tasks:

            async def read() -> None:
                got.extend([item async for item in client.stream("toggle")])

            tasks.start_soon(read)
            lost = await next_of(end, "toggle")
            refuse(end, await next_of(end, "toggle"), listening=100.0)
            new = await next_of(end, "toggle")
            assert new["stream"] is True
            assert new["id"] != lost["id"]
            end.send(id=new["id"], result=[1, 2])
    assert got == [1, 2]


@contextmanager
def restarted_device() -> Iterator[str]:
    """A device that has just been started: it knows of no first copy."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.bind(("127.0.0.1", 0))

        def answer() -> None:
            while data := end.recvfrom(65_535):
                message = json.loads(data[0] or b'{"method":"stop"}')
                reply: dict[str, Any] = {"id": message.get("id")}
                if message["method"] == "stop":
                    return
                if message["method"] == "rpc.ping":
                    reply["result"] = True
                elif message.get("retry"):
                    about = {"listening": 0.1}
                    reply["error"] = {"code": UNKNOWN, "message": "who knows", "data": about}
                else:
                    continue
                end.sendto(json.dumps(reply).encode(), data[1])

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"udp://127.0.0.1:{end.getsockname()[1]}"
        finally:
            end.sendto(b"", end.getsockname())
            thread.join()


def test_the_command_line_says_so_with_exit_code_1() -> None:
    with restarted_device() as url:
        done = run("call", url, "toggle")
    assert done.code == 1
    assert json.loads(done.complaint)["code"] == UNKNOWN


# Held up


async def test_what_nobody_waits_for_after_a_blocked_loop_is_not_run() -> None:
    """What came while the program slept: one is cancelled, one is too old, one has time."""
    relay = Relay()
    async with serving(relay) as server:
        with raw(server.urls[0]) as end:
            await end.exchange(id=0, method="rpc.ping")
            end.send(id=1, method="toggle", params=["cancelled"], timeout=60)
            end.send(id=2, method="toggle", params=["late"], timeout=1)
            end.send(id=3, method="toggle", params=["patient"], timeout=60)
            end.send(id=4, method="toggle", params=["endless"], retry=False)
            end.send(method="rpc.cancel", params={"id": 1})
            time.sleep(1.1)  # noqa: ASYNC251  # that is what is tested
            answers = {answer["id"]: answer for answer in [await end.receive() for _ in range(4)]}
    assert relay.ran == ["patient", "endless"]
    assert answers[1]["error"]["code"] == -32003
    assert answers[2]["error"]["code"] == -32002


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("other_peer", [False, True])
async def test_what_waits_behind_a_handler_that_blocks_is_not_run_too_late(
    waits: bool, other_peer: bool
) -> None:
    relay = Relay()

    async def later(key: str) -> None:
        relay.ran.append(key)

    relay.dispatcher.method(later)
    relay.dispatcher.method("block")(lambda: time.sleep(0.5))
    method = "later" if waits else "toggle"
    async with serving(relay) as server:
        with raw(server.urls[0]) as end, raw(server.urls[0]) as another:
            for each in (end, another):
                await each.exchange(id=0, method="rpc.ping")
            second = another if other_peer else end
            end.send(id=1, method="block")
            second.send(id=2, method=method, params=["late"], timeout=0.3)
            second.send(id=3, method=method, params=["patient"], timeout=60)
            answers = [await second.receive() for _ in range(2 if other_peer else 3)]
    assert relay.ran == ["patient"]
    assert [each["error"]["code"] for each in answers if each["id"] == 2] == [-32002]


# What is sent


async def test_each_request_to_who_knows_extensions_carries_one() -> None:
    relay = Relay()

    async def many(context: Context) -> Any:
        yield 1

    relay.dispatcher.method(many)
    sent: list[dict[str, Any]] = []

    def trace(direction: str, message: bytes) -> None:
        if direction == "->":
            read = json.loads(message)
            sent.extend(read if isinstance(read, list) else [read])

    async with (
        serving(relay) as server,
        connect(server.urls[0], extensions=True, trace=trace) as client,
    ):
        await client.call("toggle")
        await client.call("toggle", timeout=None)
        await client.call("toggle", timeout=None, idempotent=True)
        await client.call("rpc.ping", timeout=None)
        async with client.batch() as batch:
            batch.call("toggle")
        async with client.batch(timeout=None) as batch:
            batch.call("toggle")
        assert [item async for item in client.stream("many")] == [1]
    requests = [message for message in sent if "id" in message]
    assert len(requests) == 7
    for request in requests:
        assert {"timeout", "stream", "retry"} & request.keys(), request
    assert [request for request in requests if request.get("retry") is False]


async def test_who_has_been_asked_gets_extensions_from_then_on() -> None:
    with raw() as end, anyio.fail_after(SECONDS):
        async with connect(end.url) as client, anyio.create_task_group() as tasks:

            async def call() -> None:
                for number in range(2):
                    await client.call("toggle", [number], timeout=None)

            tasks.start_soon(call)
            first = await next_of(end, "toggle")
            assert first.keys() == {"id", "method", "params"}
            repeat = await next_of(end, "toggle")
            assert repeat == first | {"retry": True}
            end.send(id=first["id"], result=None)
            second = await next_of(end, "toggle")
            while second["params"] == [0]:
                second = await next_of(end, "toggle")
            assert second["retry"] is False
            end.send(id=second["id"], result=None)
