"""`serve` and `simulate`: being a device."""

import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from pathlib import Path
from traceback import extract_tb
from typing import Annotated, Any, TypeAlias

from jsonrpc_iot import Context, Dispatcher, UsageError
from jsonrpc_iot import run as run_server

from ._access import KeysOption, PairOption, RequireKeyOption, access
from ._files import FilesOption, include_files
from ._firmware import FirmwareKeyOption, FirmwareOption, include_firmware
from ._improv import ImprovOption, Provisioning
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
from ._presence import ButtonOption, IdentifyOption, Presence
from ._reload import run_again_on_change
from ._wifi import Radio, check_radio, complete_radio, make_radio
from .command.declare import Argument, Option

logger = logging.getLogger("jsonrpc_iot.cli")

BindOption: TypeAlias = Annotated[
    list[str],
    Option(
        "--bind",
        metavar="URL",
        help="Where to listen; give it once for each URL. Port 0 takes a free port.",
        complete=complete_bind,
    ),
]


def serve(
    target: Annotated[
        str | None,
        Argument(
            metavar="MODULE:ATTR",
            help="A Dispatcher, such as lamp:dispatcher, a service class, an object of one, or a "
            "function that gives any of these; the present folder is searched first.",
        ),
    ] = None,
    *,
    bind: BindOption,
    wifi: Annotated[
        str | None,
        Option(
            metavar="RADIO",
            help="Serve the wifi service too, on this radio: simulated, networkmanager, or "
            "networkmanager?adapter=wlan1.",
            check=check_radio,
            complete=complete_radio,
        ),
    ] = None,
    improv: ImprovOption = None,
    identify: IdentifyOption = None,
    wants_button: ButtonOption = False,
    files: FilesOption = None,
    reload: Annotated[
        bool, Option("--reload", help="Start again when a Python file here changes.")
    ] = False,
    keys: KeysOption = None,
    require_key: RequireKeyOption = False,
    pair: PairOption = None,
    announce: AnnounceOption = None,
    console: ConsoleOption = False,
    metrics: MetricsOption = False,
    trace: TraceOption = False,
    record: RecordOption = None,
) -> None:
    """Serve a Dispatcher and built-in services on every URL at once.

    Built in are echo, sys.info, and wifi.* and files.* where asked for. Prints "listening URL" for
    each address that accepts traffic, and stops on SIGINT or SIGTERM.
    """
    show_warnings()
    if reload and record is not None:
        raise UsageError("--record keeps what one run says, and --reload makes many")
    if reload:
        run_again_on_change()
        return
    if improv is not None and wifi is None:
        raise UsageError("--improv joins networks by --wifi, which is missing")
    presence = Presence(identify, wants_button)
    presence.check(improv)
    who = access(keys, require_key, bind, pair)
    dispatcher = Dispatcher() if target is None else load_dispatcher(target)
    _include_system(dispatcher)
    if wifi is not None:
        radio = make_radio(wifi)
        _include_wifi(dispatcher, radio, target)
        who |= _within(radio, improv, bind, presence, trace=trace)
    if files is not None:
        include_files(dispatcher, files)
    who |= {"record": record, "console": console, "metrics": metrics}
    _run(dispatcher, bind, who, announce, trace=trace)


def simulate(
    *,
    bind: BindOption,
    name: Annotated[
        str, Option(metavar="NAME", help="What sys.info calls the device.")
    ] = "simulated-device",
    seed: Annotated[
        int,
        Option(metavar="N", help="Chooses the signals around and how long connecting takes."),
    ] = 0,
    improv: ImprovOption = None,
    identify: IdentifyOption = None,
    wants_button: ButtonOption = False,
    files: FilesOption = None,
    firmware: FirmwareOption = None,
    firmware_key: FirmwareKeyOption = None,
    keys: KeysOption = None,
    require_key: RequireKeyOption = False,
    pair: PairOption = None,
    announce: AnnounceOption = None,
    console: ConsoleOption = False,
    metrics: MetricsOption = False,
    trace: TraceOption = False,
    record: RecordOption = None,
) -> None:
    """Be a virtual device: a simulated Wi-Fi radio, echo, sys.info and rpc.*.

    Prints "listening URL" for each address that accepts traffic, and stops on SIGINT or SIGTERM.
    """
    show_warnings()
    presence = Presence(identify, wants_button)
    presence.check(improv)
    who = access(keys, require_key, bind, pair)
    radio = make_radio("simulated", seed)
    who |= _within(radio, improv, bind, presence, name, trace=trace)
    options = who | {"record": record, "console": console, "metrics": metrics}
    device = virtual_device(name, radio)
    if files is not None:
        include_files(device, files)
    if (updates := include_firmware(device, firmware, firmware_key)) is not None:
        options["within"] = _both(options["within"], updates)
    _run(device, bind, options, announce, trace=trace)


