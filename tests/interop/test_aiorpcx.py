"""aiorpcX's client, which speaks JSON-RPC 2.0 on lines."""

import asyncio
from typing import Any

import aiorpcx
import pytest

from .conftest import Simulated


class Session(aiorpcx.RPCSession):
    """A client that keeps the notifications that come."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.notifications: list[tuple[str, Any]] = []

    async def handle_request(self, request: Any) -> None:
        self.notifications.append((request.method, request.args))


def with_session(simulated: Simulated, conversation: Any) -> Any:
    async def converse() -> Any:
        connecting = aiorpcx.connect_rs(
            simulated.host, simulated.port, session_factory=Session, framer=aiorpcx.NewlineFramer()
        )
        async with asyncio.timeout(20), connecting as session:
            return await conversation(session)

    return asyncio.run(converse())


def test_calls_by_name_and_by_position(simulated: Simulated) -> None:
    async def conversation(session: Session) -> None:
        assert await session.send_request("rpc.ping") is True
        assert await session.send_request("echo", {"value": "grün"}) == "grün"
        assert await session.send_request("echo", [[1, 2.5, None]]) == [1, 2.5, None]
        assert {"ssid", "rssi"} <= (await session.send_request("wifi.scan"))[0].keys()

    with_session(simulated, conversation)


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [("no.such", [], -32601), ("echo", [], -32602), ("wifi.connect", {"ssid": "none"}, 1001)],
)
def test_errors(simulated: Simulated, method: str, params: Any, code: int) -> None:
    async def conversation(session: Session) -> None:
        with pytest.raises(aiorpcx.RPCError) as caught:
            await session.send_request(method, params)
        assert caught.value.code == code

    with_session(simulated, conversation)


def test_a_batch(simulated: Simulated) -> None:
    async def conversation(session: Session) -> None:
        async with session.send_batch() as batch:
            batch.add_request("echo", [1])
            batch.add_notification("echo", [2])
            batch.add_request("rpc.ping")
        assert batch.results == (1, True)

    with_session(simulated, conversation)


def test_many_calls_at_once(simulated: Simulated) -> None:
    async def conversation(session: Session) -> None:
        calls = [session.send_request("echo", [number]) for number in range(200)]
        assert await asyncio.gather(*calls) == list(range(200))

    with_session(simulated, conversation)


def test_notifications_come_in_its_dialect(simulated: Simulated) -> None:
    async def conversation(session: Session) -> None:
        with pytest.raises(aiorpcx.RPCError):
            await session.send_request("wifi.connect", {"ssid": "none"})
        methods = [method for method, _ in session.notifications]
        assert methods == ["wifi.status", "wifi.status"]

    with_session(simulated, conversation)
