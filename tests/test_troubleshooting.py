"""The page "When something does not work" quotes what the program says: each sentence is there.

Those that are made of texts of the operating system are provoked, and some of the others too.
"""

import ast
import re
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import BindFailed, cli
from jsonrpc_iot.transports import open_listener

from .places import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "jsonrpc_iot"
ANY = "…"
PIECE = re.compile(rf"[^{ANY}]+")

SAID = [
    row.split(" | ")[0].removeprefix("| ").strip("`")
    for row in PAGE.splitlines()
    if row.startswith("| `")
]

NOWHERE = "tcp://127.0.0.1:1"
PROVOKED = {
    "…: Connection refused": ("call", NOWHERE, "x"),
    "mqtt://…: Connection refused": ("call", "mqtt://127.0.0.1:1/x", "x"),
    "…: Name or service not known": ("call", "tcp://nobody.invalid:1", "x"),
    "…: no answer within …": ("call", "udp://127.0.0.1:9", "x", "--timeout", "0.1"),
    "…: nothing in this process serves it": ("call", "memory://x", "x"),
    "…: there is no device …; is it plugged in?": ("call", "uart:///dev/nothing", "x"),
    "message of … bytes exceeds the channel's limit of … bytes": (
        *("call", "udp://127.0.0.1:9", "x", f"a={'x' * 1500}"),
    ),
    "…: nobody serves it: …": ("call", "pipe://nope", "x"),
    "…: the environment has no …": ("call", f"{NOWHERE}?psk=env:NOTHING", "x"),
    "unknown scheme …; there are …": ("call", "tpc://127.0.0.1", "x"),
    "unknown option …; … has …": ("call", f"{NOWHERE}?pks=env:X", "x"),
    "there is no module …": ("serve", "nothing_like_that:device", "--bind", NOWHERE),
    "no devices answered; those that listen elsewhere need --target HOST or --port PORT": (
        *("discover", "--target", "127.0.0.1:9", "--timeout", "0.1"),
    ),
}
FROM_THE_SYSTEM = {
    *("…: Connection refused", "mqtt://…: Connection refused", "…: Name or service not known"),
    "…: Address already in use",
}


def pattern(said: str) -> str:
    """A regular expression of what a sentence stands for."""
    return ".*".join(map(re.escape, said.split(ANY)))


@cache
def texts() -> frozenset[str]:
    """All texts of the package, with `…` in the place of what is put into them."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        found.update(_texts(ast.parse(path.read_bytes())))
    return frozenset(found)


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                part.value
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
                else ANY
                for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"%[.\d]*[a-z]", ANY, node.value)


def test_the_page_has_sentences() -> None:
    assert len(SAID) > 45
    assert PROVOKED.keys() <= set(SAID)


@pytest.mark.parametrize("said", SAID)
def test_each_sentence_is_in_the_code(said: str) -> None:
    if said in FROM_THE_SYSTEM:
        return  # see the tests below
    pieces = [piece.strip(" :;,`") for piece in PIECE.findall(said)]
    whole = [piece for piece in pieces if len(piece) > 3]
    assert whole, said
    for piece in whole:
        assert any(piece in text for text in texts()), piece


def test_what_the_system_says_is_provoked() -> None:
    assert FROM_THE_SYSTEM - PROVOKED.keys() == {"…: Address already in use"}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(BindFailed, match=f"{url}: Address already in use"):
            anyio.run(open_listener, url)


@pytest.mark.usefixtures("log_is_as_before")
@pytest.mark.parametrize("said", PROVOKED)
def test_the_program_says_so(
    said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NOTHING", raising=False)
    cli.run(PROVOKED[said])
    assert re.search(pattern(said), capsys.readouterr().err)
