"""`listen`: the notifications of a device, one line of JSON each."""

import signal
import socket
from datetime import datetime, timedelta
from typing import Any

import anyio
import msgspec
import pytest

from jsonrpc_iot import Call, Context, Dispatcher, Next, connect, serve
from jsonrpc_iot.cli.call import _stay_known

from .conftest import Simulated
from .device import bad_device, lines, udp_device, wait_for_message
from .program import Done, run, run_unread, started

TWO = b'{"method":"a","params":{"x":"\xc2\x9b"}}\n{"jsonrpc":"2.0","method":"b"}\n'
TWO_LINES = '{"method":"a","params":{"x":"\\u009b"}}\n', '{"method":"b"}\n'


def send_two(connection: socket.socket) -> None:
    wait_for_message(connection)
    connection.sendall(TWO)
    for _ in lines(connection):
        pass


def send_two_and_close(connection: socket.socket) -> None:
    wait_for_message(connection)
    connection.sendall(TWO)


def test_as_many_as_asked_for() -> None:
    with bad_device(send_two) as url:
        assert run("listen", url, "--count", "2") == Done(0, "".join(TWO_LINES), "")


def test_the_log_calls_nothing_a_failure_that_was_printed() -> None:
    with bad_device(send_two) as url:
        done = run("listen", url, "--count", "2", "-v")
    assert done.out == "".join(TWO_LINES)
    assert "notification 'a': no function is registered for it" in done.err
    assert "failed" not in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_each_is_printed_at_once_until_a_signal(number: int) -> None:
    with bad_device(send_two) as url, started("listen", url) as program:
        assert (program.next_line(), program.next_line()) == TWO_LINES
        assert program.stop(number) == Done(0, "", "")


def test_a_connection_that_ends() -> None:
    with bad_device(send_two_and_close) as url:
        done = run("listen", url)

    expected = f"jsonrpc-iot: {url}: the connection has ended\n"
    assert done == Done(3, "".join(TWO_LINES), expected)


def test_nobody_listens() -> None:
    done = run("listen", "tcp://127.0.0.1:1")

    assert done.code == 3
    assert done.complaint


def test_nobody_reads_standard_output() -> None:
    with bad_device(send_two_and_close) as url:
        assert run_unread("listen", url) == Done(141, "", "")


def test_a_device_that_looks_for_a_network(device: Simulated) -> None:
    with started("listen", device.tcp, "--count", "2", "--trace") as program:
        program.wait_for_error("<-")
        connected = run("call", device.pipe, "wifi.connect", "ssid=no network of that name")
        done = program.finish()

    assert connected.code == 1
    messages = [msgspec.json.decode(line) for line in done.out.splitlines()]
    assert [message.keys() for message in messages] == [{"method", "params"}] * 2
    assert [message["method"] for message in messages] == ["wifi.status"] * 2
    assert [message["params"]["state"] for message in messages] == [1, 4]
    assert done.code == 0


def test_over_udp_the_device_hears_of_it_at_once(device: Simulated) -> None:
    with started("listen", device.udp, "--count", "1", "--trace") as program:
        program.wait_for_error("<-")
        run("call", device.pipe, "wifi.connect", "ssid=no network of that name")
        done = program.finish()

    assert done.code == 0
    assert msgspec.json.decode(done.out)["method"] == "wifi.status"


def test_over_udp_a_device_that_does_not_answer_is_named_once() -> None:
    words = ("--timeout", "0.2")
    with udp_device(lambda _: ()) as place, started("listen", f"udp://{place}", *words) as program:
        program.wait_for_error(f"jsonrpc-iot: udp://{place}: does not answer; still listening")
        assert program.stop() == Done(0, "", "")


@pytest.mark.anyio
async def test_it_pings_again_and_again() -> None:
    third = anyio.Event()
    dispatcher = Dispatcher()
    pings = 0

    @dispatcher.middleware
    async def count_pings(call: Call, context: Context, go_on: Next) -> Any:
        nonlocal pings
        pings += call.method == "rpc.ping"
        if pings == 3:
            third.set()
        return await go_on(call, context)

    async with (
        serve(dispatcher, "udp://127.0.0.1:0") as server,
        connect(server.urls[0]) as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(_stay_known, client, "the device", 5.0, 0.05)
        with anyio.fail_after(5):
            await third.wait()
        tasks.cancel_scope.cancel()


def test_the_time_of_each() -> None:
    before = datetime.now().astimezone()
    with bad_device(send_two) as url:
        done = run("listen", url, "--count", "2", "--time")
    found = [msgspec.json.decode(line) for line in done.out.splitlines()]
    times = [datetime.fromisoformat(each.pop("time")) for each in found]
    assert before <= times[0] + timedelta(milliseconds=1)
    assert times == sorted(times)
    assert found == [msgspec.json.decode(line) for line in TWO_LINES]


def test_some_alone() -> None:
    with bad_device(send_two) as url:
        assert run("listen", url, "b", "x.*", "--count", "1") == Done(0, TWO_LINES[1], "")
