"""A device that answers as one did that was recorded, and emits what that one emitted."""

import logging
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from os import PathLike
from pathlib import Path
from typing import Any, cast

import anyio
import msgspec
from msgspec import Struct

from ..channel.masking import params_without_secrets
from ..channel.tasks import task_group
from ..dispatch.declare.context import Context
from ..dispatch.declare.options import Options
from ..dispatch.dispatcher import Dispatcher
from ..dispatch.handler import Handler
from ..dispatch.run.context import CallContext
from ..dispatch.run.middleware import Call, Next
from ..errors import InvalidParams, JsonRpcIotError, rpc_error
from ..protocol.about import about
from ..protocol.codec.codec import Codec
from ..server.server import Server
from ..server.serving import serve
from .recorded import Answer, Recorded, read_recording

logger = logging.getLogger("jsonrpc_iot.server")

_LONGEST_SHOWN = 200
_WEB = ("http://", "https://")


@asynccontextmanager
async def replay(
    path: str | PathLike[str],
    *where: str,
    speed: float = 1.0,
    strict: bool = False,
    **options: Any,
) -> AsyncIterator[Server]:
    """Serve a device that answers as the recorded one did, while the block runs.

    A request gets the answer of the one with the same method and params; where there were several,
    one after the other, and the last one from then on. Each client hears the notifications at their
    times, counted from when it came; where `where` names HTTP, from when the first client called.

    Args:
        path: of a file that `record=` has written.
        where: URLs to listen at.
        speed: how many times as fast notifications and the items of streams come.
        strict: refuse params that were never recorded, instead of answering as for those that are
            nearest among them with the same names.
        options: those of `serve`.

    Raises:
        UsageError: the file cannot be read, or a line of it is broken; the text says which.
        BindFailed: a URL cannot be bound.
    """
    recorded = read_recording(Path(path))
    if not recorded.answers and not recorded.pushes:
        logger.warning("%s: nothing is recorded there, so nothing is answered", path)
    dispatcher = _Replayed(recorded, speed, strict=strict)
    async with serve(dispatcher, *where, **options) as server, task_group() as tasks:
        if any(url.startswith(_WEB) for url in server.urls):

            async def tell_all(method: str, params: Any) -> None:
                server.broadcast(method, params)

            dispatcher.on_first = lambda: tasks.start_soon(_push, recorded, speed, tell_all)
            server.peer_joined.subscribe(lambda peer: dispatcher.note_client())
        else:
            server.peer_joined.subscribe(
                lambda peer: tasks.start_soon(_push, recorded, speed, peer.notify)
            )
        yield server
        tasks.cancel_scope.cancel()


async def _push(
    recorded: Recorded, speed: float, tell: Callable[[str, Any], Coroutine[Any, Any, None]]
) -> None:
    """Tell of all that the device emitted, each at its time."""
    begin = anyio.current_time()
    for push in recorded.pushes:
        await anyio.sleep_until(begin + push.time / speed)
        try:
            await tell(push.method, _restored(push.params, is_packed=False))
        except JsonRpcIotError as error:
            logger.info("%s was not sent: %s", push.method, error, extra=about(method=push.method))
            return


class _Replayed(Dispatcher):
    """Answers as a recorded device.

    Attributes:
        on_first: is called when the first client is there.
    """

    def __init__(self, recorded: Recorded, speed: float, *, strict: bool) -> None:
        super().__init__(title="Recorded device")
        self.on_first: Callable[[], object] = lambda: None
        self._has_client = False
        self._about: dict[str, _Answers] = {}
        for method, answers in recorded.answers.items():
            given = _Answers(method, answers, speed, strict=strict)
            if method.startswith("rpc."):
                self._about[method] = given
            else:
                place = (method, _AnyParams(given), ())
                self._table.add([(self._table.methods, place)])
        self.middleware(self._look)

    def note_client(self) -> None:
        """Learn that a client is there."""
        if not self._has_client:
            self._has_client = True
            self.on_first()

    async def _look(self, call: Call, context: Context, go_on: Next) -> Any:
        """Describe the device as it has described itself, if it has."""
        self.note_client()
        about = self._about.get(call.method)
        if about is not None:
            params = {k: v for k, v in msgspec.structs.asdict(call.params).items() if v is not None}
            if (answer := about.exact(params)) is not None:
                return await about.give(answer, context)
        return await go_on(call, context)


