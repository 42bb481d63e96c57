"""`nova device`: a simulated device of a NovaCloud platform, whose actuators change its sensors."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio

from ._log import show_warnings
from ._nova import (
    CaOption,
    CertKeyOption,
    CertOption,
    HostOption,
    PortOption,
    TlsOption,
    tls_context,
)
from ._options import duration
from ._output import print_text
from ._signals import until_signal
from ._simulation import Simulation
from .command.declare import Option

if TYPE_CHECKING:
    from jsonrpc_iot.novacloud import NovaDevice


def device(
    *,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8100,
    id: Annotated[str, Option("--id", metavar="UUID", help="Its id.")],
    key_file: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="A TOML file with device_key; otherwise NOVACLOUD_DEVICE_KEY is the key.",
        ),
    ] = None,
    sensor: Annotated[
        list[str] | None,
        Option(
            metavar="NAME=WAVE",
            help="What it measures: sine, walk, random or constant:VALUE. Once for each sensor.",
        ),
    ] = None,
    actuator: Annotated[
        list[str] | None,
        Option(metavar="NAME", help="A command that it takes. Once for each."),
    ] = None,
    outbox: Annotated[
        Path | None,
        Option(metavar="FILE", help="Keeps reports that the platform has not got."),
    ] = None,
    interval: Annotated[float, duration("Between reports.")] = 5.0,
    heartbeat: Annotated[float, duration("Between signs of life.")] = 60.0,
    tls: TlsOption = False,
    ca: CaOption = None,
    cert: CertOption = None,
    key: CertKeyOption = None,
    seed: Annotated[int, Option(metavar="N", help="Chooses what is random.")] = 0,
) -> None:
    """Be a simulated device of a NovaCloud platform.

    It reports its sensors, follows commands, and connects again whenever that is needed. Prints
    "connected novacloud://HOST:PORT" once the platform has let it in, and stops on SIGINT or
    SIGTERM.
    """
    from jsonrpc_iot.novacloud import NovaDevice, Outbox

    show_warnings()
    simulation = Simulation(sensor or ["temperature=sine"], actuator or [], seed)
    simulated = NovaDevice(
        host,
        port,
        device_id=id,
        device_key=key_file,
        outbox=None if outbox is None else Outbox(outbox),
        tls=tls_context(tls=tls, ca=ca, cert=cert, key=key),
        heartbeat=heartbeat,
    )
    for name in simulation.actuators:
        _register(simulated, simulation, name)
    anyio.run(_run, simulated, simulation, interval, f"novacloud://{host}:{port}")


async def _run(device: "NovaDevice", simulation: Simulation, interval: float, url: str) -> None:
    async with until_signal() as tasks, device:
        tasks.start_soon(_announce, device, url)
        await _report(device, simulation, interval)


async def _report(device: "NovaDevice", simulation: Simulation, interval: float) -> None:
    begun = anyio.current_time()
    while True:
        await device.report(simulation.values(time.time()))
        past = anyio.current_time() - begun
        await anyio.sleep(interval - past % interval)


async def _announce(device: "NovaDevice", url: str) -> None:
    await device.connected()
    print_text(f"connected {url}")


def _register(device: "NovaDevice", simulation: Simulation, name: str) -> None:
    @device.command(name)
    async def act(value: Any) -> dict[str, Any]:
        outcome = simulation.act(name, value)
        await device.report(simulation.values(time.time()))
        return outcome
