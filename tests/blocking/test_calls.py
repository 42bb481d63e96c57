"""Everything that an asynchronous client does, without async."""

import inspect
import socket
import traceback
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any, get_type_hints

import pytest

from jsonrpc_iot import (
    BlockingClient,
    CallTimeout,
    ChannelClosed,
    ConnectFailed,
    DeadlineExceeded,
    InvalidUrl,
    MalformedResponse,
    MethodNotFound,
    RpcError,
    Unencodable,
    UsageError,
    connect,
    connect_sync,
)
from jsonrpc_iot.blocking import BlockingBatch
from jsonrpc_iot.blocking._client import ConnectOptions
from jsonrpc_iot.blocking._link import Link
from tests.waiting import SECONDS

from .rig import Rig, running, urls


def test_a_call_returns_its_result(rig: Rig) -> None:
    with connect_sync(rig.url) as device:
        assert device.call("add", [1, 2], result=int) == 3
        assert device.call("add", {"a": 2, "b": 2}) == 4


@pytest.mark.parametrize("number", range(3), ids=["tcp", "udp", "pipe"])
def test_every_transport_will_do(tmp_path: Path, number: int) -> None:
    with running(url=urls(tmp_path)[number]) as rig, connect_sync(rig.url) as device:
        assert device.call("add", [1, 2]) == 3
        assert device.info.transport == rig.url.partition(":")[0]


def test_it_connects_without_a_block_too(rig: Rig) -> None:
    device = connect_sync(rig.url)
    assert device.call("add", [1, 2]) == 3
    assert "closed" not in repr(device)
    device.close()
    device.close()
    assert "closed" in repr(device)


def test_errors_are_those_of_the_asynchronous_client(rig: Rig) -> None:
    with connect_sync(rig.url) as device:
        with pytest.raises(RpcError) as refusal:
            device.call("fail")
        assert (refusal.value.code, refusal.value.data) == (7, {"why": "test"})
        with pytest.raises(MethodNotFound):
            device.call("nothing")
        with pytest.raises(MalformedResponse):
            device.call("add", [1, 2], result=str)
        with pytest.raises(Unencodable):
            device.call("add", [float("nan"), 2])
        with pytest.raises((CallTimeout, DeadlineExceeded)):  # whoever's clock is first
            device.call("hold", timeout=0.5)
        assert (rig.next(), rig.next()) == (("began", None), ("cancelled", None))
        assert device.call("add", [1, 2]) == 3


def test_a_traceback_ends_at_the_users_call(rig: Rig) -> None:
    with connect_sync(rig.url) as device, pytest.raises(RpcError) as refusal:
        device.call("fail")

    frames = traceback.extract_tb(refusal.value.__traceback__)
    assert frames[0].line == 'device.call("fail")'
    assert {Path(frame.filename).parent.name for frame in frames[1:]} == {"blocking"}
    assert len(frames) <= 4
    assert refusal.value.__cause__ is refusal.value.__context__ is None


def test_what_cannot_be_connected_to_is_said_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ConnectFailed, match=str(port)):
        connect_sync(f"tcp://127.0.0.1:{port}")
    with pytest.raises(InvalidUrl, match="tpc"):
        connect_sync("tpc://127.0.0.1")
    with pytest.raises(UsageError, match="event loop of its own"):
        connect_sync("memory://lamp")


def test_an_exception_in_the_block_comes_out_as_it_is(rig: Rig) -> None:
    with pytest.raises(ZeroDivisionError), connect_sync(rig.url) as device:
        1 / 0  # noqa: B018
    with pytest.raises(ChannelClosed):
        device.call("add", [1, 2])


def test_notifications_go_out(rig: Rig) -> None:
    with connect_sync(rig.url) as device:
        device.notify("note", ["hello"])
        assert rig.next() == "hello"


def test_a_last_notification_leaves_before_the_channel_closes(rig: Rig) -> None:
    with connect_sync(rig.url) as device:
        device.notify("note", ["bye"])
    assert rig.next() == "bye"


def test_a_batch_is_one_message(rig: Rig) -> None:
    messages: list[bytes] = []

    def trace(arrow: str, message: bytes) -> None:
        messages.append(message)

    with connect_sync(rig.url, extensions=False, trace=trace) as device:
        with device.batch() as batch:
            one = batch.call("add", [1, 2], result=int)
            two = batch.call("fail")
            batch.notify("note", ["in a batch"])
            with pytest.raises(RuntimeError):
                one.result()
        assert one.result() == 3
        with pytest.raises(RpcError, match="No"):
            two.result()
        assert rig.next() == "in a batch"
    assert sum(b'"method"' in message for message in messages) == 1


def give_up(batch: BlockingBatch) -> None:
    batch.notify("note", ["never"])
    raise ZeroDivisionError


def test_a_batch_that_fails_is_not_sent(rig: Rig) -> None:
    with connect_sync(rig.url) as device:
        batch = device.batch()
        with pytest.raises(ZeroDivisionError), batch:
            give_up(batch)
        device.notify("note", ["next"])
        assert rig.next() == "next"
        with pytest.raises(RuntimeError, match="block"):
            device.batch().call("add", [1, 2])


def test_a_stream_is_an_iterator(rig: Rig) -> None:
    with connect_sync(rig.url) as device:
        assert list(device.stream("slowly", [5], item=int)) == [0, 1, 2, 3, 4]
        with device.stream("slowly", [5]) as stream:
            assert next(stream) == 0
        assert list(stream) == []
        with pytest.raises(RpcError, match="No"):
            next(device.stream("fail"))


