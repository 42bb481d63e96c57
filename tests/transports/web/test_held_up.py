"""HTTP at a program that was held up: what nobody waits for any more does not run."""

import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse

import anyio
import pytest

from jsonrpc_iot import Dispatcher, serve
from jsonrpc_iot.transports.web.pulse import Pulse
from tests.waiting import SECONDS

HELD_UP_SECONDS = 1.8


@contextmanager
def client(url: str) -> Iterator[socket.socket]:
    host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
    with socket.create_connection((host, int(port)), SECONDS) as connection:
        yield connection


def post(method: str, param: str) -> bytes:
    body = json.dumps({"id": 1, "method": method, "params": [param]}).encode()
    head = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return head + b"content-length: %d\r\n\r\n%s" % (len(body), body)


async def status(connection: socket.socket) -> int:
    """Read an answer."""

    def read() -> int:
        with HTTPResponse(connection) as response:
            response.begin()
            response.read()
            return response.status

    return await anyio.to_thread.run_sync(read)


@pytest.mark.anyio
@pytest.mark.only_on("asyncio")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a socket that is closed")
@pytest.mark.parametrize("method", ["at_once", "later"])
@pytest.mark.parametrize("is_known", [True, False])
async def test_a_post_whose_client_has_gone_meanwhile_does_not_run(
    method: str, is_known: bool
) -> None:
    ran: list[str] = []
    dispatcher = Dispatcher()
    dispatcher.method("at_once")(ran.append)

    @dispatcher.method
    async def later(who: str) -> None:
        ran.append(who)

    with anyio.fail_after(SECONDS):
        async with serve(dispatcher, "http://127.0.0.1:0") as server:
            with client(server.urls[0]) as patient:
                with client(server.urls[0]) as gone:
                    for each in (patient, gone) if is_known else (patient,):
                        each.sendall(post("rpc.ping", "").replace(b'[""]', b"[  ]"))
                        assert await status(each) == 200
                    gone.sendall(post(method, "gone"))
                patient.sendall(post(method, "patient"))
                time.sleep(HELD_UP_SECONDS)  # noqa: ASYNC251  # as if it was stopped
                assert await status(patient) == 200
    assert ran == ["patient"]


@pytest.mark.anyio
@pytest.mark.only_on("asyncio")
async def test_a_client_that_says_no_more_gets_its_answer() -> None:
    dispatcher = Dispatcher()
    dispatcher.method("at_once")(lambda who: who)
    with anyio.fail_after(SECONDS):
        async with serve(dispatcher, "http://127.0.0.1:0") as server:
            with client(server.urls[0]) as connection:
                connection.sendall(post("at_once", "me"))
                connection.shutdown(socket.SHUT_WR)
                assert await status(connection) == 200


def test_a_pulse_that_is_late_counts_for_a_while() -> None:
    pulse = Pulse()
    assert not pulse.was_held_up(1e9)
    pulse.beat(0.0)
    assert not pulse.was_held_up(1.4)
    pulse.beat(1.4)
    assert not pulse.was_held_up(2.8)
    assert pulse.was_held_up(3.0)
    pulse.beat(3.1)
    assert pulse.was_held_up(4.0)
    pulse.beat(4.1)
    assert not pulse.was_held_up(4.2)
