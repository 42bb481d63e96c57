"""`bridge`: a gateway without a program."""

import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import anyio
from msgspec import structs

from jsonrpc_iot import Gateway, UsageError
from jsonrpc_iot import serve as serve_at
from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.gateway import DeviceChange
from jsonrpc_iot.gateway.config import DeviceConfig, GatewayConfig, apply, read_config
from jsonrpc_iot.gateway.homeassistant import HomeAssistant, Look

from ._access import KeysOption, RequireKeyOption, access
from ._devices import complete_device, said, tell, urls_by_name
from ._log import show_warnings
from ._options import (
    AnnounceOption,
    ConsoleOption,
    MetricsOption,
    RecordOption,
    TraceOption,
    complete_bind,
)
from ._output import Tracer, print_text
from ._signals import until_signal
from .command.declare import Argument, Option

logger = logging.getLogger("jsonrpc_iot.cli")


AllowOption: TypeAlias = Annotated[
    list[str] | None,
    Option(
        metavar="PATTERN",
        help="Offer only names that match, as lamp.set, or begin so, as lamp.* does; with "
        "the device's name before them or without. Give it once for each pattern.",
    ),
]
HomeAssistantOption: TypeAlias = Annotated[
    bool,
    Option(help="Show the devices to Home Assistant, at the broker of the first --bind mqtt://."),
]


def bridge(
    devices: Annotated[
        list[str] | None,
        Argument(
            "NAME=URL",
            "A device, and where it is. Several URLs, with commas between, are tried in order.",
            complete_device,
        ),
    ] = None,
    *,
    bind: Annotated[
        list[str] | None,
        Option(
            "--bind",
            metavar="URL",
            help="Where to listen; give it once for each URL. Port 0 takes a free port.",
            complete=complete_bind,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="Devices, URLs and the rest in TOML; see Gateways. It is read again on SIGHUP.",
        ),
    ] = None,
    keys: KeysOption = None,
    require_key: RequireKeyOption = False,
    allow: AllowOption = None,
    homeassistant: HomeAssistantOption = False,
    announce: AnnounceOption = None,
    console: ConsoleOption = False,
    metrics: MetricsOption = False,
    trace: TraceOption = False,
    record: RecordOption = None,
) -> None:
    """Be a gateway: offer devices on small links at addresses of big ones.

    A device's method METHOD is NAME.METHOD there, and over HTTP, WebSocket and MQTT each device has
    an address of its own, one step below. Prints "listening URL" for each address that accepts
    traffic, and on standard error one line for each device that comes or goes. Stops on SIGINT or
    SIGTERM.
    """
    show_warnings()
    found = urls_by_name(devices or ())
    found_devices = {name: DeviceConfig(urls) for name, urls in found.items()}
    named = GatewayConfig(devices=found_devices, allow=allow or [])
    filed = GatewayConfig() if config is None else read_config(config)
    urls = [*(bind or ()), *filed.bind]
    if not urls:
        raise UsageError("a gateway needs --bind URL, or bind in the file")
    if not named.devices and config is None:
        raise UsageError("a gateway needs devices: NAME=URL, or --config FILE")
    if keys is None and filed.keys is not None and config is not None:
        keys = config.parent / filed.keys
    gateway = Gateway()
    gateway.changed.subscribe(_tell)
    apply(gateway, GatewayConfig(), named)
    file = _File(gateway, config, named, filed)
    home = _home(gateway, urls, file) if homeassistant or filed.homeassistant else None
    options = access(keys, require_key, urls)
    options |= {"record": record, "announce": announce or filed.announce}
    options |= {"stats": True, "metrics": metrics}
    options |= {"console": console or filed.console, "trace": Tracer("") if trace else None}
    anyio.run(_run, gateway, urls, file.read_again, options, home)


async def _run(
    gateway: Gateway,
    urls: list[str],
    read_again: Callable[[], object],
    options: dict[str, Any],
    home: HomeAssistant | None,
) -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(gateway)
        server = await stack.enter_async_context(serve_at(gateway, *urls, **options))
        if home is not None:
            await stack.enter_async_context(home)

        def reload() -> None:
            server.reload()
            read_again()

        async with until_signal(reload):
            for url in server.urls:
                print_text(f"listening {url}")
            await anyio.sleep_forever()


def _home(gateway: Gateway, urls: list[str], file: "_File") -> HomeAssistant:
    """What shows the devices to Home Assistant, as the file says now and later."""
    at = next((url for url in urls if Url.parse(url).scheme in ("mqtt", "mqtts")), None)
    if at is None:
        raise UsageError("--homeassistant needs a broker: --bind mqtt://HOST/TOPIC")
    home = HomeAssistant(gateway, at, looks=file.looks)

    def look_again() -> None:
        home.looks = file.looks
        home.look_again()

    file.on_change = look_again
    return home


class _File:
    """What a file adds to a gateway.

    Args:
        gateway: gets it.
        path: of the file, `None` without one.
        named: what the command line says, which goes before what the file does.
        config: what that says at first.

    Attributes:
        on_change: is called when it says something else.
    """

    def __init__(
        self, gateway: Gateway, path: Path | None, named: GatewayConfig, config: GatewayConfig
    ) -> None:
        self._gateway = gateway
        self._path = path
        self._named = named
        self._config = GatewayConfig()
        self._at_start = _of_start(config)
        self.on_change: Callable[[], object] = lambda: None
        self._take(config)

    @property
    def looks(self) -> dict[str, Look]:
        """How devices are shown, by name."""
        devices = self._config.devices.items()
        return {name: Look(each.title, each.area, each.icon) for name, each in devices}

    def read_again(self) -> None:
        """Have the gateway as the file says now; a mistake in it changes nothing."""
        if self._path is None:
            return
        try:
            config = read_config(self._path)
            if _of_start(config) != self._at_start:
                logger.warning(
                    "%s: bind, keys, announce, console and homeassistant hold from the next start",
                    self._path,
                )
            self._take(config)
            self.on_change()
        except UsageError as error:
            logger.error("%s", error)

    def _take(self, config: GatewayConfig) -> None:
        for name in config.devices.keys() & self._named.devices.keys():
            raise UsageError(f"{self._path}: {name!r} is on the command line already")
        config = structs.replace(config, allow=self._named.allow or config.allow)
        apply(self._gateway, self._config, config)
        self._config = config


def _of_start(config: GatewayConfig) -> tuple[object, ...]:
    """What cannot change while a gateway runs."""
    return config.bind, config.keys, config.announce, config.console, config.homeassistant


def _tell(change: DeviceChange) -> None:
    tell(change.name, f"{change.name} removed" if change.removed else said(change))
