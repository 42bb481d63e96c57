"""What a method is in a smart home, where that does not follow from its signature.

A description carries it as `x-entity` of the method; who shows devices to people reads it there.
"""

from msgspec import Struct


class _Entity(Struct, frozen=True, omit_defaults=True, tag_field="platform"):
    """What all of them have.

    Args:
        state: the event and its field that say what it is now, as in `lamp.changed.level`; by
            default the event that has a field of the parameter's name.
        name: what people call it; by default the method's name.
        icon: as in `mdi:lamp`.
        device_class: what Home Assistant has for this platform, as `outlet` or `restart`.
    """

    state: str | None = None
    name: str | None = None
    icon: str | None = None
    device_class: str | None = None


class Switch(_Entity, frozen=True, omit_defaults=True, tag="switch"):
    """Something that is on or off: a method with one boolean parameter."""


class Number(_Entity, frozen=True, omit_defaults=True, tag="number"):
    """A number that can be set: a method with one number as its parameter.

    Args:
        unit: that it is in.
    """

    unit: str | None = None


class Select(_Entity, frozen=True, omit_defaults=True, tag="select"):
    """One of several texts: a method with one parameter of which the description lists them."""


class Light(_Entity, frozen=True, omit_defaults=True, tag="light"):
    """A lamp: a method with one boolean parameter, as of a switch.

    Args:
        brightness: the method that sets how bright it is, a number with a range.
    """

    brightness: str | None = None


class Fan(_Entity, frozen=True, omit_defaults=True, tag="fan"):
    """A fan: a method with one boolean parameter, as of a switch.

    Args:
        speed: the method that sets how fast it runs, a number with a range.
    """

    speed: str | None = None


class Button(_Entity, frozen=True, omit_defaults=True, tag="button"):
    """Something to press: a method that needs no parameters."""


Entity = Switch | Number | Select | Light | Fan | Button
