"""What Home Assistant is for these tests: somebody at the broker who keeps what is published."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.transports.mqtt.topics import open_broker
from tests.waiting import SECONDS

from .schema import check

if TYPE_CHECKING:
    from jsonrpc_iot.transports.mqtt.topics import Broker


class Home:
    """What the broker keeps, and what it told.

    Args:
        broker: a connection of its own.
        prefix: of the discovery.
    """

    def __init__(self, broker: "Broker", prefix: str) -> None:
        self.topics: dict[str, str] = {}
        self.seen: list[tuple[str, str]] = []
        self.broker = broker
        self._prefix = prefix
        self._changed = anyio.Event()

    async def listen(self) -> None:
        while True:
            for each in await self.broker.receive():
                if each.topic.endswith("/set"):
                    continue
                self.seen.append((each.topic, each.data.decode()))
                if each.data:
                    self.topics[each.topic] = each.data.decode()
                    if each.topic.startswith(f"{self._prefix}/"):
                        check(each.topic, json.loads(each.data))
                else:
                    self.topics.pop(each.topic, None)
                changed, self._changed = self._changed, anyio.Event()
                changed.set()

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Wait until what the broker keeps is as expected; gives what the condition does."""
        with anyio.fail_after(SECONDS):
            while True:
                try:
                    found = condition()
                except (KeyError, StopIteration):
                    found = None
                if found:
                    return found
                await self._changed.wait()

    def devices(self) -> dict[str, dict[str, Any]]:
        """The devices by name, without entities that are removed."""
        found = {}
        for topic, text in self.topics.items():
            if topic.startswith(f"{self._prefix}/"):
                made = json.loads(text)
                made["components"] = {
                    each["name"]: each
                    for each in made["components"].values()
                    if "unique_id" in each
                }
                found[made["device"]["name"]] = made
        return found

    async def entity(self, device: str, name: str) -> dict[str, Any]:
        """Wait for an entity; gives its config."""
        entity: dict[str, Any] = await self.until(
            lambda: self.devices()[device]["components"][name]
        )
        return entity

    def is_available(self, device: str) -> bool:
        """Whether all that an entity depends on is online."""
        made = self.devices()[device]
        assert made["availability_mode"] == "all"
        return all(self.topics.get(each["topic"]) == "online" for each in made["availability"])

    async def state(self, entity: dict[str, Any], text: str, member: str = "state_topic") -> None:
        """Wait until an entity is in a state."""
        await self.until(lambda: self.topics.get(entity[member]) == text)

    async def command(
        self, entity: dict[str, Any], text: str, member: str = "command_topic"
    ) -> None:
        """Set something."""
        await self.broker.deliver(entity[member], text.encode(), 1)


@asynccontextmanager
async def at_home(url: str, prefix: str) -> AsyncIterator[Home]:
    """Somebody who listens to a prefix, and to all below the path of a URL."""
    parsed = Url.parse(url)
    will = (f"{parsed.path.strip('/')}/home", b"gone")
    async with open_broker(parsed, will) as broker, anyio.create_task_group() as tasks:
        home = Home(broker, prefix)
        await broker.subscribe(f"{prefix}/#", 1)
        await broker.subscribe(f"{parsed.path.strip('/')}/homeassistant/#", 1)
        tasks.start_soon(home.listen)
        yield home
        tasks.cancel_scope.cancel()
