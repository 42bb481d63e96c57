"""The public names, pinned: one that comes or goes is a decision."""

import inspect
from importlib import import_module
from types import ModuleType
from typing import get_args

import pytest
from msgspec import structs

import jsonrpc_iot
from jsonrpc_iot.dispatch.declare.options import Options

PUBLIC = {
    "jsonrpc_iot": """
        Authenticate BatchedCall BindFailed BlockingClient BoundEvent Busy Call CallBatch
        CallTimeout Cancelled
        Channel ChannelAttribute ChannelClosed ChannelInfo Client ConnectFailed ConnectTimeout
        Context DeadlineExceeded DeviceOffline DeviceState Dialect Dispatcher Event Example
        Forbidden Found FramingError Gateway
        InternalError InvalidParams
        InvalidRequest InvalidUrl JsonRpcIotError Keyring KeyringError Limits Listener
        MalformedFrame MalformedResponse
        MessageTooLarge MethodNotFound Middleware MissingExtra Next Notification OutcomeUnknown
        PacketOptions Pairing ParseError Peer Trace Transport Url
        PeerCredentials Permission Principal RpcError Server ServerError Stats Stream StreamChannel
        TooLarge TransportError
        Unauthorized Unencodable UsageError asgi_app connect connect_sync discover instrument
        method notification pair part_of_trace
        register_transport run serve service stream
    """,
    "jsonrpc_iot.blocking": """
        BlockingBatch BlockingClient BlockingEvent BlockingFeed BlockingStream connect_sync
    """,
    "jsonrpc_iot.gateway": """
        DeviceChange DeviceState Gateway Openable
    """,
    "jsonrpc_iot.novacloud": """
        AlreadyExists DeviceCounts DeviceDisabled DeviceLogHandler DeviceSettings NovaDevice
        NovaError NovaManagement NovaPlatform Outbox OutboxFailed PlatformSettings Schedule
        SqliteStore Store StoreFailed UnknownDevice UnknownKey WhenFull management
    """,
    "jsonrpc_iot.testing": """
        Ends Faults LineCounts LineFaults LineWay LinkCounts LossyLink OneWay VirtualRadio
        VirtualSerial check_channel_contract memory_pair replay served
        virtual_radio virtual_serial_pair
    """,
    "jsonrpc_iot.testing.conformance": """
        CaseReport Given Profile Report Section Verdict as_json as_junit as_text check_conformance
    """,
    "jsonrpc_iot.tuya": """
        Command DataPoint DataPointType Frame FrameDecoder NetworkStatus Point Product TuyaDevice
        TuyaLink TuyaMcu TuyaModule
    """,
    "jsonrpc_iot.gateway.homeassistant": """
        Button Entity Fan HomeAssistant Light Look Number Select Switch
    """,
    "jsonrpc_iot.gateway.mcp": """
        Assistant Where mcp_server
    """,
    "jsonrpc_iot.transports.gatt": """
        ConnectOptions GattOptions HeardDevice RX SERVICE TX open_gatt require_asyncio scan
    """,
}

NOTIFICATION = [
    *("thread", "serial", "timeout", "requires"),
    *("tags", "deprecated", "examples", "names"),
]
DISPATCHER = {
    "method": ["name", *NOTIFICATION, "idempotent", "effect", "errors", "entity", "button"],
    "notification": ["name", *NOTIFICATION],
    "include": ["other", "prefix"],
    "forward": ["prefix", "where", "requires", "timeout"],
    "middleware": ["layer"],
    "emit": ["method", "params", "requires"],
    "on_emit": ["send"],
    "dispatch": ["data", "context"],
    "dispatch_sync": ["data", "context"],
}


def public_names(module: ModuleType) -> list[str]:
    """What a module offers: its own names, without submodules and those of other packages."""
    return [
        name
        for name in dir(module)
        if not name.startswith("_") and not isinstance(getattr(module, name), ModuleType)
    ]


@pytest.mark.parametrize("name", PUBLIC)
def test_the_names_are_these(name: str) -> None:
    module = import_module(name)
    assert sorted(module.__all__) == sorted(PUBLIC[name].split())


def test_nothing_else_is_in_reach() -> None:
    assert sorted(public_names(jsonrpc_iot)) == sorted(jsonrpc_iot.__all__)


def test_a_star_import_brings_all_of_them() -> None:
    found: dict[str, object] = {}
    exec("from jsonrpc_iot import *", found)
    assert found.keys() - {"__builtins__"} == set(jsonrpc_iot.__all__)


@pytest.mark.parametrize("name", jsonrpc_iot.__all__)
def test_every_class_and_function_is_described(name: str) -> None:
    value = getattr(jsonrpc_iot, name)
    if inspect.isclass(value) or inspect.isroutine(value):
        assert value.__doc__
        assert value.__module__.startswith("jsonrpc_iot.")


@pytest.mark.parametrize("name", [n for n in jsonrpc_iot.__all__ if n[0].isupper()])
def test_every_method_of_a_public_class_is_described(name: str) -> None:
    cls = getattr(jsonrpc_iot, name)
    if not inspect.isclass(cls):
        return
    for attribute, value in vars(cls).items():
        if not attribute.startswith("_") and (
            inspect.isroutine(value) or isinstance(value, property)
        ):
            assert inspect.getdoc(getattr(cls, attribute)), f"{name}.{attribute}"


@pytest.mark.parametrize("name", DISPATCHER)
def test_a_dispatchers_methods_take_these(name: str) -> None:
    method = getattr(jsonrpc_iot.Dispatcher, name)
    parameters = list(inspect.signature(method).parameters)[1:]
    if parameters[-1] == "options":
        (overload,) = get_args(method.__annotations__["options"])  # as a type checker sees it
        assert sorted(overload.__annotations__) == sorted(DISPATCHER[name][1:])
        defaults = structs.asdict(Options())
        accepted = {option: defaults[option] for option in overload.__annotations__}
        decorate = getattr(jsonrpc_iot.Dispatcher(), name)("x", **accepted)
        assert decorate(len) is len
        return
    assert parameters == DISPATCHER[name]


def test_defaults_of_the_limits() -> None:
    limits = jsonrpc_iot.Limits()
    assert (limits.nesting, limits.batch) == (64, 256)
    assert limits == jsonrpc_iot.Limits(nesting=64)
    with pytest.raises(AttributeError):
        limits.nesting = 5  # type: ignore[misc]


def test_importing_the_package_logs_nothing_by_itself() -> None:
    import logging

    handlers = logging.getLogger("jsonrpc_iot").handlers
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)
