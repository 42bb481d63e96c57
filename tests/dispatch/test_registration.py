"""Registering functions: names, what is refused, and that the function stays what it is."""

import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from jsonrpc_iot import Dispatcher, MethodNotFound, method, notification

from ._messages import code, notice, request, value

NOT_FOUND = MethodNotFound.default_code


def names(dispatcher: Dispatcher) -> list[str]:
    found: list[str] = value(dispatcher.dispatch_sync(request("rpc.methods")))
    return [name for name in found if not name.startswith("rpc.")]


def nothing() -> None:
    return None


def test_a_function_registers_under_its_own_name_or_another() -> None:
    dispatcher = Dispatcher()
    dispatcher.method(nothing)
    dispatcher.method()(nothing_at_all)
    dispatcher.method("wifi.scan")(nothing)
    dispatcher.method("灯")(nothing)
    assert names(dispatcher) == sorted(["nothing", "nothing_at_all", "wifi.scan", "灯"])
    for name in names(dispatcher):
        assert value(dispatcher.dispatch_sync(request(name))) is None


def nothing_at_all() -> None:
    return None


def test_options_without_a_name_keep_the_functions_name() -> None:
    dispatcher = Dispatcher()
    dispatcher.method(serial=True, idempotent=True)(nothing)
    assert names(dispatcher) == ["nothing"]


def test_an_effect_is_one_of_three() -> None:
    dispatcher = Dispatcher()
    with pytest.raises(ValueError, match="effect='reads': it is one of read, change, danger"):
        dispatcher.method(effect="reads")  # type: ignore[call-overload]


DECORATIONS: list[Callable[[Dispatcher, Callable[[], None]], object]] = [
    lambda dispatcher, function: dispatcher.method(function),
    lambda dispatcher, function: dispatcher.method()(function),
    lambda dispatcher, function: dispatcher.method("x")(function),
    lambda dispatcher, function: dispatcher.method(thread=True)(function),
    lambda dispatcher, function: dispatcher.notification(function),
    lambda dispatcher, function: dispatcher.notification("x")(function),
    lambda dispatcher, function: dispatcher.notification(serial=True)(function),
]


@pytest.mark.parametrize("decorate", DECORATIONS)
def test_the_function_comes_back_as_it_was(
    decorate: Callable[[Dispatcher, Callable[[], None]], object],
) -> None:
    def function() -> None:
        return None

    before = dict(vars(function))
    assert decorate(Dispatcher(), function) is function
    assert vars(function) == before


def test_one_function_may_have_several_names() -> None:
    dispatcher = Dispatcher()

    @dispatcher.method("on")
    @dispatcher.method("power.on")
    def switch(level: int = 5) -> int:
        return level

    assert value(dispatcher.dispatch_sync(request("on"))) == 5
    assert value(dispatcher.dispatch_sync(request("power.on", [7]))) == 7


def test_a_name_registers_once() -> None:
    dispatcher = Dispatcher()
    dispatcher.method("first")(lambda: "kept")
    with pytest.raises(ValueError, match="'first'"):
        dispatcher.method("first")(nothing)
    assert value(dispatcher.dispatch_sync(request("first"))) == "kept"
    dispatcher.notification("heard")(nothing)
    with pytest.raises(ValueError, match="'heard'"):
        dispatcher.notification("heard")(nothing)


def test_a_method_and_a_notification_may_share_a_name() -> None:
    dispatcher = Dispatcher()
    heard: list[str] = []
    dispatcher.method("level")(lambda: heard.append("call"))
    dispatcher.notification("level")(lambda: heard.append("notification"))
    assert value(dispatcher.dispatch_sync(request("level"))) is None
    assert dispatcher.dispatch_sync(notice("level")) is None
    assert heard == ["call", "notification"]


def test_a_notification_handler_is_no_method() -> None:
    dispatcher = Dispatcher()
    heard: list[str] = []
    dispatcher.notification("report")(lambda: heard.append("report"))
    assert code(dispatcher.dispatch_sync(request("report"))) == NOT_FOUND
    assert heard == []
    assert names(dispatcher) == []


def test_a_method_may_be_notified() -> None:
    dispatcher = Dispatcher()
    heard: list[str] = []
    dispatcher.method("press")(lambda: heard.append("pressed"))
    assert dispatcher.dispatch_sync(notice("press")) is None
    assert heard == ["pressed"]


