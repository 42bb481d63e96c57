"""Errors that a service declares are raised by its proxies as the classes that it names."""

import traceback
from collections.abc import AsyncIterator

import anyio
import pytest

from jsonrpc_iot import Busy, RpcError, connect_sync, method, service

from .proxied import calling, everywhere

pytestmark = pytest.mark.anyio


class NoWater(RpcError):
    code = 2001
    message = "No water"


class Occupied(Busy):
    """One class more for a code that has its own."""


class Broken(RpcError):
    code = 2003

    def __init__(self, part: str) -> None:
        super().__init__(data={"part": part})


@service("tap")
class Tap:
    @method(errors=[NoWater, Occupied, Broken, RpcError(2004, "Frozen")])
    async def pour(self, error: int) -> str:
        raise Broken("valve") if error == 2003 else RpcError(error, "Alas", {"litres": 0.1})

    @method(errors=[NoWater])
    async def drops(self) -> AsyncIterator[int]:
        yield 1
        raise NoWater

    @method
    async def plain(self) -> None:
        raise NoWater


@everywhere
async def test_declared_errors_are_raised_as_declared(url: str) -> None:
    async with calling(url, Tap()) as (_, client):
        tap = client.proxy(Tap)
        for code, kind in ((2001, NoWater), (-32004, Occupied), (2003, Broken), (2004, RpcError)):
            with pytest.raises(RpcError) as caught:
                await tap.pour(code)
            assert (type(caught.value), caught.value.code) == (kind, code)
            assert "the answer to 'tap.pour'" in "".join(traceback.format_exception(caught.value))
            assert caught.value.data == ({"part": "valve"} if code == 2003 else {"litres": 0.1})
        with pytest.raises(RpcError) as caught:
            await tap.pour(77)
        assert type(caught.value) is RpcError


@everywhere
async def test_a_stream_raises_declared_errors(url: str) -> None:
    async with calling(url, Tap()) as (_, client):
        drops = client.proxy(Tap).drops()
        assert await anext(drops) == 1
        with pytest.raises(NoWater, match="No water"):
            await anext(drops)


async def test_without_a_declaration_an_error_has_the_class_of_its_code() -> None:
    async with calling("memory://tap", Tap()) as (_, client):
        with pytest.raises(RpcError) as caught:
            await client.proxy(Tap).plain()
        assert type(caught.value) is RpcError
        with pytest.raises(RpcError) as caught:
            await client.call("tap.pour", [2001])
        assert type(caught.value) is RpcError


async def test_a_blocking_proxy_raises_declared_errors() -> None:
    async with calling("tcp://127.0.0.1:0", Tap()) as (server, _):
        url = server.urls[0]

        def pour() -> None:
            with connect_sync(url) as client:
                client.proxy(Tap).pour(2001)

        with pytest.raises(NoWater):
            await anyio.to_thread.run_sync(pour)
