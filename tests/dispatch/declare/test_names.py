"""Parameters that callers call otherwise than Python does."""

from typing import Any

import pytest

from jsonrpc_iot import Dispatcher, connect, method, notification, serve, service
from tests.dispatch._messages import request, value, wrong_param
from tests.waiting import SECONDS, Tally

pytestmark = pytest.mark.anyio

NAMES = {"from_": "from", "at_most": "at most"}


@service("valve")
class Valve:
    def __init__(self) -> None:
        self.told = Tally()

    @method(names=NAMES)
    async def turn(self, from_: int, to: int = 9, *, at_most: int = 5) -> list[int]:
        return [from_, to, at_most]

    @notification(names={"class_": "class"})
    async def sort(self, class_: int) -> None:
        self.told.add(class_)


def valve(service: Valve | None = None) -> Dispatcher:
    dispatcher = Dispatcher()
    dispatcher.include(service or Valve())
    return dispatcher


async def turn(params: Any) -> bytes | None:
    return await valve().dispatch(request("valve.turn", params))


async def test_callers_use_the_names_for_callers() -> None:
    assert value(await turn({"from": 1, "to": 2, "at most": 3})) == [1, 2, 3]
    assert value(await turn({"from": 1})) == [1, 9, 5]
    assert value(await turn([1, 2])) == [1, 2, 5]
    assert wrong_param(await turn({"from_": 1})) == "$.from_"
    assert wrong_param(await turn({"from": 1, "at most": "x"})) == "$.at most"


async def test_the_description_has_them() -> None:
    reply = await valve().dispatch(request("rpc.discover", {"method": "valve.turn"}))

    names = [each["name"] for each in value(reply)["methods"][0]["params"]]

    assert names == ["from", "to", "at most"]


async def test_a_proxy_sends_them() -> None:
    service = Valve()
    async with serve(valve(service), "memory://valve"), connect("memory://valve") as client:
        proxy = client.proxy(Valve, timeout=SECONDS)
        assert await proxy.turn(1, 2, at_most=3) == [1, 2, 3]
        assert await proxy.turn(from_=4) == [4, 9, 5]
        await proxy.sort(class_=7)
        await service.told.reach(1)
        assert service.told.items == [7]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ({"c": "x"}, "'c', which is no parameter"),
        ({"a": "b"}, "2 parameters are called 'b'"),
        ({"a": 1}, "names are texts"),
        ({"a": 'say "x"'}, "no quotes, backslashes or control characters"),
    ],
)
def test_names_of_nothing_are_refused(names: Any, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):

        @Dispatcher().method("add", names=names)
        def add(a: int, b: int) -> int:
            raise NotImplementedError


def test_a_name_may_be_nearly_any_text() -> None:
    dispatcher = Dispatcher()
    odd = "x], __import__('os'); größe #\u2028"

    @dispatcher.method(names={"a": odd})
    def take(a: int) -> int:
        return a

    assert value(dispatcher.dispatch_sync(request("take", {odd: 5}))) == 5