@pytest.mark.parametrize("name", ["rpc.ping", "rpc.mine", "rpc.", "rpc", "rpc.a.b"])
def test_names_of_the_protocol_are_refused(name: str) -> None:
    dispatcher = Dispatcher()
    with pytest.raises(ValueError, match=r"rpc\."):
        dispatcher.method(name)(nothing)
    with pytest.raises(ValueError, match=r"rpc\."):
        dispatcher.notification(name)(nothing)
    assert names(dispatcher) == []


@pytest.mark.parametrize("name", ["rpcx", "my.rpc.ping", "Rpc.ping", "rpc_ping"])
def test_names_that_only_look_like_the_protocols_are_free(name: str) -> None:
    dispatcher = Dispatcher()
    dispatcher.method(name)(lambda: "mine")
    assert value(dispatcher.dispatch_sync(request(name))) == "mine"


def test_a_function_of_a_reserved_name_may_register_under_another() -> None:
    dispatcher = Dispatcher()

    def rpc() -> int:
        return 1

    with pytest.raises(ValueError, match="'rpc'"):
        dispatcher.method(rpc)
    dispatcher.method("mine")(rpc)
    assert value(dispatcher.dispatch_sync(request("mine"))) == 1


def test_variadic_parameters_are_refused() -> None:
    def positions(first: int, *rest: int) -> None: ...
    def keywords(first: int, **rest: int) -> None: ...

    dispatcher = Dispatcher()
    with pytest.raises(TypeError, match=r"'positions'.*\*rest"):
        dispatcher.method(positions)
    with pytest.raises(TypeError, match=r"'other'.*\*\*rest"):
        dispatcher.method("other")(keywords)
    assert names(dispatcher) == []


def test_a_type_without_a_json_form_is_refused_by_name() -> None:
    def ambiguous(ok: int, bad: list[int] | tuple[int, ...]) -> None: ...

    dispatcher = Dispatcher()
    with pytest.raises(TypeError, match=r"'lamp\.set'.*'bad'"):
        dispatcher.method("lamp.set")(ambiguous)
    assert names(dispatcher) == []


def test_unknown_options_are_refused() -> None:
    options: dict[str, Any] = {"timout": 5}
    with pytest.raises(TypeError, match="timout"):
        Dispatcher().method("x", **options)


def test_options_that_cannot_work_are_refused() -> None:
    async def coroutine() -> None: ...

    with pytest.raises(TypeError, match=r"'coroutine'.*thread"):
        Dispatcher().method(thread=True)(coroutine)
    with pytest.raises(TypeError, match=r"'nothing'.*timed out"):
        Dispatcher().method(timeout=1)(nothing)


def test_what_cannot_be_called_is_refused() -> None:
    not_callable: Any = 5
    with pytest.raises(TypeError):
        Dispatcher().method("x")(not_callable)


class Adder:
    """A callable object with a method of its own."""

    def __init__(self, base: int) -> None:
        self.base = base

    def __call__(self, amount: int) -> int:
        return self.base + amount

    def twice(self, amount: int) -> int:
        return self.base + 2 * amount

    @staticmethod
    def plain(amount: int) -> int:
        return amount

    @classmethod
    def of_class(cls, amount: int) -> str:
        return f"{cls.__name__}{amount}"


class AsyncAdder(Adder):
    """Its call is a coroutine function."""

    async def __call__(self, amount: int) -> int:  # type: ignore[override]
        return self.base + amount


def weigh(unit: str, amount: int, scale: int = 1) -> str:
    return f"{amount * scale}{unit}"


@functools.wraps(weigh)
def wrapped(*args: Any, **kwargs: Any) -> str:
    return "about " + weigh(*args, **kwargs)


