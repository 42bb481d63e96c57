"""Devices that say too much of themselves, or lie: an assistant gets what it can use."""

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from tests.rig import far_end

from .rig import assisted, call, tools_of

pytestmark = pytest.mark.anyio

Answer = Callable[[str], dict[str, Any]]
"""What a device answers to a method: the members `result` or `error`."""


@asynccontextmanager
async def lying(document: dict[str, Any], answer: Answer) -> AsyncIterator[str]:
    """The URL of a device that describes itself like that."""
    about: dict[str, dict[str, Any]] = {
        "rpc.ping": {"result": True},
        "rpc.discover": {"result": document},
    }

    async with far_end() as (url, accept), anyio.create_task_group() as tasks:

        async def play() -> None:
            raw = await accept()
            async with raw.stream:
                while True:
                    try:
                        request = await raw.receive()
                    except anyio.IncompleteRead:
                        break
                    if "id" in request:
                        said = about.get(request["method"]) or answer(request["method"])
                        await raw.send(json.dumps({"id": request["id"], **said}))

        tasks.start_soon(play)
        yield url
        tasks.cancel_scope.cancel()


async def test_of_five_thousand_methods_the_first_are_tools(
    caplog: pytest.LogCaptureFixture,
) -> None:
    node = {"properties": {"next": {"$ref": "#/components/schemas/Node"}}}
    param = {"name": "node", "schema": {"$ref": "#/components/schemas/Node"}}
    methods = [
        {
            "name": f"m{number:04}",
            "summary": "<script>alert(1)</script>\u001b[2J" + "x" * 20,
            "params": [param],
            "result": {},
            "x-effect": "read",
        }
        for number in range(5000)
    ]
    document = {"openrpc": "1.3.2", "methods": methods, "components": {"schemas": {"Node": node}}}
    assert 900_000 < len(json.dumps(document)) < 1 << 20
    caplog.set_level(logging.WARNING)
    async with (
        lying(document, lambda method: {"result": method}) as url,
        assisted([url]) as (
            client,
            _,
        ),
    ):
        tools = await tools_of(client)
        assert len(tools) == 501
        description = tools["m0000"].description
        assert description == "<script>alert(1)</script>\ufffd[2J" + "x" * 20
        assert await call(client, "m0000") == (False, '"m0000"')
        failed, text = await call(client, "m4000")
        assert failed
        assert text.endswith("more methods are left out.")
    assert any("tools are left out" in record.getMessage() for record in caplog.records)


async def test_texts_of_errors_are_cut_and_printable() -> None:
    document = {"methods": [{"name": "x", "params": [], "result": {}, "x-effect": "read"}]}
    error = {"code": 2001, "message": "\u001b[31m" + "m" * 5000, "data": {"path": "d" * 100_000}}
    async with (
        lying(document, lambda method: {"error": error}) as url,
        assisted([url]) as (
            client,
            _,
        ),
    ):
        failed, text = await call(client, "x")
        assert failed
        assert text.startswith("x failed at the device: \ufffd[31mmmm")
        assert text.isprintable()
        assert len(text) < 1200