class _Answers:
    """The answers of one method.

    Args:
        method: its name.
        answers: in their order.
        speed: of the items of streams.
        strict: answer only what was asked for just so.
    """

    def __init__(self, method: str, answers: list[Answer], speed: float, *, strict: bool) -> None:
        self._method = method
        self._speed = speed
        self._strict = strict
        self._by_params: dict[bytes, list[Answer]] = {}
        self._params: dict[bytes, Any] = {}
        for answer in answers:
            key = _key(answer.params)
            self._params[key] = answer.params
            self._by_params.setdefault(key, []).append(answer)

    def exact(self, params: Any) -> Answer | None:
        """The next answer to just these params."""
        return self._next(_key(params_without_secrets(self._method, params)))

    def _next(self, key: bytes) -> Answer | None:
        answers = self._by_params.get(key)
        if answers is None:
            return None
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def find(self, params: Any) -> Answer:
        """The next answer to these params, or to those that are nearest.

        Raises:
            InvalidParams: none are near, or need be just so.
        """
        if (answer := self.exact(params)) is not None:
            return answer
        wanted = params_without_secrets(self._method, params)
        nearest = min(self._params, key=lambda key: _distance(wanted, self._params[key]))
        is_like = _shape(wanted) == _shape(self._params[nearest])
        shown = nearest.decode()[:_LONGEST_SHOWN]
        if self._strict or not is_like:
            problem = f"never recorded with such params; the nearest are {shown}"
            raise InvalidParams(data={"path": "$", "message": problem})
        asked = _key(wanted).decode()[:_LONGEST_SHOWN]
        logger.warning(
            "%s was never recorded with %s: as with %s",
            self._method,
            asked,
            shown,
            extra=about(method=self._method),
        )
        found = self._next(nearest)
        assert found is not None
        return found

    async def give(self, answer: Answer, context: Context) -> Any:
        """The result of an answer.

        Raises:
            RpcError: that is the answer.
        """
        is_packed = context.info is not None and context.info.codec == "msgpack"
        items: Any = None
        if answer.items is not None:
            if isinstance(context, CallContext) and context.items is not None:
                items = await context.items.send_all(self._paced(answer.items, is_packed))
            else:
                items = [_restored(item, is_packed=is_packed) for _, item in answer.items]
        if answer.error is not None:
            code, message, data = map(answer.error.get, ("code", "message", "data"))
            code = code if type(code) is int else -32000
            raise rpc_error(code, str(message), _restored(data, is_packed=is_packed))
        return _restored(answer.result, is_packed=is_packed) if items is None else items

    async def _paced(self, items: list[tuple[float, Any]], is_packed: bool) -> AsyncIterator[Any]:
        begin = anyio.current_time()
        for seconds, item in items:
            await anyio.sleep_until(begin + seconds / self._speed)
            yield _restored(item, is_packed=is_packed)


class _Known(Struct, forbid_unknown_fields=True):
    """What is known of the params of a recorded method: nothing."""


class _Given(Struct):
    value: Any


class _AnyParams(Handler):
    """The handler of a recorded method, which takes whatever params come.

    Args:
        answers: its answers.
    """

    is_coroutine = waits = wants_context = params_optional = True
    is_generator = plain = by_name = may_hold_nan = False
    result_type = Any
    params = _Known
    positions = None
    doc = ""

    def __init__(self, answers: _Answers) -> None:
        self.options = Options()
        self._answers = answers
        self.call = self._call
        self.respond = cast(Any, self._call)

    def parse(self, raw: bytes, codec: Codec) -> Struct:
        """Take any params; see `Handler.parse`."""
        return _Given(codec.decode_value(raw, Any) if raw else None)

    async def _call(self, params: Any, context: Context | None) -> Any:
        assert context is not None
        value = params.value if isinstance(params, _Given) else None
        return await self._answers.give(self._answers.find(value), context)


def _key(params: Any) -> bytes:
    """What params are found by; none, and empty ones, are the same."""
    return msgspec.json.encode(params or {}, order="sorted")


def _shape(params: Any) -> object:
    """The names of params, or how many there are."""
    return sorted(params) if isinstance(params, dict) and params else len(params or ())


def _distance(one: Any, other: Any) -> float:
    """How far apart params are; 1 for each that is another, less for numbers that are near."""
    one, other = one or {}, other or {}
    if isinstance(one, dict) and isinstance(other, dict):
        strange = len(one.keys() ^ other.keys())
        return 2 * strange + sum(_apart(one[name], other[name]) for name in one.keys() & other)
    if isinstance(one, list) and isinstance(other, list):
        strange = abs(len(one) - len(other))
        return 2 * strange + sum(map(_apart, one, other))
    return 2.0 * (len(one) + len(other))


def _apart(one: Any, other: Any) -> float:
    if one == other:
        return 0.0
    if isinstance(one, int | float) and isinstance(other, int | float):
        return min(1.0, abs(one - other) / (abs(one) + abs(other)))
    return 1.0


def _restored(value: Any, *, is_packed: bool) -> Any:
    """A recorded value as it was: bytes as such where the codec has them, else their text."""
    match value:
        case {"$base64": str(text)} if len(value) == 1:
            return _decoded(text) if is_packed else text
        case {"$base64": str(text), "$ext": int(code)} if len(value) == 2 and -128 <= code < 128:
            return msgspec.msgpack.Ext(code, _decoded(text)) if is_packed else text
        case dict():
            return {name: _restored(each, is_packed=is_packed) for name, each in value.items()}
        case list():
            return [_restored(each, is_packed=is_packed) for each in value]
    return value


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:  # somebody has written that by hand
        return text.encode()
