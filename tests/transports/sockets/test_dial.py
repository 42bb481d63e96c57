"""Names with several addresses, and where nobody answers."""

import socket
from typing import Any

import anyio
import pytest

from jsonrpc_iot.transports.sockets import dial
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio


def place(raw: socket.socket) -> tuple[Any, ...]:
    """What `getaddrinfo` says of a socket's address."""
    return raw.family, socket.SOCK_STREAM, 0, "", raw.getsockname()


@pytest.fixture
def server() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as raw:
        yield raw


@pytest.fixture
def deaf() -> Any:
    """Nobody listens there."""
    with socket.socket() as raw:
        raw.bind(("127.0.0.1", 0))
        yield raw


def names(monkeypatch: pytest.MonkeyPatch, *places: tuple[Any, ...]) -> None:
    async def resolve(host: str, port: int) -> list[tuple[Any, ...]]:
        return list(places)

    monkeypatch.setattr(dial, "_resolve", resolve)


async def test_the_next_address_is_tried_as_soon_as_one_has_failed(
    monkeypatch: pytest.MonkeyPatch, server: socket.socket, deaf: socket.socket
) -> None:
    monkeypatch.setattr(dial, "_STAGGER_SECONDS", SECONDS)
    names(monkeypatch, place(deaf), place(server))
    with anyio.fail_after(SECONDS / 2):
        async with await dial.connect_tcp("lamp", 8805) as stream:
            assert stream.extra(anyio.abc.SocketAttribute.remote_address) == server.getsockname()


async def test_an_address_that_does_not_answer_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch, server: socket.socket, deaf: socket.socket
) -> None:
    connect = dial._connect

    async def connect_one(family: int, address: Any) -> socket.socket:
        if address == deaf.getsockname():
            await anyio.sleep_forever()
        return await connect(family, address)

    monkeypatch.setattr(dial, "_connect", connect_one)
    names(monkeypatch, place(deaf), place(server))
    with anyio.fail_after(SECONDS):
        async with await dial.connect_tcp("lamp", 8805) as stream:
            assert stream.extra(anyio.abc.SocketAttribute.remote_address) == server.getsockname()


async def test_where_nobody_answers_each_attempt_is_a_cause(
    monkeypatch: pytest.MonkeyPatch, deaf: socket.socket
) -> None:
    names(monkeypatch, place(deaf))
    with pytest.raises(ConnectionRefusedError):
        await dial.connect_tcp("lamp", 8805)
    names(monkeypatch, place(deaf), place(deaf))
    with pytest.raises(OSError, match="all attempts failed") as caught:
        await dial.connect_tcp("lamp", 8805)
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    assert len(caught.value.__cause__.exceptions) == 2


@pytest.mark.parametrize(
    ("families", "order"), [("4466", "4646"), ("6644", "6464"), ("666", "666"), ("", "")]
)
def test_families_take_turns(families: str, order: str) -> None:
    number = {"4": socket.AF_INET, "6": socket.AF_INET6}
    found = [(number[each], 0, 0, "", str(at)) for at, each in enumerate(families)]
    places = dial._by_turns(found)
    assert [family for family, _ in places] == [number[each] for each in order]
    assert sorted(address for _, address in places) == [str(at) for at in range(len(families))]
