"""Ordinary messages take one pass of msgspec, all others the way that explains: both answer alike.

The invariant: whatever arrives, and however it is written, `dispatch_sync` and `dispatch` answer as
the general way does, which is `begin_read` of what is taken for special. So does `begin_read` of
all else; and what says the same is answered the same.
"""

import json
import math
from asyncio import Runner
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from random import Random
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct

from jsonrpc_iot import Context, Dispatcher, Limits, RpcError, method, notification, service
from jsonrpc_iot.dispatch.responder import Responder
from jsonrpc_iot.dispatch.run.batch import Batch
from jsonrpc_iot.dispatch.run.call import PendingCall
from jsonrpc_iot.protocol.limits import DEFAULT_LIMITS
from tests.protocol.codec import msgpack_bytes

from ._rewriting import Members, Number, packed, rewritten, written

pytestmark = pytest.mark.timeout(240)  # many examples, which a busy machine takes long for


class Place(Struct):
    x: int
    y: float = 0.0


class Exact(Struct, forbid_unknown_fields=True):
    name: str
    within: "list[Exact]" = []


CALLS: list[str] = []
"""What handlers were called with."""


def note(*given: object) -> list[object]:
    CALLS.append(repr(given))
    return list(given)


def device(limits: Limits = DEFAULT_LIMITS) -> Dispatcher:
    """Handlers that give back what they get, with every kind of signature."""
    dispatcher = Dispatcher(limits=limits)
    dispatcher.include(Plain())
    dispatcher.include(Others())
    return dispatcher


@service("")
class Plain:
    """Those that need nothing but their params."""

    @method
    def nothing(self) -> None:
        note("nothing")

    @method
    def text(self, a: str, b: str = "b") -> list[object]:
        return note("text", a, b)

    @method
    def numbers(
        self, a: int, b: float = 0.5, c: Annotated[int, Meta(ge=0, le=9)] = 3
    ) -> dict[str, float]:
        note("numbers", a, b, c)
        return {"a": a, "b": b, "c": c}

    @method
    def decimal(self, a: Decimal) -> str:
        return str(note("decimal", a))

    @method
    def anything(self, value: object, other: Any = None) -> object:
        return note("anything", value, other)

    @method
    def fresh(self, items: list[int] = []) -> list[int]:  # noqa: B006  # each call has its own
        note("fresh", items)
        items.append(1)
        return items

    @method
    def named(self, a: int, *, b: str = "", _hidden: int = 0) -> list[object]:
        return note("named", a, b, _hidden)

    @method
    def places(self, place: Place, exact: Exact | None, mode: Literal["on", "off"]) -> object:
        return note("places", place, exact, mode)

    @method
    def fail(self, code: int) -> None:
        raise RpcError(code, f"failed {note('fail', code)}")

    @method
    def infinite(self, sign: int) -> float:
        note("infinite", sign)
        return sign * math.inf

    @notification
    def heard(self, a: int) -> None:
        note("heard", a)

    @notification("text")
    def text_heard(self, other: bool = True) -> None:
        note("text_heard", other)


@service("")
class Others:
    """Those that wait, or want more than their params."""

    @method
    async def slow(self, a: int | str | None) -> object:
        return note("slow", a)

    @method
    async def with_context(self, a: bool, context: Context) -> object:
        return note("with_context", a, context.method, repr(context.id))

    @method
    def plain_context(self, context: Context, a: int = 0) -> object:
        return note("plain_context", context.method, repr(context.id), a)

    @method(serial=True)
    def in_turn(self, a: dict[str, int]) -> object:
        return note("in_turn", a)

    @method
    async def items(self, count: Annotated[int, Meta(ge=0, le=3)]) -> AsyncIterator[int]:
        note("items", count)
        for number in range(count):
            yield number

    @method(requires="admin")
    def guarded(self, a: int) -> object:
        return note("guarded", a)


