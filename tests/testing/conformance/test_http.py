"""Faults of HTTP itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from jsonrpc_iot.testing.conformance import check_conformance

from .device import case_of, right

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def careless_server() -> AsyncIterator[str]:
    """A server that looks at bodies alone, and says 200 and `text/plain` to all of them."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            _, there, rest = head.partition(b"content-length:")
            size = int(rest.split(b"\r\n")[0]) if there else 0
            body = b"".join(right(await reader.readexactly(size)))
        except asyncio.IncompleteReadError:
            pass
        else:
            lines = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n"
            writer.write(b"%scontent-length: %d\r\n\r\n%s" % (lines, len(body), body))
            await writer.drain()
        finally:
            writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/rpc"


async def test_each_careless_answer_is_a_fault() -> None:
    async with careless_server() as url:
        report = await check_conformance(url, profile="full", timeout=0.5)

    (http,) = (section for section in report.sections if section.name == "HTTP")
    found = {case.name: case.why for case in http.cases if case.verdict == "fail"}
    assert found == {
        "a request": "content type text/plain, not application/json",
        "a notification": "status 200, not 202",
        "a response": "status 200, not 202",
        "no JSON": "status 200, not 400",
        "no request": "status 200, not 400",
        "content type text/plain": "status 200, not 415",
        "content type application/x-www-form-urlencoded": "status 200, not 415",
        "content type application/msgpack": "status 200, not 415",
        "a packed body": "status 200, not 415",
        "a body that is too large": "no answer to the head of a request",
        "PUT": "status 200, not 405",
        "DELETE": "status 200, not 405",
        "a GET for something else": "status 200, not 406",
        "a GET for events": "content type text/plain",
        "the document": "the body is no document",
    }
    places = {case.verdict for case in http.cases if case.name.startswith(("POST", "GET"))}
    assert places == {"not applicable"}  # whatever is posted there is taken for a message


async def test_the_standard_profile_asks_for_less() -> None:
    async with careless_server() as url:
        report = await check_conformance(url, timeout=0.5)

    (http,) = (section for section in report.sections if section.name == "HTTP")
    assert [case.name for case in http.cases] == ["a request", "a GET for events"]
    assert case_of(report, "HTTP", "a GET for events").verdict == "not applicable"
