"""What a handler learns of its call, and whom it may talk back to."""

from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from msgspec import UNSET, UnsetType

from jsonrpc_iot import ChannelInfo, Context, Dispatcher, RpcError, TransportError
from jsonrpc_iot.dispatch.declare.context import Timeout
from jsonrpc_iot.dispatch.response import ReplyTo
from jsonrpc_iot.dispatch.run.context import Connection
from jsonrpc_iot.dispatch.run.item_sender import ItemSender
from tests.dispatch._messages import code, error, notice, request, value

pytestmark = pytest.mark.anyio


class FarEnd(Connection):
    """The other end of a connection, which notes what it is asked."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    async def _call(
        self, method: str, params: Any, result: Any, timeout: Timeout, idempotent: bool
    ) -> Any:
        self.heard.append(("call", method, params, result, timeout))
        if method == "refuse":
            raise RpcError(77, "refused")
        return "answer"

    async def notify(self, method: str, params: Any = None) -> None:
        self.heard.append(("notify", method, params))

    def cancel(self, id: int | float | str | None) -> None:
        self.heard.append(("cancel", id))

    def more(self, id: int | float | str | None, upto: int, missing: Sequence[int]) -> None:
        self.heard.append(("more", id, upto, missing))

    def open_items(self, to: ReplyTo) -> ItemSender | None:
        raise NotImplementedError


def first(context: Context, a: int, b: int = 2) -> list[object]:
    return [context.method, a, b]


def middle(a: int, context: Context, b: int = 2) -> list[object]:
    return [context.method, a, b]


def last(a: int, b: int, context: Context) -> list[object]:
    return [context.method, a, b]


def after_default(a: int = 1, b: int = 2, *, context: Context) -> list[object]:
    return [context.method, a, b]


def positional(a: int, context: Context, b: int = 2, /) -> list[object]:
    return [context.method, a, b]


def twice(context: Context, a: int, b: int, other: Context) -> list[object]:
    assert context is other
    return [context.method, a, b]


def by_another_name(a: int, b: int, ctx: Context) -> list[object]:
    return [ctx.method, a, b]


async def in_coroutine(a: int, b: int, context: Context) -> list[object]:
    return [context.method, a, b]


FUNCTIONS = [
    first,
    middle,
    last,
    after_default,
    positional,
    twice,
    by_another_name,
    in_coroutine,
]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: str(function.__name__))
def test_a_context_may_stand_anywhere(function: Any) -> None:
    dispatcher = Dispatcher()
    dispatcher.method("m")(function)
    assert value(dispatcher.dispatch_sync(request("m", [5, 6]))) == ["m", 5, 6]
    assert value(dispatcher.dispatch_sync(request("m", {"b": 6, "a": 5}))) == ["m", 5, 6]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: str(function.__name__))
def test_a_context_is_no_parameter_of_the_method(function: Any) -> None:
    dispatcher = Dispatcher()
    dispatcher.method("m")(function)
    for name in ("context", "ctx", "other"):
        params = {"a": 5, "b": 6, name: None}
        assert code(dispatcher.dispatch_sync(request("m", params))) == -32602
    assert code(dispatcher.dispatch_sync(request("m", [5, 6, None]))) == -32602


@pytest.mark.parametrize("id", [1, "x", None, 0, -1.5, 10**30])
def test_a_call_knows_its_method_and_id(id: object) -> None:
    seen: list[Context] = []
    dispatcher = Dispatcher()

    @dispatcher.method("deep.name")
    def look(context: Context) -> None:
        seen.append(context)

    assert value(dispatcher.dispatch_sync(request("deep.name", id=id))) is None
    assert seen[0].method == "deep.name"
    assert seen[0].id == id
    assert seen[0].info is None
    assert seen[0].permissions is None
    assert seen[0].deadline is None


def test_a_notification_has_no_id() -> None:
    seen: list[object] = []
    dispatcher = Dispatcher()

    @dispatcher.notification
    def report(context: Context) -> None:
        seen.append(context.id)

    dispatcher.dispatch_sync(notice("report"))
    assert seen == [UNSET]
    assert isinstance(seen[0], UnsetType)


def test_a_call_knows_its_connection() -> None:
    info = ChannelInfo(transport="udp", peer="udp://[::1]:9", max_message=1400, reliable=False)
    seen: list[Context] = []
    dispatcher = Dispatcher()

    @dispatcher.method
    def look(context: Context) -> None:
        seen.append(context)

    dispatcher.dispatch_sync(request("look"), Context(FarEnd(), info, frozenset({"a"})))
    assert seen[0].info is info
    assert seen[0].permissions == {"a"}


def test_each_call_has_a_context_of_its_own() -> None:
    connection = Context(FarEnd())
    seen: list[Context] = []
    dispatcher = Dispatcher()

    @dispatcher.method
    def look(context: Context) -> None:
        seen.append(context)

    for id in (1, 2):
        dispatcher.dispatch_sync(request("look", id=id), connection)
    assert [context.id for context in seen] == [1, 2]
    assert connection.method == ""
    assert connection.id is UNSET


async def test_a_call_knows_when_its_time_is_over() -> None:
    seen: list[float | None] = []
    dispatcher = Dispatcher()

    @dispatcher.method(timeout=1000)
    async def look(context: Context) -> None:
        seen.append(context.deadline)

    before = anyio.current_time()
    await dispatcher.dispatch(request("look"))
    await dispatcher.dispatch(request("look", timeout=100))
    await dispatcher.dispatch(request("look", timeout=100_000))
    after = anyio.current_time()
    for deadline, seconds in zip(seen, (1000, 100, 1000), strict=True):
        assert deadline is not None
        assert before + seconds <= deadline <= after + seconds


async def test_without_a_timeout_there_is_no_deadline() -> None:
    seen: list[float | None] = []
    dispatcher = Dispatcher()

    @dispatcher.method
    async def look(context: Context) -> None:
        seen.append(context.deadline)

    await dispatcher.dispatch(request("look"))
    assert seen == [None]


def talkative() -> Dispatcher:
    dispatcher = Dispatcher()

    @dispatcher.method
    async def ask(method: str, context: Context) -> object:
        return await context.call(method, [1], result=str, timeout=2.5)

    @dispatcher.method
    async def tell(context: Context) -> None:
        await context.notify("changed", {"on": True})

    @dispatcher.method
    async def careful(context: Context) -> str:
        try:
            await context.notify("changed")
        except TransportError:
            return "nobody there"
        return "told"

    return dispatcher


async def test_a_handler_may_talk_back() -> None:
    far = FarEnd()
    dispatcher = talkative()
    assert value(await dispatcher.dispatch(request("ask", ["name"]), Context(far))) == "answer"
    assert value(await dispatcher.dispatch(request("tell"), Context(far))) is None
    assert far.heard == [
        ("call", "name", [1], str, 2.5),
        ("notify", "changed", {"on": True}),
    ]


async def test_the_far_ends_refusal_is_an_error_of_the_handler() -> None:
    refused = error(await talkative().dispatch(request("ask", ["refuse"]), Context(FarEnd())))
    assert refused == {"code": 77, "message": "refused"}


ONE_WAY = ChannelInfo(transport="mqtt", can_call_back=False)


@pytest.mark.parametrize(
    "context", [None, Context(), Context(FarEnd(), ONE_WAY)], ids=["none", "nobody", "one-way"]
)
async def test_without_a_way_back_talking_fails(context: Context | None) -> None:
    dispatcher = talkative()
    assert value(await dispatcher.dispatch(request("careful"), context)) == "nobody there"
    for call in (request("tell"), request("ask", ["name"])):
        assert error(await dispatcher.dispatch(call, context)) == {
            "code": -32603,
            "message": "Internal error",
        }
    nobody = context or Context()
    with pytest.raises(TransportError):
        await nobody.call("x")
    with pytest.raises(TransportError):
        await nobody.notify("x")


async def test_rpc_cancel_is_told_to_the_connection() -> None:
    far = FarEnd()
    dispatcher = Dispatcher()
    for id in (5, "x", None, 1.5):
        assert dispatcher.dispatch_sync(notice("rpc.cancel", {"id": id}), Context(far)) is None
    assert far.heard == [("cancel", 5), ("cancel", "x"), ("cancel", None), ("cancel", 1.5)]


@pytest.mark.parametrize("info", [None, ChannelInfo(transport="mqtt", can_call_back=False)])
def test_a_caller_may_cancel_over_a_channel_without_a_way_back(info: ChannelInfo | None) -> None:
    far_end = FarEnd()
    Dispatcher().dispatch_sync(notice("rpc.cancel", {"id": 1}), Context(far_end, info))
    assert far_end.heard == [("cancel", 1)]


def test_to_cancel_outside_of_a_connection_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    assert Dispatcher().dispatch_sync(notice("rpc.cancel", {"id": 1})) is None
    assert not caplog.records


def test_permissions_are_no_text() -> None:
    with pytest.raises(TypeError, match="set of names"):
        Context(permissions="abc")


def test_an_optional_context_is_a_context() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    def named(context: Context | None = None) -> str:
        return "" if context is None else context.method

    assert value(dispatcher.dispatch_sync(request("named"))) == "named"
    assert named() == ""
