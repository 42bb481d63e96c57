"""Type checkers accept the clients of all documents, and nothing in them is a document's code."""

import ast
from collections.abc import Iterator
from contextlib import chdir
from functools import lru_cache
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from mypy import api

from jsonrpc_iot import Dispatcher, UsageError, connect, serve
from jsonrpc_iot.generate.document import read_document
from jsonrpc_iot.generate.typescript import write_typescript
from jsonrpc_iot.novacloud import NovaPlatform, SqliteStore, management
from tests.dispatch.openrpc.home import home
from tests.dispatch.openrpc.kinds import KINDS
from tests.places import EXAMPLES, ROOT

from .documents import Document, describe, documents, made_up, own_devices
from .made import HEADER, loaded, python
from .node import compiled

MADE_UP = 50
IMPORTED = ["abc", "decimal", "enum", "typing", "uuid", "msgspec", "jsonrpc_iot"]

USES = """
from __future__ import annotations

from typing import assert_type

from blinds import Blinds, BlockingBlinds, Position
from jsonrpc_iot import Client, RpcError, Stream
from jsonrpc_iot.blocking import BlockingClient, BlockingStream


async def asynchronous(client: Client) -> None:
    proxy = client.proxy(Blinds)
    assert_type(proxy, Blinds)
    assert_type(await proxy.blinds_move(5), Position)
    assert_type(proxy.blinds_follow(50, step=5), Stream[Position])
    assert_type((await proxy.blinds_position()).open, int)
    await proxy.blinds_stop()
    proxy.blinds_moved.subscribe(lambda position: print(position.open))


def blocking(client: BlockingClient) -> None:
    proxy = client.proxy(Blinds, BlockingBlinds)
    assert_type(proxy.blinds_move(5), Position)
    assert_type(proxy.blinds_follow(50), BlockingStream[Position])
    with proxy.blinds_moved.values() as values:
        assert_type(values.receive().open, int)
"""


def of_all_kinds() -> Dispatcher:
    """A method for each kind of type, with a parameter and a result of it."""
    dispatcher = Dispatcher()
    for number, kind in enumerate(KINDS):

        def take(value: Any, more: Any = None) -> Any:
            raise NotImplementedError

        take.__annotations__ = {"value": kind, "more": kind, "return": kind}
        dispatcher.method(f"take.{number}")(take)
    return dispatcher


def own_documents(folder: Path) -> dict[str, Document]:
    """What this repository's devices say of themselves."""
    platform = NovaPlatform(SqliteStore(folder / "nova.sqlite"))
    others = {"home": home(), "kinds": of_all_kinds(), "platform": management(platform)}
    return {name: describe(each) for name, each in (own_devices() | others).items()}


@lru_cache
def documents_made_up() -> list[Document]:
    return made_up(MADE_UP, python)


def all_documents(folder: Path) -> dict[str, Document]:
    made = {f"made_up_{n}": each for n, each in enumerate(documents_made_up())}
    return own_documents(folder) | made


@pytest.mark.timeout(300)
def test_mypy_accepts_all(tmp_path: Path) -> None:
    sources = {
        name: python(document, name.title().replace("_", ""), blocking=True)
        for name, document in all_documents(tmp_path).items()
    }
    for name, source in {**sources, "uses": USES}.items():
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
    paths = [str(tmp_path / f"{name}.py") for name in [*sources, "uses"]]
    paths += [str(EXAMPLES / "blinds_api.py"), str(EXAMPLES / "generated_client.py")]

    with chdir(ROOT):
        output, errors, code = api.run(
            ["--strict", "--config-file=", "--cache-dir", str(tmp_path / "cache"), *paths]
        )

    assert (output, errors, code) == (
        f"Success: no issues found in {len(paths)} source files\n",
        "",
        0,
    )
    assert len(paths) >= MADE_UP + 10


@pytest.mark.timeout(300)
def test_the_typescript_compiler_accepts_all(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    sources = {}
    for name, document in all_documents(tmp_path).items():
        description = read_document(document)
        sources[name] = write_typescript(description, HEADER, name.title().replace("_", ""))

    found = compiled(request, tmp_path, sources)

    assert found.complaints == []
    assert found.code == []


CALLED = {"service", "method", "notification", "field"}
STATEMENTS = (
    *(ast.Expr, ast.Import, ast.ImportFrom, ast.ClassDef, ast.Assign, ast.AnnAssign),
    *(ast.FunctionDef, ast.AsyncFunctionDef),
)


def code_in(source: str) -> Iterator[str]:
    """What a client does beyond declaring types, methods and events."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            function = ast.unparse(node.func)
            is_known = function in CALLED or function.startswith("Event[")
        elif isinstance(node, ast.Expr):
            is_known = isinstance(node.value, ast.Constant)
        elif isinstance(node, ast.ImportFrom):
            is_known = node.module in {*IMPORTED, "__future__"}
        else:
            is_known = isinstance(node, STATEMENTS) or not isinstance(node, ast.stmt)
        if not is_known:
            yield ast.unparse(node)


def test_code_is_found() -> None:
    source = "import os\nos.abort()\nx = eval('1')\ndef f(): return 1\nfrom os import abort"

    assert set(code_in(source)) == {"os.abort()", "return 1", "from os import abort", "eval('1')"}


async def proxy_of(service: type) -> object:
    async with serve(Dispatcher(), "memory://made"), connect("memory://made") as client:
        return client.proxy(service)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(documents)
def test_a_proxy_can_be_made_of_any(document: Document) -> None:
    try:
        source = python(document, "Made")
    except UsageError:
        return
    assert list(code_in(source)) == []
    proxy = anyio.run(proxy_of, loaded(source).Made)
    names = {each["name"] for each in document["methods"] if not each["name"].startswith("rpc.")}
    assert len([name for name in dir(proxy) if not name.startswith("_")]) >= len(names)
