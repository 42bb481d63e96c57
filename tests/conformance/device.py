"""The example device that all conformance cases talk to."""

import threading
from collections.abc import AsyncIterator
from functools import cache
from typing import Annotated, Any

import anyio
import msgspec
from msgspec import Meta

from jsonrpc_iot import Busy, Context, Dispatcher, Forbidden, Limits, RpcError

from .model import SECRET

NAN = float("nan")
INF = float("inf")


class Config(msgspec.Struct):
    name: str
    channels: list[int]


class Reading(msgspec.Struct):
    value: float


class Device:
    """A dispatcher with well- and ill-behaved methods.

    Args:
        debug: whether the text of unforeseen exceptions goes over the wire.
        limits: the dispatcher's limits.
    """

    def __init__(self, *, debug: bool = False, limits: Limits | None = None) -> None:
        self.ran: list[object] = []
        """What `note` and its like were called with, in order."""
        self.held = 0
        """How many calls of `hold` have begun."""
        self.cancelled = 0
        """How many calls of `forever` were cancelled."""
        self.release = anyio.Event()
        """Lets the calls of `hold` go."""
        self.main_thread = threading.get_ident()
        self.dispatcher = Dispatcher(debug=debug, limits=limits or Limits())
        _add_plain(self)
        _add_async(self)
        _add_failures(self.dispatcher)
        _add_bad_results(self.dispatcher)
        _add_published(self)

    def reset(self) -> None:
        """Forget what has happened so far."""
        self.ran.clear()
        self.held = self.cancelled = 0
        self.release = anyio.Event()


@cache
def shared_device() -> Device:
    """One device for all tests of a run that `reset` it first, since building one takes long."""
    return Device()


def _add_plain(device: Device) -> None:
    dispatcher = device.dispatcher

    @dispatcher.method
    def echo(value: Any) -> Any:
        return value

    @dispatcher.method
    def add(a: int, b: int) -> int:
        return a + b

    @dispatcher.method
    def subtract(minuend: int, subtrahend: int) -> int:
        return minuend - subtrahend

    @dispatcher.method
    def void() -> None:
        return None

    @dispatcher.method
    def greet(name: str = "world", mark: str = "!") -> str:
        return f"hello {name}{mark}"

    @dispatcher.method
    def set_level(level: Annotated[int, Meta(ge=0, le=100)]) -> int:
        return level

    @dispatcher.method
    def configure(config: Config) -> dict[str, list[int]]:
        return {config.name: config.channels}

    @dispatcher.method
    def note(value: Any) -> Any:
        device.ran.append(value)
        return value

    @dispatcher.notification
    def heard(value: Any) -> None:
        device.ran.append(value)

    @dispatcher.method
    def members(id: int, method: str, params: Any, result: Any = None, error: Any = None) -> Any:
        return [id, method, params, result, error]

    @dispatcher.method('灯."on"')
    def lamp_on() -> bool:
        return True

    @dispatcher.method
    def whoami(context: Context) -> dict[str, Any]:
        return {"method": context.method, "id": context.id}

    @dispatcher.method
    def text() -> str:
        return 'é\0\n"\\\u2028\U0001f600'

    @dispatcher.method
    def doubles() -> list[float]:
        return [0.1, 1e300, 5e-324, -2.5]

    @dispatcher.method
    def big(size: int) -> str:
        return "x" * size


def _add_async(device: Device) -> None:
    dispatcher = device.dispatcher

    @dispatcher.method("async.add")
    async def async_add(a: int, b: int) -> int:
        await anyio.lowlevel.checkpoint()
        return a + b

    @dispatcher.method("async.note")
    async def async_note(value: Any) -> None:
        await anyio.lowlevel.checkpoint()
        device.ran.append(value)

    @dispatcher.method("async.fail")
    async def async_fail() -> None:
        await anyio.lowlevel.checkpoint()
        raise LookupError(SECRET)

    @dispatcher.method("async.timeout")
    async def async_timeout() -> None:
        raise TimeoutError(SECRET)

    @dispatcher.method("async.nan")
    async def async_nan() -> float:
        return NAN

    @dispatcher.method
    async def items(count: int) -> AsyncIterator[int]:
        for item in range(count):
            yield item

    @dispatcher.method("async.items_fail")
    async def items_fail() -> AsyncIterator[int]:
        yield 1
        raise LookupError(SECRET)

    @dispatcher.method("async.items_nan")
    async def items_nan() -> AsyncIterator[float]:
        yield 1.0
        yield NAN

    @dispatcher.method("thread.add", thread=True)
    def thread_add(a: int, b: int) -> int:
        assert threading.get_ident() != device.main_thread
        return a + b

    @dispatcher.method("thread.fail", thread=True)
    def thread_fail() -> None:
        raise LookupError(SECRET)

    @dispatcher.method("thread.nan", thread=True)
    def thread_nan() -> float:
        return NAN

    @dispatcher.method
    async def forever() -> None:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            device.cancelled += 1
            raise

    @dispatcher.method("forever.limited", timeout=0.02)
    async def forever_limited() -> None:
        await anyio.sleep_forever()

    @dispatcher.method("hour.limited", timeout=3600)
    async def hour_limited() -> None:
        await anyio.sleep_forever()

    @dispatcher.method
    async def hold() -> int:
        device.held += 1
        number = device.held
        await device.release.wait()
        return number

    @dispatcher.method
    def release() -> None:
        device.release.set()

    @dispatcher.method
    async def ask(method: str, context: Context) -> Any:
        return await context.call(method, ["from the server"], timeout=10)

    @dispatcher.method
    async def announce(context: Context) -> None:
        await context.notify("device.changed", {"on": True})


