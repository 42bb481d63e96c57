"""Home Assistant's rules for messages of device discovery, as a JSON schema.

Written after its documentation: home-assistant.io/integrations/mqtt ("Device discovery payload",
"Discovery topic", "Using availability topics"), and the pages of the platforms below it
(`/integrations/switch.mqtt` and so on), of version 2025.4. What is not used here is left out, so
that a member that is misspelt is found.
"""

import re
from typing import Any

from jsonschema import Draft7Validator

TOPIC = {"type": "string", "minLength": 1, "pattern": r"^[^+#\u0000]+$"}
TEXT = {"type": "string", "minLength": 1}
NUMBER = {"type": "number"}

DISCOVERY_TOPIC = re.compile(r"[^+#]+/device/[a-zA-Z0-9_-]+/config")

ENTITY = {
    "platform": TEXT,
    "unique_id": TEXT,
    "name": TEXT,
    "icon": {"type": "string", "pattern": r"^\w+:[\w-]+$"},
    "device_class": TEXT,
}
SHOWN = {"state_topic": TOPIC}
SET = {"command_topic": TOPIC}
PLATFORMS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "switch": (SHOWN | SET, ["command_topic"]),
    "button": (SET | {"payload_press": TEXT}, ["command_topic"]),
    "number": (
        SHOWN
        | SET
        | {
            "min": NUMBER,
            "max": NUMBER,
            "step": {"type": "number", "minimum": 0.001},
            "unit_of_measurement": TEXT,
        },
        ["command_topic"],
    ),
    "select": (
        SHOWN | SET | {"options": {"type": "array", "items": TEXT, "minItems": 1}},
        ["command_topic", "options"],
    ),
    "sensor": (
        SHOWN
        | {
            "unit_of_measurement": TEXT,
            "state_class": {"enum": ["measurement", "total", "total_increasing"]},
        },
        ["state_topic"],
    ),
    "binary_sensor": (SHOWN, ["state_topic"]),
    "light": (
        SHOWN
        | SET
        | {
            "brightness_command_topic": TOPIC,
            "brightness_state_topic": TOPIC,
            "brightness_scale": {"type": "integer", "minimum": 1},
        },
        ["command_topic"],
    ),
    "fan": (
        SHOWN
        | SET
        | {
            "percentage_command_topic": TOPIC,
            "percentage_state_topic": TOPIC,
            "speed_range_min": {"type": "integer", "minimum": 1},
            "speed_range_max": {"type": "integer", "minimum": 1},
        },
        ["command_topic"],
    ),
}


def _component(platform: str) -> dict[str, Any]:
    members, required = PLATFORMS[platform]
    return {
        "type": "object",
        "properties": ENTITY | members | {"platform": {"const": platform}},
        "required": ["platform", "unique_id", *required],
        "additionalProperties": False,
    }


REMOVED = {
    "type": "object",
    "properties": {"platform": {"enum": list(PLATFORMS)}},
    "required": ["platform"],
    "additionalProperties": False,
}
SCHEMA = {
    "type": "object",
    "properties": {
        "device": {
            "type": "object",
            "properties": {
                "identifiers": {"type": "array", "items": TEXT, "minItems": 1},
                "name": TEXT,
                "model": TEXT,
                "sw_version": TEXT,
                "suggested_area": TEXT,
            },
            "required": ["identifiers"],
            "additionalProperties": False,
        },
        "origin": {
            "type": "object",
            "properties": {"name": TEXT},
            "required": ["name"],
            "additionalProperties": False,
        },
        "availability": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"topic": TOPIC},
                "required": ["topic"],
                "additionalProperties": False,
            },
        },
        "availability_mode": {"enum": ["all", "any", "latest"]},
        "qos": {"enum": [0, 1, 2]},
        "components": {
            "type": "object",
            "propertyNames": {"pattern": r"^[a-zA-Z0-9_-]+$"},
            "additionalProperties": {"oneOf": [REMOVED, *map(_component, PLATFORMS)]},
        },
    },
    "required": ["device", "origin", "components"],
    "additionalProperties": False,
}
Draft7Validator.check_schema(SCHEMA)
VALIDATOR = Draft7Validator(SCHEMA)


def check(topic: str, message: dict[str, Any]) -> None:
    """Fail where Home Assistant would not take a message, or two entities have one id."""
    assert DISCOVERY_TOPIC.fullmatch(topic), topic
    VALIDATOR.validate(message)
    ids = [each["unique_id"] for each in message["components"].values() if "unique_id" in each]
    assert len(set(ids)) == len(ids)
    for each in message["components"].values():
        if "min" in each:
            assert each["min"] < each["max"]
        if "speed_range_min" in each:
            assert each["speed_range_min"] < each["speed_range_max"]
