"""Commands of a platform, run through a dispatcher and answered once each.

The command key is the method's name and the value its parameter; an object spreads over the named
parameters of a method that has several. The keys of one command run in their order.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Container, Coroutine
from contextvars import ContextVar
from typing import Any, Literal, TypeAlias

import anyio
import msgspec
from anyio.abc import TaskGroup
from msgspec import UNSET, Raw, Struct, UnsetType

from jsonrpc_iot import Call, Context, Dispatcher, InternalError, Next, RpcError

from ...protocol.about import about
from ..messages import Command, CommandId, CommandResponse, UnreadableCommand, encode_line
from .answers import Answers
from .settings import DeviceCounts, DeviceSettings

logger = logging.getLogger("jsonrpc_iot.novacloud")

Send: TypeAlias = Callable[[bytes], Coroutine[Any, Any, bool]]

_BUSY = {"code": -32004, "message": "Busy"}
_CLOSING = {"code": -32003, "message": "The device stops"}
_TOO_LARGE = {"code": -32001, "message": "Message too large"}
_INVALID = {"code": -32600, "message": "Invalid Request"}
_UNSENT = 256
_REASON = 500  # characters of an exception's text

_asked: ContextVar[bool] = ContextVar("asked", default=False)


class _Reply(Struct):
    result: Raw | UnsetType = UNSET
    error: dict[str, Any] | UnsetType = UNSET


_reply = msgspec.json.Decoder(_Reply)


class CommandRunner:
    """The commands of one device: running, answered, and answered but not yet sent.

    Args:
        dispatcher: has the methods.
        permissions: what the platform may do; `None` for no more than anybody.
        settings: limits and times.
        counts: of the device.
        send: sends a line; returns whether it left.

    Attributes:
        answers: to the last commands.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        permissions: Container[str] | None,
        settings: DeviceSettings,
        counts: DeviceCounts,
        send: Send,
    ) -> None:
        self._dispatcher = dispatcher
        self._context = Context(permissions=permissions)  # one, so that serial methods take turns
        self._settings = settings
        self._counts = counts
        self._send = send
        self._running: dict[CommandId, Command] = {}
        self.answers = Answers(settings.answers, settings.answer_bytes)
        self._unsent: OrderedDict[CommandId, bytes] = OrderedDict()
        self._flushing = anyio.Lock()
        self._flush_is_due = False
        dispatcher.middleware(_give_reason)
        self._parameters: dict[str, list[str]] = {}
        self._changed = anyio.Event()

    def start(self, command: Command, tasks: TaskGroup) -> None:
        """Begin to run a command, or answer one that came before as then."""
        id = command.command_id
        answer = self.answers.get(id)
        if answer is not None:
            self._counts.repeated_commands += 1
            self._deliver_soon(id, answer, tasks)
        elif id in self._running:
            self._counts.repeated_commands += 1
            self._deliver_soon(id, _pending(id), tasks)
        elif len(self._running) >= self._settings.commands:
            self._deliver_soon(id, self._refusal(command, _BUSY), tasks)
        else:
            self._running[id] = command
            tasks.start_soon(self._run, command)

    def refuse(self, command: UnreadableCommand, tasks: TaskGroup) -> None:
        """Answer a command that makes no sense."""
        error = {**_INVALID, "data": {"message": command.reason}}
        payload = {"results": {}, "errors": {}, "error": error}
        self._deliver_soon(command.command_id, _final(command.command_id, "error", payload), tasks)

    async def flush(self) -> None:
        """Send the answers that could not be sent before."""
        async with self._flushing:
            self._flush_is_due = False
            while self._unsent:
                id, line = next(iter(self._unsent.items()))
                if not await self._send(line):
                    return
                if self._unsent.get(id) is line:
                    del self._unsent[id]

    async def finished(self) -> None:
        """Wait until no command runs."""
        while self._running:
            await self._changed.wait()

    async def give_up(self) -> None:
        """Answer the commands that still run, since nobody will when the device stops."""
        for id, command in list(self._running.items()):
            await self._deliver(id, self._refusal(command, _CLOSING))

    async def _run(self, command: Command) -> None:
        id = command.command_id
        results: dict[str, Raw] = {}
        errors: dict[str, Any] = {}
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._announce, id)
                for key, value in command.payload.items():
                    reply = await self._call(key, value)
                    if reply.error is not UNSET:
                        errors[key] = reply.error
                    else:
                        results[key] = Raw(b"null") if reply.result is UNSET else reply.result
                tasks.cancel_scope.cancel()
            self._counts.commands += 1
            line = self._final(command, results, errors)
            await self.answers.keep(id, line)
        finally:
            del self._running[id]
            self._changed.set()
            self._changed = anyio.Event()
        await self._deliver(id, line)

    async def _announce(self, id: CommandId) -> None:
        pause = self._settings.pending_seconds
        while True:
            await anyio.sleep(pause)
            with anyio.CancelScope(shield=True):  # no half lines
                await self._send(_pending(id))
            pause = self._settings.still_pending_seconds

    async def _call(self, key: str, value: Any) -> _Reply:
        if key.startswith("rpc."):  # belongs to JSON-RPC, and is no actuator
            return _Reply(error={"code": -32601, "message": "Method not found"})
        return await self._request(key, _params(await self._names(key), value))

    async def _request(self, method: str, params: Any) -> _Reply:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        asked = _asked.set(True)
        try:
            reply = await self._dispatcher.dispatch(msgspec.json.encode(request), self._context)
        finally:
            _asked.reset(asked)
        assert reply is not None  # it has an id
        return _reply.decode(reply)

    async def _names(self, key: str) -> list[str]:
        """The names of a method's parameters; none where nothing is known of it."""
        if key not in self._parameters:
            reply = await self._request("rpc.discover", {"method": key})
            if isinstance(reply.result, UnsetType):
                return []
            methods = msgspec.json.decode(reply.result)["methods"]
            found = next((method for method in methods if method["name"] == key), None)
            if found is None:  # it may be registered later
                return []
            self._parameters[key] = [parameter["name"] for parameter in found["params"]]
        return self._parameters[key]

    def _final(self, command: Command, results: dict[str, Raw], errors: dict[str, Any]) -> bytes:
        line = _response(command.command_id, results, errors)
        if len(line) <= self._settings.line:
            return line
        return self._refusal(command, _TOO_LARGE)

    def _refusal(self, command: Command, error: dict[str, Any]) -> bytes:
        """The answer that all keys have failed, or just that where they do not fit a line."""
        line = _response(command.command_id, {}, dict.fromkeys(command.payload, error))
        if len(line) <= self._settings.line:
            return line
        payload = {"results": {}, "errors": {}, "error": error}
        return _final(command.command_id, "error", payload)

    async def _deliver(self, id: CommandId, line: bytes) -> None:
        self._put(id, line)
        await self.flush()

    def _deliver_soon(self, id: CommandId, line: bytes, tasks: TaskGroup) -> None:
        """Have a line sent by one task for all, however many commands come and nobody reads."""
        self._put(id, line)
        if not self._flush_is_due:
            self._flush_is_due = True
            tasks.start_soon(self.flush)

    def _put(self, id: CommandId, line: bytes) -> None:
        self._unsent[id] = line
        while len(self._unsent) > _UNSENT:
            self._unsent.popitem(last=False)


async def _give_reason(call: Call, context: Context, following: Next) -> Any:
    """Tell the platform, and nobody else, what a handler's unforeseen exception says."""
    if not _asked.get():
        return await following(call, context)
    try:
        return await following(call, context)
    except RpcError:
        raise
    except Exception as error:
        logger.exception("command %r failed", call.method, extra=about(method=call.method))
        raise InternalError(_text(error)[:_REASON] or type(error).__name__) from None


def _text(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # the exception's own code runs
        return ""


def _params(names: list[str], value: Any) -> Any:
    if len(names) > 1 and isinstance(value, dict):
        return value
    # A method without parameters is told nothing: the value of a trigger means nothing.
    return {names[0]: value} if names else {}


def _response(id: CommandId, results: dict[str, Raw], errors: dict[str, Any]) -> bytes:
    if errors:
        return _final(id, "error", {"results": results, "errors": errors})
    return _final(id, "success", {"results": results})


def _final(id: CommandId, status: Literal["success", "error"], payload: dict[str, Any]) -> bytes:
    return encode_line(CommandResponse(command_id=id, status=status, payload=payload))


def _pending(id: CommandId) -> bytes:
    return encode_line(CommandResponse(command_id=id, status="pending"))
