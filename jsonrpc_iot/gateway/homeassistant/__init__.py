"""Devices of a gateway as entities of Home Assistant, which finds them over MQTT by itself."""

from ...dispatch.declare.entity import Button, Entity, Fan, Light, Number, Select, Switch
from .discovery import Look
from .publisher import HomeAssistant

__all__ = [
    "Button",
    "Entity",
    "Fan",
    "HomeAssistant",
    "Light",
    "Look",
    "Number",
    "Select",
    "Switch",
]