SIGNATURES: dict[str, dict[str, st.SearchStrategy[object]]] = {
    "nothing": {},
    "text": {"a": st.text(), "b": st.text()},
    "decimal": {"a": st.decimals(allow_nan=False, allow_infinity=False).map(str)},
    "numbers": {
        "a": st.integers(),
        "b": st.floats(allow_nan=False, allow_infinity=False),
        "c": st.integers(0, 9),
    },
    "anything": {"value": st.text(), "other": st.lists(st.integers() | st.none())},
    "fresh": {"items": st.lists(st.integers(-9, 9))},
    "named": {"a": st.integers(0, 9), "b": st.text(), "_hidden": st.integers(0, 9)},
    "places": {
        "place": st.fixed_dictionaries({"x": st.integers(0, 9), "z": st.text()}),
        "exact": st.none() | st.just({"name": "a", "within": [{"name": "é"}]}),
        "mode": st.sampled_from(["on", "off"]),
    },
    "slow": {"a": st.none() | st.integers() | st.text()},
    "with_context": {"a": st.booleans()},
    "plain_context": {"a": st.integers(0, 9)},
    "in_turn": {"a": st.dictionaries(st.text(), st.integers(0, 9))},
    "items": {"count": st.integers(0, 3)},
    "guarded": {"a": st.integers(0, 9)},
    "fail": {"code": st.integers(0, 9)},
    "infinite": {"sign": st.sampled_from([1, -1])},
    "heard": {"a": st.integers(0, 9)},
    "rpc.ping": {},
    "rpc.methods": {},
    "rpc.cancel": {"id": st.integers(0, 9)},
    "absent": {"a": st.integers(0, 9)},
}

IDS = (
    st.integers()
    | st.integers(0, 2)
    | st.text()
    | st.none()
    | st.floats(allow_nan=False, allow_infinity=False)
)


def nested(levels: int) -> object:
    """Arrays in each other."""
    return [nested(levels - 1)] if levels else 0


SPELT = st.sampled_from(["-0", "0", "1.50", "1e2", "1E+2", "-0.0", "40.0", "0.10", "9" * 40])
DEEP = st.sampled_from([1, 2, 3, 4, 58, 60, 61, 62, 63, 64]).map(nested)
HARD = st.sampled_from([math.nan, -math.inf, "\udcff", Number("9" * 5000), Number("1e400")])
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | SPELT.map(Number) | HARD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=2,
)
ODD = DEEP | HARD | ANY
PLENTY = settings(max_examples=200)
ODD_MEMBERS = st.one_of(
    st.tuples(st.just("jsonrpc"), st.sampled_from(["2.0", "1.0", 2])),
    st.tuples(st.just("timeout"), st.sampled_from([3, 0.5, 0, -1, "3", None, math.inf, math.nan])),
    st.tuples(st.sampled_from(["retry", "stream"]), st.sampled_from([True, False, None])),
    st.tuples(st.sampled_from(["result", "error", "params", "id", "method"]), ANY),
)


def positions(method: str) -> tuple[str, ...]:
    """The names of params that may come by position."""
    return () if method == "named" else tuple(SIGNATURES[method])


@st.composite
def meant(draw: st.DrawFn) -> tuple[str, dict[str, object]]:
    """A valid request or notification, and its method."""
    method = draw(st.sampled_from(sorted(SIGNATURES)))
    message: dict[str, object] = {"method": method}
    if draw(st.integers(0, 1)):
        message["jsonrpc"] = "2.0"
    if draw(st.integers(0, 5)):
        message["id"] = draw(IDS)
    signature = SIGNATURES[method]
    if signature or draw(st.integers(0, 1)) == 1:
        message["params"] = {name: draw(values) for name, values in signature.items()}
    return method, message


@st.composite
def messages(draw: st.DrawFn) -> tuple[Members, Random]:
    """A message with at most one thing odd, and what makes the choices in writing it."""
    name, message = draw(meant())
    random = draw(st.randoms(use_true_random=False))
    params = message.get("params")
    odd = draw(st.sampled_from(["nothing", "meta", "member", "id", "param", "missing"]))
    if odd == "id":
        message["id"] = Number(draw(SPELT))
    elif odd == "param" and isinstance(params, dict):
        params[draw(st.sampled_from([*params, "more"]))] = draw(ODD)
    elif odd == "missing" and params and isinstance(params, dict):
        del params[draw(st.sampled_from(list(params)))]
    members = rewritten(message, positions(name), random)
    if odd in ("meta", "member"):
        more = ("meta", draw(ODD)) if odd == "meta" else draw(ODD_MEMBERS)
        members.insert(draw(st.integers(0, len(members))), more)
    return members, random