@pytest.mark.parametrize(
    ("function", "params", "expected"),
    [
        (Adder(10), {"amount": 1}, 11),
        (AsyncAdder(10), {"amount": 1}, 11),
        (Adder(10).twice, [2], 14),
        (Adder.plain, {"amount": 3}, 3),
        (Adder(0).of_class, {"amount": 3}, "Adder3"),
        (functools.partial(weigh, "kg"), {"amount": 3}, "3kg"),
        (functools.partial(weigh, "kg"), [3, 2], "6kg"),
        (functools.partial(weigh, scale=3), {"unit": "g", "amount": 3}, "9g"),
        (functools.partial(weigh, unit="t"), {"amount": 3}, "3t"),
        (functools.partial(functools.partial(weigh, "kg"), scale=2), [3], "6kg"),
        (functools.partial(Adder(10).twice), [2], 14),
        (functools.partial(AsyncAdder(10)), [2], 12),
        (wrapped, {"unit": "g", "amount": 3}, "about 3g"),
        (functools.cache(weigh), ["g", 3], "3g"),
        (lambda amount: amount, {"amount": {"any": [1]}}, {"any": [1]}),
        (len, [["a", "b"]], 2),
    ],
)
def test_any_callable_registers(
    function: Callable[..., object], params: object, expected: object
) -> None:
    dispatcher = Dispatcher()
    assert dispatcher.method("call")(function) is function
    assert value(dispatcher.dispatch_sync(request("call", params))) == expected


@pytest.mark.parametrize(
    "function",
    [
        Adder(10),
        AsyncAdder(10),
        Adder(10).twice,
        Adder.plain,
        functools.partial(weigh, "kg"),
        functools.partial(weigh, unit="kg"),
        functools.partial(Adder(10)),
        functools.cache(Adder.plain),
    ],
)
def test_the_types_of_any_callable_count(function: Callable[..., object]) -> None:
    dispatcher = Dispatcher()
    dispatcher.method("call")(function)
    reply = dispatcher.dispatch_sync(request("call", {"amount": "3"}))
    assert code(reply) == -32602


def test_methods_may_be_added_after_the_first_message() -> None:
    dispatcher = Dispatcher()
    assert code(dispatcher.dispatch_sync(request("late"))) == NOT_FOUND
    dispatcher.method("late")(lambda: 1)
    assert value(dispatcher.dispatch_sync(request("late"))) == 1
    dispatcher.method("later")(lambda: 2)
    assert value(dispatcher.dispatch_sync(request("later"))) == 2
    assert value(dispatcher.dispatch_sync(request("late"))) == 1
    assert names(dispatcher) == ["late", "later"]


def test_dispatchers_are_independent() -> None:
    one, other = Dispatcher(), Dispatcher()
    one.method("who")(lambda: "one")
    other.method("who")(lambda: "other")
    one.method("only")(lambda: None)
    assert value(one.dispatch_sync(request("who"))) == "one"
    assert value(other.dispatch_sync(request("who"))) == "other"
    assert code(other.dispatch_sync(request("only"))) == NOT_FOUND
    assert names(one) == ["only", "who"]
    assert names(other) == ["who"]


@pytest.mark.parametrize(
    "mark", [Dispatcher().method, Dispatcher().notification, method, notification]
)
def test_names_and_options_that_make_no_sense_are_refused(mark: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="empty"):
        mark("")
    with pytest.raises(TypeError, match="text, not 5"):
        mark(5)
    for nameless in (functools.partial(int, "1"), Tool()):
        with pytest.raises(TypeError, match="has no name of its own"):
            mark(nameless)
        with pytest.raises(TypeError, match="has no name of its own"):
            mark()(nameless)
    for timeout in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="more than 0 seconds"):
            mark(timeout=timeout)


class Tool:
    def __call__(self) -> int:
        return 1


def test_an_annotation_without_a_meaning_is_refused_by_the_methods_name() -> None:
    def dim(level: "Nope") -> None:  # type: ignore[name-defined]  # noqa: F821
        return None

    with pytest.raises(TypeError, match=r"'lamp'.*'Nope'"):
        Dispatcher().method("lamp")(dim)


def test_methods_may_be_registered_while_threads_dispatch() -> None:
    dispatcher = Dispatcher()
    dispatcher.method("first")(lambda: 1)
    stop = threading.Event()
    replies: set[bytes | None] = set()

    def call() -> None:
        while not stop.is_set():
            replies.add(dispatcher.dispatch_sync(request("first")))
            replies.add(dispatcher.dispatch_sync(request("rpc.methods", [1])))

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(200):
        dispatcher.method(f"m{number}")(nothing)
    stop.set()
    for thread in threads:
        thread.join()
    assert len(replies) == 2
    assert len(names(dispatcher)) == 201
