"""What the tests of the `wifi` service share."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import msgspec
from trio.testing import MockClock

from jsonrpc_iot import Dispatcher
from jsonrpc_iot.services.wifi import (
    DEFAULT_NETWORKS,
    SimulatedNetwork,
    SimulatedWifi,
    Wifi,
    WifiState,
    WifiStatus,
)

HOME = "home-network-2g"
KEY = "correct horse battery"
NEVER = 3600.0


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def instant(
    seed: int = 0,
    networks: tuple[SimulatedNetwork, ...] = DEFAULT_NETWORKS,
    *,
    hardware: bool = True,
    connect_time: float = 0,
) -> SimulatedWifi:
    """A radio whose clock stands and that takes no time, unless told to."""
    return SimulatedWifi(
        seed,
        networks=networks,
        hardware=hardware,
        scan_time=0,
        connect_time=connect_time,
        clock=Clock(),
    )


def serving(wifi: Wifi) -> Dispatcher:
    dispatcher = Dispatcher()
    dispatcher.include(wifi)
    return dispatcher


async def ask(wifi: Wifi, method: str, params: object = None) -> Any:
    """The response's `result`, or its `error`, of one request in bytes."""
    request = {"method": method, "id": 1, "params": params}
    reply = await serving(wifi).dispatch(msgspec.json.encode(request))
    assert reply is not None
    response = msgspec.json.decode(reply)
    assert response.pop("id") == 1
    [answer] = response.values()
    return answer


def pushes_of(wifi: Wifi) -> list[WifiStatus]:
    pushes: list[WifiStatus] = []
    wifi.status_changed.subscribe(pushes.append)
    return pushes


def states(pushes: list[WifiStatus]) -> list[int]:
    return [status.state for status in pushes]


def reached(wifi: Wifi, state: WifiState) -> anyio.Event:
    """An event that is set when the radio enters that state."""
    event = anyio.Event()
    wifi.status_changed.subscribe(lambda status: event.set() if status.state is state else None)
    return event


def on_virtual_time(main: Callable[[], Awaitable[None]]) -> None:
    """Run on trio with a clock that jumps ahead whenever everything waits."""
    anyio.run(main, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})
