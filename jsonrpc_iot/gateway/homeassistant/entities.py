"""The entities that a device's description stands for, as Home Assistant has them over MQTT.

Nothing here does I/O. Source: Home Assistant, "MQTT" (home-assistant.io/integrations/mqtt), device
discovery, and the pages of the platforms.
"""

import hashlib
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import DecodeError, Struct, ValidationError, convert
from msgspec.json import decode

from ...dispatch.declare.entity import Button, Entity, Fan, Light, Number, Select, Switch
from ...dispatch.openrpc.gather import Document
from .description import Field, Setter, Value, fields_of, setters_of

ON, OFF, PRESS = "ON", "OFF", "PRESS"

_MOST = 200
_LONGEST_NAME = 64
_PLAIN = re.compile(r"[A-Za-z0-9_.]{1,64}")
_ICON = re.compile(r"[a-z0-9]+:[a-z0-9-]+")


class State(Struct, frozen=True):
    """A value that a topic shows.

    Args:
        field: of the event that says it.
        is_switch: it is shown as on or off.
    """

    field: Field
    is_switch: bool

    def text(self, value: object) -> str | None:
        """What to publish for a value, `None` where that makes no sense."""
        if self.is_switch:
            is_truth = isinstance(value, bool | int | float)
            return (ON if value else OFF) if is_truth else None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return None
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return str(value)


class Command(Struct, frozen=True):
    """A call that a topic stands for.

    Args:
        setter: the method.
        is_switch: what comes is on or off.
    """

    setter: Setter
    is_switch: bool = False

    def params(self, text: str) -> dict[str, Any] | None:
        """The params for what came; `None` where that makes no sense."""
        parameter, value = self.setter.parameter, self.setter.value
        if parameter is None or value is None:
            return {} if text == PRESS else None
        if self.is_switch:
            return {parameter: text == ON} if text in (ON, OFF) else None
        if value.kind == "text":
            return {parameter: text} if text in value.choices else None
        try:
            number = decode(text, type=float)
        except DecodeError:
            return None
        number = max(number, -math.inf if value.low is None else value.low)
        number = min(number, math.inf if value.high is None else value.high)
        return {parameter: round(number) if value.is_whole else number}


class Shown(Struct, frozen=True):
    """An entity.

    Args:
        key: names it among those of its device.
        config: what the message of discovery says of it, without topics.
        states: by the members of the config that name their topics.
        commands: likewise.
    """

    key: str
    config: dict[str, Any]
    states: dict[str, State] = {}
    commands: dict[str, Command] = {}


def entities_of(document: Document) -> list[Shown]:
    """The entities of a device, by its description; up to 200."""
    return _Finder(document).find()


class _Finder:
    def __init__(self, document: Document) -> None:
        self._fields = {each.full_name: each for each in fields_of(document)}
        self._setters = {each.method: each for each in setters_of(document)}
        self._used: set[str] = set()

    def find(self) -> list[Shown]:
        found: dict[str, Shown] = {}
        said = {name: each for name, each in self._setters.items() if each.entity}
        # What is said goes before what is guessed, and may use the methods of others.
        for setter in (*said.values(), *self._setters.values()):
            if setter.method not in self._used:
                entity = _entity(setter.entity) if setter.entity else self._guess(setter)
                shown = None if entity is None else self._show(setter, entity)
                if shown is not None:
                    found[shown.key] = shown
        for field in self._fields.values():
            if field.full_name not in self._used:
                shown = _sensor(field)
                found.setdefault(shown.key, shown)
        return [found[key] for key in sorted(found)][:_MOST]

    def _guess(self, setter: Setter) -> Entity | None:
        value = setter.value
        if value is None or self._state(setter, None) is None:
            return None
        if value.kind == "boolean":
            return Switch()
        if value.kind == "text":
            return Select()
        return Number() if _range(value) else None

    def _state(self, setter: Setter, said: str | None) -> Field | None:
        """The field that shows what a method has set."""
        if said is not None:
            return self._fields.get(said)
        if setter.value is None:
            return None
        space = setter.method.rpartition(".")[0]
        near = [
            field
            for field in self._fields.values()
            if field.name == setter.parameter and field.value.kind == setter.value.kind
        ]
        own = [field for field in near if field.event.startswith(f"{setter.method}.")]
        beside = [field for field in near if field.event.rpartition(".")[0] == space]
        return next(iter((*own, *beside)), None)

    def _show(self, setter: Setter, entity: Entity) -> Shown | None:
        config = _config(entity, setter.method)
        if isinstance(entity, Button):
            needs_nothing = setter.parameter is None or setter.value is None
            if not needs_nothing:
                return None
            self._used.add(setter.method)
            config["payload_press"] = PRESS
            return Shown(key_of(setter.method), config, {}, {"command_topic": Command(setter)})
        value = setter.value
        field = self._state(setter, entity.state)
        is_switch = isinstance(entity, Switch | Light | Fan)
        if value is None or (value.kind == "boolean") is not is_switch:
            return None
        if isinstance(entity, Number):
            if value.kind != "number" or not (members := _range(value)):
                return None
            config |= members | _unit(entity.unit or value.unit)
        elif isinstance(entity, Select):
            if value.kind != "text":
                return None
            config["options"] = list(value.choices)
        self._used.add(setter.method)
        states: dict[str, State] = {}
        if field is not None:
            self._used.add(field.full_name)
            states["state_topic"] = State(field, is_switch)
        shown = Shown(
            key_of(setter.method), config, states, {"command_topic": Command(setter, is_switch)}
        )
        if isinstance(entity, Light) and entity.brightness is not None:
            self._add(shown, entity.brightness, "brightness", _scale)
        if isinstance(entity, Fan) and entity.speed is not None:
            self._add(shown, entity.speed, "percentage", _speeds)
        return shown

    def _add(
        self, shown: Shown, method: str, what: str, members: Callable[[Value], dict[str, Any]]
    ) -> None:
        """Have an entity show and set a number, too."""
        setter = self._setters.get(method)
        value = None if setter is None else setter.value
        if setter is None or value is None or value.kind != "number" or not _range(value):
            return
        shown.config.update(members(value))
        shown.commands[f"{what}_command_topic"] = Command(setter)
        self._used.add(method)
        field = self._state(setter, None)
        if field is not None:
            self._used.add(field.full_name)
            shown.states[f"{what}_state_topic"] = State(field, is_switch=False)


