"""What people and programs ask of a platform: JSON-RPC methods on a Dispatcher of their own.

It is served like any other, for instance at `pipe://novacloud`. The protocol page, "Platform",
gives the names and shapes, and that for operators the pages, the permissions and what is new.
"""

import logging
from typing import Any

import msgspec

from jsonrpc_iot import Call, Context, Dispatcher, Event, Next, Principal, service

from ...protocol.about import about
from ..errors import StoreFailed
from ..store.registry import Audit
from .ingest import Telemetry
from .management_base import calling
from .management_commands import CommandMethods
from .management_devices import DeviceMethods
from .management_jobs import JobMethods
from .management_keys import ActuatorMethods, SensorMethods
from .management_platform import PlatformMethods
from .management_telemetry import TelemetryMethods
from .management_upkeep import UpkeepMethods
from .open_command import CommandUpdate
from .permissions import ADMIN, COMMAND, READ
from .platform import NovaPlatform
from .presence import Offline, Online

logger = logging.getLogger("jsonrpc_iot.novacloud")

_LONGEST_PARAMS = 4096  # bytes; longer ones are not in the audit


@service("")
class NovaManagement(
    DeviceMethods,
    SensorMethods,
    ActuatorMethods,
    TelemetryMethods,
    CommandMethods,
    JobMethods,
    PlatformMethods,
    UpkeepMethods,
):
    """The methods and events of a platform; `client.proxy(NovaManagement)` has their types.

    A method is called like its name with an underscore: `nova.device_create(name="lamp")`.

    Args:
        platform: whose.
    """

    device_online = Event[Online]("device.online", requires=READ)
    device_offline = Event[Offline]("device.offline", requires=READ)
    telemetry = Event[Telemetry]("telemetry", requires=READ)
    command_update = Event[CommandUpdate]("command.update", requires=READ)

    def __init__(self, platform: NovaPlatform) -> None:
        super().__init__(platform)
        events = self.device_online, self.device_offline, self.telemetry, self.command_update
        self._events = {event.name: event for event in events}
        platform.cluster.events.listen(self._tell)

    def _tell(self, name: str, value: Any) -> None:
        """Tell those who want to hear it of a device of any node."""
        self._platform.news.device_id = value.device_id
        self._events[name].emit(value)

    async def note(self, call: Call, context: Context, following: Next) -> Any:
        """Let a call pass, and note in the audit what it has changed: a middleware."""
        at = self._platform.time.now()
        answering = calling.set(context)
        try:
            result = await following(call, context)
        finally:
            calling.reset(answering)
        if call.handler.options.requires not in {ADMIN, COMMAND}:
            return result
        principal = context.principal
        row = Audit(
            at=at,
            who="" if principal is None else principal.name,
            address="" if context.info is None else context.info.peer,
            method=call.method,
            params=_without_secrets(call.params),
        )
        try:
            await self._store.audit(row)
        except StoreFailed as error:
            logger.error(
                "%s by %s is not in the audit: %s",
                call.method,
                row.who,
                error,
                extra=about(method=call.method, principal=row.who),
            )
        return result


def management(platform: NovaPlatform) -> Dispatcher:
    """The methods and pushes of a platform, to be served at any URL.

    Args:
        platform: whose; it runs while the dispatcher is served.

    Returns:
        A dispatcher whose methods need the permissions `nova:read`, `nova:command` or `nova:admin`;
        where `serve` is told neither of a keyring nor of a hook, everybody has them all.
    """
    dispatcher = Dispatcher(title="NovaCloud platform")
    dispatcher.everybody = Principal("anybody", {"*"})
    methods = NovaManagement(platform)
    dispatcher.middleware(methods.note)
    dispatcher.include(methods)
    return dispatcher


def _without_secrets(params: Any) -> Any:
    """Params for the audit: without keys, and not too many."""
    encoded = msgspec.json.encode(params)
    if len(encoded) > _LONGEST_PARAMS:
        return {"size": len(encoded)}
    plain = msgspec.json.decode(encoded)
    return {name: value for name, value in plain.items() if name != "device_key"}
