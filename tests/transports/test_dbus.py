"""A connection to one service on D-Bus: who is heard, and who is not."""

from pathlib import Path

import anyio
import pytest
from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus

from jsonrpc_iot.transports.dbus import ServiceBus, open_bus
from tests.transports.gatt.bluez.fake_bluez import dbus_daemon

NAME = "org.example.Lamp"
PATH = "/org/example/Lamp"
RULE = "member='Changed'"

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]


class Ear:
    """What a handler has heard."""

    def __init__(self) -> None:
        self.heard: list[list[object]] = []
        self._news = anyio.Event()

    def handle(self, message: Message, bus: ServiceBus) -> bool:
        self.heard.append([message.member, *message.body])
        self._news.set()
        return False

    async def until(self, *what: object) -> None:
        with anyio.fail_after(10):
            while list(what) not in self.heard:
                self._news = anyio.Event()
                await self._news.wait()


def changed(value: str, to: str | None = None, name: str = "Changed") -> Message:
    return Message(
        destination=to,
        path=PATH,
        interface=NAME,
        member=name,
        message_type=MessageType.SIGNAL,
        signature="s",
        body=[value],
    )


async def test_only_the_service_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signals to one receiver need no match rule, so anybody can send them."""
    ear = Ear()
    async with dbus_daemon(tmp_path) as address:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        service, stranger = [await MessageBus(address, BusType.SYSTEM).connect() for _ in range(2)]
        bus = await open_bus(NAME, ear.handle, lambda: None)
        await bus.watch(RULE)
        assert bus.owner == ""
        ours = bus._bus.unique_name
        for name in ("Changed", "NameOwnerChanged"):
            await stranger.send(changed("before there is one", to=ours, name=name))
        await service.request_name(NAME)
        await ear.until("NameOwnerChanged", NAME, "", service.unique_name)
        for name in ("Changed", "NameOwnerChanged"):
            await stranger.send(changed("forged", to=ours, name=name))
        await stranger.send(changed("forged to all"))
        # The daemon keeps the order of what it has got: the stranger's come before this.
        await stranger.call(Message(destination=NAME, path=PATH, member="Peek"))
        await service.send(changed("true"))
        await ear.until("Changed", "true")

        assert ear.heard == [
            ["NameOwnerChanged", NAME, "", service.unique_name],
            ["Changed", "true"],
        ]
        assert bus.owner == service.unique_name
        service.disconnect()
        await ear.until("NameOwnerChanged", NAME, service.unique_name, "")
        assert bus.owner == ""
        stranger.disconnect()
        await bus.aclose()
