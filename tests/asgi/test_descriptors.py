"""A server that has no file descriptors left waits for some, and does not fill the log."""

import asyncio
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest

from jsonrpc_iot import serve
from tests.waiting import SECONDS

from .conftest import Device

pytestmark = pytest.mark.anyio

ADD = b'{"id":1,"method":"add","params":[1,2]}'
JSON = {"content-type": "application/json"}


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def reports() -> Iterator[list[object]]:
    """What the event loop would log."""
    loop = asyncio.get_running_loop()
    usual, reported = loop.get_exception_handler(), list[object]()
    loop.set_exception_handler(lambda _, context: reported.append(context))
    try:
        yield reported
    finally:
        loop.set_exception_handler(usual)


async def ask(url: str) -> int:
    async with httpx2.AsyncClient(trust_env=False, timeout=SECONDS) as http:
        return (await http.post(url, content=ADD, headers=JSON)).status_code


async def test_out_of_descriptors(device: Device) -> None:
    async with serve(device.dispatcher, "http://127.0.0.1:0/rpc") as server:
        url = server.urls[0]
        place = urlsplit(url).hostname, urlsplit(url).port
        assert await ask(url) == 200  # all that it needs is loaded now
        with ExitStack() as stack:
            clients = [stack.enter_context(socket.socket()) for _ in range(20)]
            with reports() as reported, no_more_descriptors():
                for each in clients:
                    each.connect(place)
                before = os.times()
                with anyio.move_on_after(2):  # so long it is observed
                    await anyio.sleep_forever()
                after = os.times()
            assert len(reported) < 10
            assert after.user + after.system - before.user - before.system < 1
        assert await ask(url) == 200
