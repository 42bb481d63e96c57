"""One device as it is shown to Home Assistant, and the shelf of what is to be published."""

import logging
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from ...channel.changes import Change
from ...dispatch.openrpc.gather import Document
from ...errors import RpcError, rpc_error
from ...protocol.about import about
from ..gateway import Gateway
from .discovery import OFFLINE, ONLINE, Look, Topics, message
from .entities import Command, Shown, State, entities_of, states_of

if TYPE_CHECKING:
    from ...transports.mqtt.topics import Broker

logger = logging.getLogger("jsonrpc_iot.gateway.homeassistant")

_WAITING_COMMANDS = 64


class Caller:
    """Calls a gateway as a stranger does.

    Args:
        gateway: answers.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, method: str, params: dict[str, Any] | None = None) -> Any:
        """Call a method; raises `RpcError` for an error."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
        answer = await self._gateway.dispatch(msgspec.json.encode(request))
        response = msgspec.json.decode(answer or b"{}")
        error = response.get("error")
        if error is not None:
            raise rpc_error(error["code"], error["message"], error.get("data"))
        return response.get("result")


class Shelf:
    """What is to be published, and what the broker has kept of devices.

    Of two messages for one topic only the later one is sent.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, bytes] = {}
        self._last: dict[str, bytes] = {}
        self._news = Change()
        self._known: dict[str, dict[str, Any]] = {}

    def put(self, topic: str, data: bytes) -> None:
        """Have a message published, retained."""
        self._waiting.pop(topic, None)
        self._waiting[topic] = data
        if data:
            self._last[topic] = data
        else:
            self._last.pop(topic, None)
        self._news.notify()

    def begin_again(self) -> None:
        """Have all of it published again, to a broker that may have lost it."""
        self._waiting = self._last | self._waiting

    def remember(self, node: str, data: bytes) -> None:
        """Learn what the broker has kept of a device; that of others is no matter."""
        with suppress(msgspec.DecodeError, msgspec.ValidationError):
            self._known[node] = msgspec.json.decode(data, type=dict[str, Any])

    def make_known(self, topics: Topics, node: str, made: dict[str, Any]) -> None:
        """Have a device made known, and its former entities removed that it has no more."""
        components = _components(self._known.get(node, {}))
        gone = {
            key: {"platform": each["platform"]}
            for key, each in components.items()
            if key not in made["components"] and isinstance(each.get("platform"), str)
        }
        for key in gone:
            self._clear_values(components[key])
        self._known[node] = made
        made = {**made, "components": {**gone, **made["components"]}}
        self.put(topics.discovery(node), msgspec.json.encode(made))

    def nodes_of(self, status: str) -> set[str]:
        """The devices whose presence hangs on a topic."""
        return {
            node
            for node, each in self._known.items()
            if isinstance(each.get("availability"), list)
            and {"topic": status} in each["availability"]
        }

    def clear(self, topics: Topics, node: str) -> None:
        """Have a device removed, and all that was kept of it."""
        made = self._known.pop(node, {})
        self.put(topics.discovery(node), b"")
        for component in _components(made).values():
            self._clear_values(component)
        self.put(topics.presence(node), b"")

    def _clear_values(self, component: dict[str, Any]) -> None:
        for member, topic in component.items():
            if member.endswith("state_topic") and isinstance(topic, str):
                self.put(topic, b"")

    async def empty_into(self, broker: "Broker") -> None:
        """Publish what waits, and what will, until cancelled; raises `BrokenResourceError`."""
        while True:
            while self._waiting:
                await broker.wait_for_room()
                topic = next(iter(self._waiting), None)
                if topic is None:
                    continue
                data = self._waiting.pop(topic)
                if not broker.publish(topic, data, 1, retain=True) and not broker.is_lost:
                    logger.warning("%s: %d bytes are too many for the broker", topic, len(data))
            await self._news.wait()


class ShownDevice:
    """One device of the gateway.

    Args:
        name: the gateway's for it.
        look: how it is shown.
        topics: of the gateway.
        call: reaches the gateway.
        shelf: takes what is to be published.

    Attributes:
        name: as above.
        look: as above.
        is_online: it is there.
        is_removed: the gateway has it no more.
    """

    def __init__(self, name: str, look: Look, topics: Topics, call: Caller, shelf: Shelf) -> None:
        self.name = name
        self.look = look
        self.is_online = False
        self.is_removed = False
        self._node = topics.node(name)
        self._topics = topics
        self._call = call
        self._shelf = shelf
        self._news = Change()
        self._is_fresh = False
        self._states: dict[str, list[tuple[str, State]]] = {}  # by event, each with its topic
        self._commands: dict[tuple[str, str], Command] = {}  # by key and member
        self._orders: deque[tuple[Command, dict[str, Any]]] = deque()
        self._ordered = Change()

    def refresh(self) -> None:
        """Have it shown anew: it has come, gone, or looks different."""
        self._is_fresh = False
        self._news.notify()

    async def show(self) -> None:
        """Show it, until the gateway has it no more."""
        while not self.is_removed:
            self._is_fresh = True
            if self.is_online:
                try:
                    await self._introduce()
                except RpcError as error:
                    logger.warning(
                        "%s does not describe itself: %s", self.name, error, extra=about(self.name)
                    )
            if self._is_fresh and not self.is_removed:
                presence = ONLINE if self.is_online else OFFLINE
                self._shelf.put(self._topics.presence(self._node), presence)
            while self._is_fresh:
                await self._news.wait()
        self._shelf.clear(self._topics, self._node)

    async def _introduce(self) -> None:
        """Make known what it has, and what its values are where it says them."""
        document = await self._call("rpc.discover", {"device": self.name})
        if not isinstance(document, dict) or self.is_removed:
            return
        shown = entities_of(document)
        self._learn(shown)
        made = message(self._topics, self.name, shown, document, self.look)
        self._shelf.make_known(self._topics, self._node, made)
        await self._read_values(document)

    def _learn(self, shown: list[Shown]) -> None:
        self._states = {}
        for each, member, state in states_of(shown):
            topic = self._topics.value(self._node, each.key, member)
            self._states.setdefault(state.field.event, []).append((topic, state))
        self._commands = {
            (each.key, member): command
            for each in shown
            for member, command in each.commands.items()
        }

    async def _read_values(self, document: Document) -> None:
        """Ask a device with names for values, as a Tuya device, for all of them."""
        methods = document.get("methods")
        names = {each.get("name") for each in methods if isinstance(each, dict)} if methods else ()
        if "get" not in names:
            return
        values = await self._call(f"{self.name}.get")
        for name, value in values.items() if isinstance(values, dict) else ():
            self.hear(f"{name}.changed", {name: value})

    def hear(self, event: str, params: object) -> None:
        """Show the values of an event."""
        for topic, state in self._states.get(event, ()):
            value = params.get(state.field.name) if isinstance(params, dict) else None
            text = state.text(value)
            if text is not None:
                self._shelf.put(topic, text.encode())

    def order(self, key: str, member: str, text: str) -> None:
        """Take a command that came, to be obeyed when its turn comes."""
        command = self._commands.get((key, member))
        params = None if command is None else command.params(text)
        if command is None or params is None:
            logger.warning(
                "%s: %s cannot be set to %r", self.name, key, text, extra=about(self.name)
            )
        elif len(self._orders) >= _WAITING_COMMANDS:
            logger.warning(
                "%s: too many commands wait, %s is dropped", self.name, key, extra=about(self.name)
            )
        else:
            self._orders.append((command, params))
            self._ordered.notify()

    async def obey(self) -> None:
        """Carry out commands, one after the other, until cancelled."""
        while True:
            while not self._orders:
                await self._ordered.wait()
            command, params = self._orders.popleft()
            method = f"{self.name}.{command.setter.method}"
            try:
                await self._call(method, params)
            except RpcError as error:
                logger.warning("%s: %s", method, error, extra=about(self.name, method))


def _components(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    components = made.get("components")
    known = components.items() if isinstance(components, dict) else ()
    return {key: each for key, each in known if isinstance(each, dict)}
