"""How a response travels."""

import socket
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import pytest

from jsonrpc_iot import serve

from .conftest import Device

pytestmark = pytest.mark.anyio

POST = (
    b"POST /rpc HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 38\r\n\r\n"
    b'{"id":1,"method":"add","params":[1,2]}'
)


async def test_a_response_comes_in_one_piece(device: Device) -> None:
    """Small clients take what one `recv` gives them for the whole of it."""
    async with serve(device.dispatcher, "http://127.0.0.1:0/rpc") as server:
        port = int(urlsplit(server.urls[0]).port or 0)

        def ask() -> list[bytes]:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                answers = []
                for _ in range(200):
                    client.sendall(POST)
                    answers.append(client.recv(1 << 16))
                return answers

        for answer in await anyio.to_thread.run_sync(ask):
            assert answer.endswith(b'{"id":1,"result":3}')


@pytest.mark.parametrize("size", [0, 1, 1 << 14, 1 << 15, 1 << 20])
async def test_a_response_of_any_size_is_whole(device: Device, size: int) -> None:
    device.dispatcher.method("big")(lambda: "x" * size)
    request = POST.replace(b'{"id":1,"method":"add","params":[1,2]}', b'{"id":1,"method":"big"}')
    request = request.replace(b"Content-Length: 38", b"Connection: close\r\nContent-Length: 23")
    async with serve(device.dispatcher, "http://127.0.0.1:0/rpc") as server:
        port = int(urlsplit(server.urls[0]).port or 0)
        answer = b""
        async with await anyio.connect_tcp("127.0.0.1", port) as client:
            await client.send(request)
            with anyio.fail_after(10):
                try:
                    while True:
                        answer += await client.receive()
                except anyio.EndOfStream:
                    pass
    assert answer.endswith(b'{"id":1,"result":"%b"}' % (b"x" * size))