def virtual_device(name: str, radio: Radio | None = None) -> Dispatcher:
    """A device without hardware: simulated Wi-Fi and the `system` service.

    Args:
        name: what `sys.info` and its description call it.
        radio: the Wi-Fi; one of its own by default.
    """
    dispatcher = Dispatcher(title=name)
    _include_system(dispatcher, name)
    dispatcher.include((radio or make_radio("simulated")).wifi)

    @dispatcher.notification("tuya.datapoint")
    async def take_datapoint(id: int, type: str, value: object, context: Context) -> None:
        """Take on the value of a Tuya DataPoint, and report it, as devices do."""
        await context.notify("tuya.datapoint", {"id": id, "type": type, "value": value})

    return dispatcher


def load_dispatcher(target: str) -> Dispatcher:
    """Import a dispatcher, from the present folder before all others.

    Args:
        target: its module and its name in there, as in `lamp:dispatcher`. What has that name may
            also be a service, its class, or a function that gives either or a dispatcher.

    Raises:
        UsageError: there is no such module or name, the module or function fails, or it is none of
            these.
    """
    module_name, _, attributes = target.partition(":")
    if not module_name or not attributes or module_name.startswith("."):
        raise UsageError(f"{target!r} does not name a Dispatcher as in lamp:dispatcher")
    sys.path.insert(0, str(Path.cwd()))
    found: object = _import(module_name)
    for name in attributes.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise UsageError(f"{target}: {module_name} has no {attributes!r}") from None
    is_service = isinstance(getattr(found, "__rpc_prefix__", None), str)
    if callable(found) and (isinstance(found, type) or not is_service):
        found = _make(target, found)
    if isinstance(getattr(found, "__rpc_prefix__", None), str):
        dispatcher = Dispatcher(title=type(found).__name__)
        dispatcher.include(found)
        return dispatcher
    if not isinstance(found, Dispatcher):
        raise UsageError(f"{target} is no Dispatcher but of type {type(found).__name__}")
    return found


def _make(target: str, factory: Callable[[], object]) -> object:
    """What a class or function gives."""
    try:
        return factory()
    except Exception as error:  # whatever the application does
        logger.debug("calling %s failed", target, exc_info=error)
        raise UsageError(f"{target}() failed: {type(error).__name__}: {error}") from None


def _import(name: str) -> object:
    try:
        return import_module(name)
    except (Exception, SystemExit) as error:  # whatever the application does when it is imported
        logger.debug("importing %s failed", name, exc_info=error)
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and (name == missing or name.startswith(f"{missing}.")):
            raise UsageError(f"there is no module {missing!r}") from None
        place = extract_tb(error.__traceback__)[-1]
        raise UsageError(
            f"importing {name!r} failed: {type(error).__name__}: {error} "
            f"({place.filename}:{place.lineno})"
        ) from None


def _include_system(dispatcher: Dispatcher, name: str | None = None) -> None:
    from jsonrpc_iot.services import System

    try:
        dispatcher.include(System(name))
    except ValueError as error:  # the application's own comes first
        logger.info("the system service is left out: %s", error)


def _include_wifi(dispatcher: Dispatcher, radio: Radio, target: str | None) -> None:
    try:
        dispatcher.include(radio.wifi)
    except ValueError as error:
        raise UsageError(f"--wifi: {error} by {target}") from None


def _within(
    radio: Radio,
    improv: str | None,
    bind: list[str],
    presence: Presence,
    name: str = "",
    *,
    trace: bool,
) -> dict[str, Any]:
    """Options of serving with that radio."""
    if improv is None:
        return {"within": radio.block}
    return Provisioning(improv, bind, radio, presence, name, trace=trace).options


@asynccontextmanager
async def _both(
    one: AbstractAsyncContextManager[object], other: AbstractAsyncContextManager[object]
) -> AsyncIterator[None]:
    async with one, other:
        yield


def _run(
    dispatcher: Dispatcher,
    urls: list[str],
    who: dict[str, Any],
    announce: str | None,
    *,
    trace: bool,
) -> None:
    tracer = Tracer(urls[0] if len(urls) == 1 else "") if trace else None
    who |= {"trace": tracer, "announce": announce, "stats": True}
    run_server(dispatcher, *urls, **{"on_listening": _show, **who})


def _show(url: str) -> None:
    print_text(f"listening {url}")
