"""The sensors and actuators of a simulated NovaCloud device."""

import math
import random
from collections.abc import Callable
from typing import Any, TypeAlias

from jsonrpc_iot import UsageError

Value: TypeAlias = float | str | bool
Wave: TypeAlias = Callable[[float], Value]

_PERIOD = 60.0  # seconds of a sine
_BASES = {"temperature": 22.0, "humidity": 50.0, "pressure": 1013.0, "light": 400.0}
_WORDS = {"on": True, "true": True, "open": True, "off": False, "false": False, "closed": False}


class Simulation:
    """The sensors of a device and what its actuators do to them.

    A sensor follows its wave until an actuator of the same name (`fan`, `set_fan` and `fan_switch`
    all mean `fan`) sets it. The state of an actuator that means no sensor is reported beside them.

    Args:
        sensors: `NAME=WAVE` each, with the wave `sine`, `walk`, `random` or `constant:VALUE`.
        actuators: names.
        seed: that of what is random.

    Raises:
        UsageError: there is no such wave.
    """

    def __init__(self, sensors: list[str], actuators: list[str], seed: int) -> None:
        self._random = random.Random(seed)
        self._waves = dict(self._parse(text) for text in sensors)
        self._set: dict[str, Any] = {}
        self.actuators = list(dict.fromkeys(actuators))

    def values(self, now: float) -> dict[str, Any]:
        """What the sensors show at a time, in seconds."""
        return {**{name: wave(now) for name, wave in self._waves.items()}, **self._set}

    def act(self, actuator: str, value: Any) -> dict[str, Any]:
        """Do as an actuator is told; returns what its sensor shows."""
        name = self._sensor(actuator)
        shown = self.values(0.0).get(name)
        is_on = _WORDS.get(value.lower()) if isinstance(value, str) else value
        if isinstance(shown, bool) and is_on is not None:
            value = bool(is_on)
        elif isinstance(shown, float | int) and isinstance(is_on, bool):
            value = _BASES.get(name, 50.0) if is_on else 0.0
        self._set[name] = value
        return {name: value}

    def _sensor(self, actuator: str) -> str:
        for name in (actuator, actuator.removeprefix("set_"), actuator.removesuffix("_switch")):
            if name in self._waves:
                return name
        return actuator

    def _parse(self, text: str) -> tuple[str, Wave]:
        name, _, kind = text.partition("=")
        kind, _, rest = (kind or "sine").partition(":")
        base = _BASES.get(name, 50.0)
        waves: dict[str, Wave] = {
            "sine": lambda now: round(base * (1 + 0.1 * math.sin(math.tau * now / _PERIOD)), 3),
            "random": lambda now: round(base * self._random.uniform(0.9, 1.1), 3),
            "walk": _walk(base, self._random),
            "constant": lambda now: constant,
        }
        constant = _constant(rest)
        if not name or kind not in waves:
            raise UsageError(
                f"--sensor {text}: NAME=sine, walk, random or constant:VALUE is needed"
            )
        return name, waves[kind]


def _walk(base: float, source: random.Random) -> Wave:
    value = base

    def step(_: float) -> float:
        nonlocal value
        value += source.uniform(-0.02, 0.02) * base + 0.05 * (base - value)
        return round(value, 3)

    return step


def _constant(text: str) -> Value:
    if text in {"true", "false"}:
        return text == "true"
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number):
        raise UsageError(f"constant:{text}: not a finite number")
    return int(number) if number.is_integer() and "." not in text else number