def _add_failures(dispatcher: Dispatcher) -> None:
    def failing(name: str, error: Exception) -> None:
        @dispatcher.method(f"fail.{name}")
        def fail() -> None:
            raise error

    failing("exception", Exception(SECRET))
    failing("type_error", TypeError(SECRET))
    failing("validation", msgspec.ValidationError(SECRET))
    failing("decoding", msgspec.DecodeError(SECRET))
    failing("unicode", UnicodeDecodeError("utf-8", b"", 0, 1, SECRET))
    failing("timeout", TimeoutError(SECRET))
    failing("stop", StopIteration(SECRET))
    failing("recursion", RecursionError(SECRET))
    failing("group", ExceptionGroup(SECRET, [ValueError(SECRET)]))
    failing("key", KeyError(SECRET))
    failing("assertion", AssertionError(SECRET))
    failing("rpc", RpcError(1234, "Out of paper", {"tray": 2}))
    failing("rpc_plain", RpcError(-5, "No data"))
    failing("rpc_zero", RpcError(0, ""))
    failing("rpc_big", RpcError(2**31, "Große Zahl", [1]))
    failing("forbidden", Forbidden())
    failing("busy", Busy(data={"retry_after": 1.5}))
    failing("data_nan", RpcError(1234, "x", {"value": NAN}))
    failing("data_object", RpcError(1234, "x", object()))
    failing("surrogate_message", RpcError(1234, "\ud800"))
    failing("long_data", RpcError(1234, "short", "x" * 1000))
    failing("long_message", RpcError(1234, "x" * 1000, "data"))

    @dispatcher.method
    def fail() -> None:
        raise LookupError(SECRET)

    @dispatcher.method("fail.len")
    def fail_len(value: Any) -> int:
        return len(value)


def _add_bad_results(dispatcher: Dispatcher) -> None:
    def returning(name: str, result: object) -> None:
        @dispatcher.method(f"bad.{name}")
        def bad() -> Any:
            return result

    returning("nan", NAN)
    returning("infinity", INF)
    returning("inf_nested", {"a": [1, {"b": -INF}]})
    returning("inf_tuple", (1, (2.0, INF)))
    returning("struct", Reading(NAN))
    returning("object", object())
    returning("object_nested", {"a": [object()]})
    returning("surrogate", "\ud800")
    returning("surrogate_key", {"a": {"\udfff": 1}})
    returning("key", {("a", 1): 2})
    cycle: list[object] = []
    cycle.append(cycle)
    returning("cycle", cycle)

    @dispatcher.method("bad.nan_typed")
    def nan_typed() -> float:
        return NAN

    @dispatcher.method("bad.list")
    def nan_list() -> list[float]:
        return [1.0, NAN]

    @dispatcher.method("bad.dict_typed")
    def nan_dict() -> dict[str, Reading]:
        return {"a": Reading(INF)}


def _add_published(device: Device) -> None:
    """The methods that the examples of the JSON-RPC 2.0 specification call."""
    dispatcher = device.dispatcher

    @dispatcher.method("sum")
    def sum_of_three(a: int, b: int, c: int) -> int:
        return a + b + c

    @dispatcher.method
    def update(a: int, b: int, c: int, d: int, e: int) -> None:
        device.ran.append([a, b, c, d, e])

    @dispatcher.method
    def notify_hello(value: int) -> None:
        device.ran.append(value)

    @dispatcher.method
    def notify_sum(a: int, b: int, c: int) -> None:
        device.ran.append(a + b + c)

    @dispatcher.method
    def get_data() -> list[Any]:
        return ["hello", 5]
