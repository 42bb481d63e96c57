"""The page about the architecture says what the code is."""

import re
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
import pytest

from jsonrpc_iot import Dispatcher, serve
from tests.places import ROOT

from .test_imports import API, PARTS
from .test_imports import ROOT as PACKAGE

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))

WAY = re.findall(r"^\| `([\w/]+)` \| `([\w.]+)` \|", PAGE, re.MULTILINE)
DEMUX = "transports/packets/demux"
TRIO_WAY = {
    (DEMUX, "Demux.take"): [(DEMUX, "Demux.deliver"), (DEMUX, "DemuxChannel.deliver")],
    ("peer/peer", "Peer.take"): [("peer/peer", "Peer.handle")],
}
PLACE = re.compile(r"`([a-z_]+(?:/[a-z_]+)*/?)`")


def arrows() -> set[tuple[str, str]]:
    """What the picture shows: importer and imported."""
    (picture,) = re.findall(r"```mermaid\n(.*?)```", PAGE, re.DOTALL)
    found = set()
    for line in re.sub(r"\[.*?\]", "", picture).splitlines():
        importers, arrow, imported = line.partition(" --> ")
        if arrow:
            found |= {
                (one.strip(), other.strip())
                for one in importers.split("&")
                for other in imported.split("&")
            }
    return found


def test_the_picture_shows_each_part_and_only_imports_that_may_be() -> None:
    parts = PARTS | {API: PARTS["__init__"]}
    shown = arrows()

    assert {each for arrow in shown for each in arrow} == parts.keys() - {"__init__", "__main__"}
    for importer, imported in shown:
        assert imported in parts[importer], f"{importer} --> {imported}"


@pytest.mark.parametrize("importer", sorted(PARTS.keys() - {"__init__", "__main__"}))
def test_what_a_part_may_import_is_below_it_in_the_picture(importer: str) -> None:
    below = {importer}
    while more := {to for start, to in arrows() if start in below} - below:
        below |= more

    assert PARTS[importer] <= below


def test_every_folder_is_in_the_table() -> None:
    named = set(re.findall(r"^\| `([\w/]+)/` \|", PAGE, re.MULTILINE))

    assert {part for part in PARTS if (PACKAGE / part).is_dir()} <= named
    for part in ("protocol", "dispatch", "transports"):
        inner = {path.parent.name for path in (PACKAGE / part).glob("*/__init__.py")}
        assert {f"{part}/{name}" for name in inner} <= named


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.stem)
def test_the_files_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    tops = {path.name.removesuffix(".py") for path in PACKAGE.iterdir()}
    for name in PLACE.findall(text):
        if "/" in name and name.partition("/")[0] in tops:
            place = PACKAGE / name
            assert place.is_dir() or place.with_suffix(".py").is_file(), name


@pytest.mark.anyio
async def test_a_datagram_goes_the_way_of_the_table(anyio_backend_name: str) -> None:
    """The way is found by watching the calls of functions while a datagram is answered."""
    dispatcher = Dispatcher()

    @dispatcher.method("lamp.set")
    async def set_level(level: int) -> int:
        return level

    seen: list[tuple[str, str]] = []

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            place = path.relative_to(PACKAGE).with_suffix("").as_posix()
            seen.append((place, frame.f_code.co_qualname))

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        with anyio.fail_after(5):
            async with serve(dispatcher, "udp://127.0.0.1:0") as server:
                port = int(server.urls[0].rpartition(":")[2])
                client.connect(("127.0.0.1", port))
                client.send(b'{"method":"rpc.ping","id":1}')  # from now on it is known
                await anyio.wait_readable(client)
                client.recv(1000)
                before = sys.getprofile()
                sys.setprofile(watch)
                try:
                    client.send(b'{"method":"lamp.set","params":{"level":4},"id":2}')
                    await anyio.wait_readable(client)
                finally:
                    sys.setprofile(before)
                assert client.recv(1000) == b'{"id":2,"result":4}'

    ways = TRIO_WAY if anyio_backend_name == "trio" else {}
    way = [step for each in WAY for step in ways.get(each, [each])]
    assert len(way) > 20
    calls = iter(seen)
    for step in way:
        assert step in calls, f"{step} is not called after the steps before it"