def test_items_that_have_come_do_not_each_wake_a_thread(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken = 0
    run = Link.run

    def counted(link: Link, function: Any) -> Any:
        nonlocal woken
        woken += 1
        return run(link, function)

    monkeypatch.setattr(Link, "run", counted)
    rig.dispatcher.method("many")(lambda: list(range(1000)))
    with connect_sync(rig.url) as device:
        assert list(device.stream("many")) == list(range(1000))
    assert woken < 500


def test_what_came_before_a_wrong_item_is_not_lost(rig: Rig) -> None:
    async def mixed() -> AsyncIterator[int | str]:
        for item in (1, 2, "three", 4):
            yield item

    rig.dispatcher.method("mixed")(mixed)
    with connect_sync(rig.url) as device:
        stream = device.stream("mixed", item=int)
        assert [next(stream), next(stream)] == [1, 2]
        with pytest.raises(MalformedResponse, match="an item"):
            next(stream)
        assert list(stream) == []


def test_a_stream_that_is_closed_is_cancelled_at_the_device(rig: Rig) -> None:
    with connect_sync(rig.url) as device:
        device.call("rpc.ping")
        stream = device.stream("endless", timeout=None)
        with ThreadPoolExecutor() as pool:
            items = pool.submit(list, stream)
            assert rig.next() == "began"
            stream.close()
            assert items.result(SECONDS) in ([], [0])  # the item may come before the end
        assert rig.next() == "cancelled"


def test_a_stream_keeps_its_client_open(rig: Rig) -> None:
    assert list(connect_sync(rig.url).stream("slowly", [2])) == [0, 1]


def test_notifications_come_in(rig: Rig) -> None:
    with connect_sync(rig.url) as device, device.notifications() as news:
        device.call("rpc.ping")
        rig.broadcast("door.opened", {"by": "cat"})
        rig.broadcast("door.closed")
        first = news.receive(SECONDS)
        assert (first.method, first.params) == ("door.opened", {"by": "cat"})
        assert next(iter(news)).method == "door.closed"
        with pytest.raises(TimeoutError, match=r"0\.01 s"):
            news.receive(0.01)
        assert device.missed == 0


def test_a_loop_over_notifications_ends_when_nothing_comes(rig: Rig) -> None:
    with connect_sync(rig.url) as device, device.notifications(timeout=0.2) as news:
        device.call("rpc.ping")
        for number in range(3):
            rig.broadcast("count", [number])
        assert [each.params for each in news] == [[0], [1], [2]]
        rig.broadcast("count", [3])
        assert [each.params for each in news] == [[3]]


def test_notifications_end_with_the_channel(rig: Rig) -> None:
    with connect_sync(rig.url) as device, device.notifications() as news:
        device.call("rpc.ping")
        rig.broadcast("last")
        for peer in rig.server.peers:
            rig.portal.call(peer.leave, 0)
        assert [each.method for each in news] == ["last"]
        with pytest.raises(ChannelClosed):
            news.receive()
        with pytest.raises(ChannelClosed):
            device.call("add", [1, 2])


def test_a_loop_over_notifications_ends_when_another_thread_says_so(rig: Rig) -> None:
    with connect_sync(rig.url) as device, ThreadPoolExecutor() as pool:
        news = device.notifications()
        heard: Queue[str] = Queue()

        def listen() -> None:
            for each in news:
                heard.put(each.method)

        loops = [pool.submit(listen) for _ in range(3)]
        device.call("rpc.ping")
        rig.broadcast("once")
        rig.broadcast("twice")
        assert {heard.get(timeout=SECONDS), heard.get(timeout=SECONDS)} == {"once", "twice"}
        news.close()
        for loop in loops:
            loop.result(SECONDS)
        assert heard.empty()


def test_a_notification_that_nobody_hears_any_more(rig: Rig) -> None:
    with connect_sync(rig.url) as device:
        news = device.notifications()
        news.close()
        assert list(news) == []
        news = device.notifications()
    assert list(news) == []
    news.close()


def test_functions_for_notifications_may_call_the_device(rig: Rig) -> None:
    heard: list[int] = []

    with connect_sync(rig.url) as device:

        @device.on("count")
        def count(number: int) -> None:
            heard.append(device.call("add", [number, 10], result=int))
            device.notify("note", [number])

        device.call("rpc.ping")
        for number in range(20):
            rig.broadcast("count", {"number": number})
        assert [rig.next() for _ in range(20)] == list(range(20))
    assert heard == list(range(10, 30))


def test_the_event_loop_does_not_wait_for_itself(rig: Rig) -> None:
    failures: list[BaseException] = []

    with connect_sync(rig.url) as device:

        @device.on("wrong")
        async def wrong() -> None:
            try:
                device.call("add", [1, 2])
            except RuntimeError as error:
                failures.append(error)
            await device._client.notify("note", ["done"])

        device.call("rpc.ping")
        rig.broadcast("wrong")
        assert rig.next() == "done"
    assert "thread=True" in str(failures[0])


def test_it_comes_back_when_asked_to(rig: Rig) -> None:
    with connect_sync(rig.url, reconnect=True) as device:
        device.call("rpc.ping")
        (peer,) = rig.server.peers
        rig.portal.call(peer.end)
        rig.portal.call(peer.leave, 0)
        assert device.call("add", [1, 2], idempotent=True) == 3


def test_the_result_has_the_declared_type(rig: Rig) -> None:
    def typed(device: BlockingClient) -> int:
        return device.call("add", [1, 2], result=int)  # mypy sees it

    with connect_sync(rig.url) as device:
        assert typed(device) == 3


def test_the_options_are_those_of_connect() -> None:
    options = {
        parameter.name
        for parameter in inspect.signature(connect).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    types = get_type_hints(connect)
    assert get_type_hints(ConnectOptions) == {name: types[name] for name in options}