class General:
    """Answers as the way does that tries nothing in one pass.

    Args:
        responder: has that way.
    """

    def __init__(self, responder: Responder, *, is_special: bool = True) -> None:
        self._responder = responder
        self._is_special = is_special

    def answer(self, data: bytes) -> Counter[bytes]:
        """The responses to a message, or to the entries of a batch."""
        read = self._responder.read(data)
        entries = [each for each, _ in read] if isinstance(read, list) else [data]
        return Counter(filter(None, map(self._answer_one, entries)))

    def _answer_one(self, data: bytes) -> bytes | None:
        read = self._responder.read(data)
        begun = self._responder.begin_read(
            data, read, Context(), None, None, is_special=self._is_special
        )
        assert not isinstance(begun, Batch)
        return begun.run_sync() if isinstance(begun, PendingCall) else begun

    def parts(self, reply: bytes | None) -> Counter[bytes]:
        """The responses in a reply, whose order in a batch is nobody's business."""
        if reply is None:
            return Counter()
        read = self._responder.read(reply)
        return Counter([each for each, _ in read] if isinstance(read, list) else [reply])


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner() as runner:
        yield runner


def check(responder: Responder, data: bytes, runner: Runner) -> None:
    """Hold the ways to answer a message against each other."""
    general = General(responder)
    expected = general.answer(data), calls()
    assert (General(responder, is_special=False).answer(data), calls()) == expected
    assert (general.parts(responder.dispatch_sync(data)), calls()) == expected
    assert (general.parts(runner.run(responder.dispatch(data))), calls()) == expected


def calls() -> Counter[str]:
    """What has been called since the last time; in a batch those that take time come last."""
    called = Counter(CALLS)
    CALLS.clear()
    return called


DEVICE = device()
LOW = device(Limits(nesting=4))
JSON, MSGPACK = DEVICE.responder("json"), DEVICE.responder("msgpack")


@PLENTY
@given(message=messages())
def test_one_message(runner: Runner, message: tuple[Members, Random]) -> None:
    check(JSON, written(*message), runner)


@PLENTY
@given(message=messages())
def test_one_message_where_little_may_be_nested(
    runner: Runner, message: tuple[Members, Random]
) -> None:
    check(LOW.responder("json"), written(*message), runner)


@PLENTY
@given(message=messages(), at=st.floats(0, 1), other=st.binary(max_size=2))
def test_a_message_with_a_mistake(
    runner: Runner, message: tuple[Members, Random], at: float, other: bytes
) -> None:
    data = written(*message)
    place = int(at * (len(data) - 1))
    check(JSON, data[:place] + other + data[place + 1 :], runner)


@given(entries=st.lists(messages(), min_size=1, max_size=5))
def test_a_batch(runner: Runner, entries: list[tuple[Members, Random]]) -> None:
    check(JSON, b"[" + b",".join(written(*entry) for entry in entries) + b"]", runner)


@PLENTY
@given(messages=st.lists(messages(), min_size=1, max_size=3))
def test_messagepack(runner: Runner, messages: list[tuple[Members, Random]]) -> None:
    try:
        entries = [packed(*message) for message in messages]
    except OverflowError:
        reject()
    check(MSGPACK, entries[0] if len(entries) == 1 else msgpack_bytes.array(entries), runner)


@given(meaning=meant(), random=st.randoms(use_true_random=False))
def test_what_says_the_same_is_answered_the_same(
    meaning: tuple[str, dict[str, object]], random: Random
) -> None:
    method, message = meaning
    same = written(rewritten(message, positions(method), random), random)
    expected = General(JSON).answer(json.dumps(message).encode()), calls()
    assert (General(JSON).parts(JSON.dispatch_sync(same)), calls()) == expected
