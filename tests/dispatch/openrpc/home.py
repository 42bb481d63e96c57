"""A dispatcher that uses all that a description can say."""

import math
from collections.abc import AsyncIterator
from typing import Annotated

from msgspec import Meta, Struct

from jsonrpc_iot import Context, Dispatcher, Event, Example, RpcError, method, notification, service
from jsonrpc_iot.services import System
from jsonrpc_iot.services.wifi import SimulatedWifi


class TooHot(RpcError):
    """The kettle is on already."""

    code = 2001
    message = "Too hot"


class Reading(Struct):
    """What the kettle measures.

    Args:
        celsius: the water's temperature.
        state: what it does.
    """

    celsius: Annotated[float, Meta(ge=0, le=100)]
    state: str = "idle"


class Bound(Struct):
    """How hot it may become."""

    celsius: float = math.inf


@service("kettle")
class Kettle:
    """Boils water."""

    reading = Event[Reading]()
    boiled = Event[list[int]]("done")
    anything = Event[object]()
    bound = Event[Bound]()

    @method(
        errors=[TooHot, RpcError(2002, "No water", {"litres": 0})],
        tags=["kitchen", "heat"],
        examples=[
            Example("tea", {"celsius": 80}, Reading(80.0), "Green tea."),
            Example("coffee", {"celsius": 92.5, "litres": 0.5}, {"celsius": 92.5}),
        ],
    )
    def boil(self, celsius: float, litres: float = 1.0) -> Reading:
        """Heat the water, and keep it hot.

        Stops by itself.

        Args:
            celsius (float): how hot,
                in degrees.
            litres: how much.

        Returns:
            What it measures
            at the end.

        Raises:
            TooHot: it is on already.

        Needs mains power.
        """
        raise NotImplementedError

    @method(deprecated=True)
    async def watch(self, context: Context) -> AsyncIterator[Reading]:
        """Follow the temperature."""
        yield Reading(0.0)

    @method
    def pour(self, *, litres: float, at_most: float = math.inf) -> None:
        """Pour."""

    @notification(tags=["kitchen"], examples=[Example("off", {"on": False})])
    def switch(self, on: bool) -> None:
        """Switch it.

        Args:
            on: whether it heats.
        """

    @notification(requires="admin")
    def reset(self) -> None:
        """Reset it."""


def home() -> Dispatcher:
    """Make the dispatcher."""
    dispatcher = Dispatcher(title="Home", version="7", description="All that is in it.")
    rooms = Dispatcher(title="Rooms", version="1")
    rooms.include(Kettle())
    dispatcher.include(rooms, prefix="kitchen")
    dispatcher.include(SimulatedWifi())
    dispatcher.include(System("home"))
    return dispatcher