def key_of(name: str) -> str:
    """What names an entity or device in topics: the same as long as its name is, and no other's."""
    if _PLAIN.fullmatch(name):
        return name.replace(".", "-")
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")[:_LONGEST_NAME]
    return f"{plain}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"


def _entity(said: Document) -> Entity | None:
    try:
        entity: Entity = convert(said, Entity)
        return entity
    except ValidationError:
        return None


def _config(entity: Entity, name: str) -> dict[str, Any]:
    config: dict[str, Any] = {
        "platform": entity.__struct_config__.tag,
        "name": (entity.name or _spoken(name))[:_LONGEST_NAME],
    }
    if entity.icon is not None and _ICON.fullmatch(entity.icon):
        config["icon"] = entity.icon
    if entity.device_class and not isinstance(entity, Light | Fan | Select):
        config["device_class"] = entity.device_class
    return config


def _sensor(field: Field) -> Shown:
    is_switch = field.value.kind == "boolean"
    name = field.name
    event = field.event.removesuffix(".changed")
    spoken = _spoken(event if event.endswith(name) else f"{event}.{name}")
    config = {"platform": "binary_sensor" if is_switch else "sensor", "name": spoken}
    if field.value.kind == "number":
        config["state_class"] = "measurement"
        config |= _unit(field.value.unit)
    key = key_of(f"{field.event}.{name}")
    return Shown(key, config, {"state_topic": State(field, is_switch)})


def _spoken(name: str) -> str:
    words = re.sub(r"[._\s]+", " ", name).strip()
    return (words[:1].upper() + words[1:])[:_LONGEST_NAME] or name[:_LONGEST_NAME]


def _unit(unit: str | None) -> dict[str, str]:
    return {} if not unit else {"unit_of_measurement": unit[:_LONGEST_NAME]}


def _range(value: Value) -> dict[str, Any]:
    """The members of a number; none where it has no range."""
    if value.low is None or value.high is None or not value.low < value.high:
        return {}
    step = 1 if value.is_whole else _step(value.high - value.low)
    return {"min": value.low, "max": value.high, "step": step}


def _step(span: float) -> float:
    """A step of about a thousandth of a span."""
    return max(0.001, float(10 ** math.floor(math.log10(span / 100))))


def _scale(value: Value) -> dict[str, Any]:
    return {"brightness_scale": max(1, round(value.high or 1))}


def _speeds(value: Value) -> dict[str, Any]:
    low, high = max(1, round(value.low or 1)), round(value.high or 1)
    return {"speed_range_min": low, "speed_range_max": max(low + 1, high)}


def states_of(shown: list[Shown]) -> Iterator[tuple[Shown, str, State]]:
    """All values that are shown, with the members of the config that name their topics."""
    for each in shown:
        for member, state in each.states.items():
            yield each, member, state
