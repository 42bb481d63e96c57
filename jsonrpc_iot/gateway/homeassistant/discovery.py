"""The messages that make a device known to Home Assistant, and the topics that they name.

Source: Home Assistant, "MQTT" (home-assistant.io/integrations/mqtt), device discovery payload.
"""

import hashlib
import secrets
from typing import Any

from msgspec import Struct

from ...dispatch.openrpc.gather import Document
from .entities import Shown, key_of

ONLINE, OFFLINE = b"online", b"offline"

_LONGEST_TEXT = 128


class Look(Struct, frozen=True):
    """How a device is shown.

    Args:
        title: its name; by default the gateway's for it.
        area: the room that it is in.
        icon: of its entities that have none of their own, as in `mdi:lamp`.
    """

    title: str | None = None
    area: str | None = None
    icon: str | None = None


class Topics:
    """The topics of one gateway's devices.

    Args:
        base: the topic below which all but the discovery is.
        prefix: that of Home Assistant's discovery.
    """

    def __init__(self, base: str, prefix: str) -> None:
        self.base = base
        self.status = f"{base}/status"
        self.commands = f"{base}/+/+/+/set"
        self.discoveries = f"{prefix}/device/+/config"
        self.probe = f"{base}/{secrets.token_hex(8)}/probe/probe/set"
        self._prefix = prefix

    def node(self, device: str) -> str:
        """The unique id of a device, which it keeps: no other gateway at the broker has it."""
        own = hashlib.sha256(f"{self.base}\0{device}".encode(errors="replace")).hexdigest()
        return f"{key_of(device)}-{own[:8]}"

    def discovery(self, node: str) -> str:
        """Where a device is made known."""
        return f"{self._prefix}/device/{node}/config"

    def node_of_discovery(self, topic: str) -> str | None:
        """The device that a topic makes known, `None` for other topics."""
        head, tail = f"{self._prefix}/device/", "/config"
        if not topic.startswith(head) or not topic.endswith(tail):
            return None
        return topic[len(head) : -len(tail)]

    def presence(self, node: str) -> str:
        """Where it is told whether a device is there."""
        return f"{self.base}/{node}/status"

    def value(self, node: str, key: str, member: str) -> str:
        """Where a value is shown, or set, by the member of the config that names the topic."""
        what, kind = _split(member)
        return f"{self.base}/{node}/{key}/{what}/{kind}"

    def command(self, topic: str) -> tuple[str, str, str] | None:
        """The node, the key and the member of the config of a command's topic."""
        parts = topic.removeprefix(f"{self.base}/").split("/")
        if len(parts) != 4:
            return None
        what = "" if parts[2] == "value" else f"{parts[2]}_"
        return parts[0], parts[1], f"{what}command_topic"


def message(
    topics: Topics, device: str, shown: list[Shown], document: Document, look: Look
) -> dict[str, Any]:
    """What makes a device known, in one message.

    Args:
        topics: of the gateway.
        device: the gateway's name for it.
        shown: its entities.
        document: its description.
        look: how it is shown.
    """
    node = topics.node(device)
    about: dict[str, Any] = {
        "identifiers": [node],
        "name": (look.title or device)[:_LONGEST_TEXT],
    }
    info = document.get("info")
    for member, key in (("title", "model"), ("version", "sw_version")):
        text = info.get(member) if isinstance(info, dict) else None
        if isinstance(text, str) and text:
            about[key] = text[:_LONGEST_TEXT]
    if look.area is not None:
        about["suggested_area"] = look.area
    return {
        "device": about,
        "origin": {"name": "jsonrpc-iot"},
        "availability": [{"topic": topics.status}, {"topic": topics.presence(node)}],
        "availability_mode": "all",
        "qos": 1,
        "components": {each.key: _component(topics, node, each, look) for each in shown},
    }


def _component(topics: Topics, node: str, shown: Shown, look: Look) -> dict[str, Any]:
    icon = {} if look.icon is None else {"icon": look.icon}
    members = (*shown.states, *shown.commands)
    return {
        **icon,
        **shown.config,
        "unique_id": f"{node}-{shown.key}",
        **{member: topics.value(node, shown.key, member) for member in members},
    }


def _split(member: str) -> tuple[str, str]:
    """What a topic is about, and whether it shows or sets it."""
    what, _, kind = member.removesuffix("_topic").rpartition("_")
    return what or "value", "set" if kind == "command" else kind
