"""Clients written by hand, on blocking sockets."""

import socket
from collections.abc import Callable

import msgspec
import pytest

from .calls import REQUESTS, check
from .conftest import Simulated


def on_tcp(simulated: Simulated) -> socket.socket:
    return socket.create_connection((simulated.host, simulated.port), timeout=20)


def on_a_pipe(simulated: Simulated) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(str(simulated.path))
    return connection


Open = Callable[[Simulated], socket.socket]
LINKS = pytest.mark.parametrize("open_link", [on_tcp, on_a_pipe])


@LINKS
@pytest.mark.parametrize("size", [1, 7, len(REQUESTS)])
def test_pieces_of_any_size(simulated: Simulated, open_link: Open, size: int) -> None:
    with open_link(simulated) as connection, connection.makefile("rb") as replies:
        for start in range(0, len(REQUESTS), size):
            connection.sendall(REQUESTS[start : start + size])
        connection.shutdown(socket.SHUT_WR)
        check(replies.read())


@LINKS
def test_one_call_after_the_other(simulated: Simulated, open_link: Open) -> None:
    with open_link(simulated) as connection, connection.makefile("rb") as replies:
        for number in range(100):
            connection.sendall(
                b'{"id":%d,"method":"echo","params":{"value":%d}}\n' % (number, number)
            )
            assert replies.readline() == b'{"id":%d,"result":%d}\n' % (number, number)


@LINKS
@pytest.mark.parametrize(
    "end", [b"", b"\r\n", b"\n\n\n", b" "], ids=["nothing", "CR LF", "blank lines", "a space"]
)
def test_any_end_of_a_message(simulated: Simulated, open_link: Open, end: bytes) -> None:
    with open_link(simulated) as connection, connection.makefile("rb") as replies:
        for _ in range(2):
            connection.sendall(b'{"id":1,"method":"rpc.ping"}' + end)
            assert replies.readline() == b'{"id":1,"result":true}\n'


@LINKS
def test_the_connection_survives_nonsense(simulated: Simulated, open_link: Open) -> None:
    with open_link(simulated) as connection, connection.makefile("rb") as replies:
        connection.sendall(b'\x00\xff nonsense\n{"id":1,"method":"rpc.ping"}\n')

        assert msgspec.json.decode(replies.readline())["error"]["code"] == -32700
        assert replies.readline() == b'{"id":1,"result":true}\n'


@LINKS
def test_notifications_are_pushed(simulated: Simulated, open_link: Open) -> None:
    with open_link(simulated) as connection, connection.makefile("rb") as messages:
        connection.sendall(
            b'{"id":1,"method":"wifi.connect","params":{"ssid":"no network of that name"}}\n'
        )
        seen = [msgspec.json.decode(messages.readline()) for _ in range(3)]

    assert [message.get("method") for message in seen] == ["wifi.status", "wifi.status", None]
    assert [message["params"]["state"] for message in seen[:2]] == [1, 4]
    assert seen[2]["error"]["code"] == 1001
